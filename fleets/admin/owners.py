"""Fleets and groups, and who belongs to each."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet

from config.edge.access import Access
from config.edge.commands import Adding, CommandForm, RowVerb
from config.edge.facts import Cell, Fact, Section
from config.edge.refusals import Missing
from config.edge.remembering import seen_ids
from config.edge.scoped_admin import ScopedAdmin
from fleets import membership, organizations, policy
from fleets.admin.organizations import RenameForm
from fleets.admin.scope import (
    OrganizationFilter,
    OrganizationForm,
    fleets_seen,
    is_anywhere,
    linked,
    organizations_where,
)
from fleets.models import Fleet, FleetMembership, Group, GroupMembership, Organization, User
from fleets.paths import ROOT

LISTED = 200  # members and machines that a page shows


class OpeningForm(OrganizationForm):
    slug = forms.CharField(
        max_length=63,
        help_text="Lower-case letters, digits and hyphens. It is part of paths and never changes.",
    )
    name = forms.CharField(max_length=150)

    def open_to(self, by: Access) -> list[Organization]:
        return organizations_where(by, policy.may_open_owner)


class MemberForm(CommandForm):
    """A member of the organization, by username, and a role."""

    username = forms.CharField(max_length=63, help_text="Somebody of the organization.")
    role = forms.ChoiceField()

    def person(self) -> User:
        present = User.objects.present_in(self.row.organization_id)
        found: User | None = present.named(self.cleaned_data["username"]).first()
        if found is None:
            raise Missing("There is no such member.")
        return found

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "username" in data:
            try:
                data["user"] = self.person()
            except Missing as error:
                self.add_error("username", error.detail)
        return data


class FleetMemberForm(MemberForm):
    role = forms.ChoiceField(choices=FleetMembership.Role.choices)


class GroupMemberForm(MemberForm):
    role = forms.ChoiceField(choices=GroupMembership.Role.choices)


class FleetRoleForm(CommandForm):
    role = forms.ChoiceField(choices=FleetMembership.Role.choices)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].initial = self.row.role


class GroupRoleForm(FleetRoleForm):
    role = forms.ChoiceField(choices=GroupMembership.Role.choices)


def members_of(row: Fleet | Group) -> Section:
    present: Any = row.memberships.filter(left_at=None)
    people = present.select_related("user").order_by("user__name", "user__username")[:LISTED]
    rows = [[linked(m, str(m.user)), Cell(m.user.username), Cell(m.role), Cell(m.joined_at)] for m in people]
    return Section("Members", ("Name", "Username", "Role", "Since"), rows, "Nobody belongs to it yet.")


@admin.register(Fleet)
class FleetAdmin(ScopedAdmin):
    list_display = ("name", "slug", "organization", "created_at")
    list_filter = (OrganizationFilter,)
    search_fields = ("name", "slug")
    ordering = ("name",)
    sortable_by = ("name", "slug", "created_at")
    place = 30
    about = "Machines that belong together, with the people and tokens that look after them."
    nothing = "You reach no fleet. Whoever manages your organization can add you to one."
    adding = Adding(
        "New fleet",
        is_anywhere(policy.may_open_owner),
        OpeningForm,
        lambda data, by: organizations.open_fleet(**data, by=by),
        "Opens a fleet, without machines and members.",
        "The fleet is open.",
    )
    verbs = (
        RowVerb(
            "rename",
            "Rename",
            policy.may_take_fleet_role,
            lambda row, data, by: organizations.rename_fleet(row, name=data["name"], by=by),
            lambda row: f"Changes what {row.name} is called. Its slug, {row.slug}, stays.",
            "The fleet has its new name.",
            form=RenameForm,
        ),
        RowVerb(
            "add-member",
            "Add a member",
            policy.may_take_fleet_role,
            lambda row, data, by: membership.join_fleet(row, user=data["user"], role=data["role"], by=by),
            lambda row: f"Adds somebody of {row.organization} to {row.name}.",
            "They belong to the fleet now.",
            form=FleetMemberForm,
        ),
    )

    def visible(self, by: Access) -> QuerySet[Fleet]:
        return Fleet.objects.filter(pk__in=[fleet.pk for fleet in fleets_seen(by)]).select_related(
            "organization"
        )

    def facts(self, row: Fleet, by: Access) -> list[Fact]:
        return [*owner_facts(row), Fact("Path", row.path)]

    def sections(self, row: Fleet, by: Access) -> list[Section]:
        if not policy.may_see_people(by, row.path, row.organization_id):
            return []
        return [members_of(row)]


@admin.register(Group)
class GroupAdmin(ScopedAdmin):
    list_display = ("name", "slug", "organization", "created_at")
    list_filter = (OrganizationFilter,)
    search_fields = ("name", "slug")
    ordering = ("name",)
    sortable_by = ("name", "slug", "created_at")
    place = 40
    about = "People who share access to the same paths."
    nothing = "There is no group yet."
    adding = Adding(
        "New group",
        is_anywhere(policy.may_open_owner),
        OpeningForm,
        lambda data, by: organizations.open_group(**data, by=by),
        "Opens a group, without members. What it reaches are the paths of the entries that name it.",
        "The group is open.",
    )
    verbs = (
        RowVerb(
            "rename",
            "Rename",
            policy.may_take_group_role,
            lambda row, data, by: organizations.rename_group(row, name=data["name"], by=by),
            lambda row: f"Changes what {row.name} is called. Its slug, {row.slug}, stays.",
            "The group has its new name.",
            form=RenameForm,
        ),
        RowVerb(
            "add-member",
            "Add a member",
            policy.may_take_group_role,
            lambda row, data, by: membership.join_group(row, user=data["user"], role=data["role"], by=by),
            lambda row: (
                f"Adds somebody of {row.organization} to {row.name}; they reach what the group reaches."
            ),
            "They belong to the group now.",
            form=GroupMemberForm,
        ),
    )

    def visible(self, by: Access) -> QuerySet[Group]:
        ids = [key for key in seen_ids(by) if policy.may_see_people(by, ROOT, key)]
        return Group.objects.filter(organization__in=ids, closed_at=None).select_related("organization")

    def facts(self, row: Group, by: Access) -> list[Fact]:
        return owner_facts(row)

    def sections(self, row: Group, by: Access) -> list[Section]:
        entries = [
            [Cell(entry.path), Cell(entry.role), Cell("and below" if entry.propagate else "only there")]
            for entry in row.entries.order_by("path")[:LISTED]
        ]
        reach = Section(
            "Reaches", ("Path", "Role", "How far"), entries, "No entry names this group: it reaches nothing."
        )
        return [reach, members_of(row)]


def owner_facts(row: Fleet | Group) -> list[Fact]:
    return [
        Fact("Name", row.name),
        Fact("Slug", row.slug),
        Fact("Organization", row.organization),
        Fact("Opened", row.created_at),
    ]


def is_oneself(by: Access, row: FleetMembership | GroupMembership) -> bool:
    return by.user is not None and by.user.pk == row.user_id


class OwnerMemberAdmin(ScopedAdmin):
    """What members of fleets and of groups share. Their pages are reached from the fleet or the group."""

    is_section = False
    search_fields = ("user__username", "user__name")
    ordering = ("user__name", "user__username")
    sortable_by = ()

    def facts(self, row: Any, by: Access) -> list[Fact]:
        owner = self.owner(row)
        cell = linked(owner)
        return [
            Fact("Name", row.user.name),
            Fact("Username", row.user.username),
            Fact(str(owner._meta.verbose_name).capitalize(), cell.text, cell.link),
            Fact("Role", row.role),
            Fact("Since", row.joined_at),
        ]

    def owner(self, row: Any) -> Fleet | Group:
        raise NotImplementedError


@admin.register(FleetMembership)
class FleetMembershipAdmin(OwnerMemberAdmin):
    list_display = ("user", "fleet", "role", "joined_at")
    verbs = (
        RowVerb(
            "role",
            "Change role",
            lambda by, row: policy.may_take_fleet_role(by, row.fleet),
            lambda row, data, by: membership.change_fleet_role(row, role=data["role"], by=by),
            lambda row: (
                f"Gives {row.user} another role in {row.fleet}. It holds at once, for their tokens too."
            ),
            "They have the new role.",
            form=FleetRoleForm,
        ),
        RowVerb(
            "remove",
            "Remove",
            lambda by, row: is_oneself(by, row) or policy.may_take_fleet_role(by, row.fleet),
            lambda row, _, by: membership.leave_fleet(row, by=by),
            lambda row: (
                f"{row.user} leaves {row.fleet}. Their personal tokens reach it no more, from their next call on."
            ),
            "They have left the fleet.",
            is_grave=True,
        ),
    )

    def visible(self, by: Access) -> QuerySet[FleetMembership]:
        fleets = [
            fleet.pk
            for fleet in fleets_seen(by)
            if policy.may_see_people(by, fleet.path, fleet.organization_id)
        ]
        rows = FleetMembership.objects.filter(left_at=None, fleet__in=fleets)
        return rows.select_related("user", "fleet__organization")

    def owner(self, row: FleetMembership) -> Fleet:
        return row.fleet


@admin.register(GroupMembership)
class GroupMembershipAdmin(OwnerMemberAdmin):
    list_display = ("user", "group", "role", "joined_at")
    verbs = (
        RowVerb(
            "role",
            "Change role",
            lambda by, row: policy.may_take_group_role(by, row.group),
            lambda row, data, by: membership.change_group_role(row, role=data["role"], by=by),
            lambda row: (
                f"Gives {row.user} another role in {row.group}. It holds at once, for their tokens too."
            ),
            "They have the new role.",
            form=GroupRoleForm,
        ),
        RowVerb(
            "remove",
            "Remove",
            lambda by, row: is_oneself(by, row) or policy.may_take_group_role(by, row.group),
            lambda row, _, by: membership.leave_group(row, by=by),
            lambda row: f"{row.user} leaves {row.group} and reaches no more what it reaches.",
            "They have left the group.",
            is_grave=True,
        ),
    )

    def visible(self, by: Access) -> QuerySet[GroupMembership]:
        ids = [key for key in seen_ids(by) if policy.may_see_people(by, ROOT, key)]
        rows = GroupMembership.objects.filter(
            left_at=None, group__organization__in=ids, group__closed_at=None
        )
        return rows.select_related("user", "group__organization")

    def owner(self, row: GroupMembership) -> Group:
        return row.group
