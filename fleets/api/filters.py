"""The filters of the estate's lists. `organization` and `fleet` are judged by the views: what is not there is a 404."""

from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet

from fleets.models import (
    AclEntry,
    Application,
    ApplicationMembership,
    Fleet,
    FleetMembership,
    Group,
    GroupMembership,
    Image,
    Invitation,
    Machine,
    MachineTemplate,
    Membership,
    Network,
    Organization,
    TechnicalUser,
)


class WholeNumberFilter(django_filters.Filter):  # type: ignore[misc]
    field_class = forms.IntegerField


class Filters(django_filters.FilterSet):  # type: ignore[misc]
    organization = django_filters.CharFilter(method="judged", help_text="An organization's slug.")

    def judged(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """The view has applied it already."""
        return rows


class OrganizationFilters(Filters):
    search = django_filters.CharFilter("name", "icontains", help_text="In the name.")

    class Meta:
        model = Organization
        fields = ["slug"]


class MemberFilters(Filters):
    role = django_filters.ChoiceFilter(choices=Membership.Role.choices)
    username = django_filters.CharFilter("user__username", "iexact")
    suspended = django_filters.BooleanFilter("suspended_at", "isnull", exclude=True)
    search = django_filters.CharFilter("user__name", "icontains", help_text="In the name.")

    class Meta:
        model = Membership
        fields: list[str] = []


class InvitationFilters(Filters):
    username = django_filters.CharFilter("user__username", "iexact")

    class Meta:
        model = Invitation
        fields: list[str] = []


class OwnerFilters(Filters):
    slug = django_filters.CharFilter()
    search = django_filters.CharFilter("name", "icontains", help_text="In the name.")


class FleetFilters(OwnerFilters):
    class Meta:
        model = Fleet
        fields: list[str] = []


class GroupFilters(OwnerFilters):
    class Meta:
        model = Group
        fields: list[str] = []


class ApplicationFilters(OwnerFilters):
    class Meta:
        model = Application
        fields: list[str] = []


class FleetMemberFilters(Filters):
    role = django_filters.ChoiceFilter(choices=FleetMembership.Role.choices)

    class Meta:
        model = FleetMembership
        fields: list[str] = []


class GroupMemberFilters(Filters):
    role = django_filters.ChoiceFilter(choices=GroupMembership.Role.choices)

    class Meta:
        model = GroupMembership
        fields: list[str] = []


class ApplicationMemberFilters(Filters):
    role = django_filters.ChoiceFilter(choices=ApplicationMembership.Role.choices)

    class Meta:
        model = ApplicationMembership
        fields: list[str] = []


class TechnicalUserFilters(Filters):
    kind = django_filters.ChoiceFilter(choices=TechnicalUser.Kind.choices)
    is_active = django_filters.BooleanFilter("user__is_active")

    class Meta:
        model = TechnicalUser
        fields: list[str] = []


class MachineFilters(Filters):
    fleet = django_filters.CharFilter(method="judged", help_text="A fleet's slug.")
    tag = django_filters.CharFilter("tag_rows__tag")
    kind = django_filters.ChoiceFilter(choices=Machine.Kind.choices)
    vmid = WholeNumberFilter("vmid")
    name = django_filters.CharFilter("name", "iexact")
    search = django_filters.CharFilter("name", "icontains", help_text="In the name.")

    class Meta:
        model = Machine
        fields: list[str] = []


class TemplateFilters(Filters):
    name = django_filters.CharFilter("name", "iexact")
    search = django_filters.CharFilter("name", "icontains", help_text="In the name.")

    class Meta:
        model = MachineTemplate
        fields: list[str] = []


class NetworkFilters(TemplateFilters):
    class Meta:
        model = Network
        fields: list[str] = []


class ImageFilters(TemplateFilters):
    class Meta:
        model = Image
        fields: list[str] = []


class EntryFilters(Filters):
    user = django_filters.CharFilter("user__username", "iexact", help_text="A username.")
    group = django_filters.CharFilter("group__slug", help_text="A group's slug.")
    path = django_filters.CharFilter(
        method="judged", help_text="Exactly there; `/vms/<vmid>` is the machine that bears it."
    )

    class Meta:
        model = AclEntry
        fields: list[str] = []
