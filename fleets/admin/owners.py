"""Fleets, groups and applications, and who belongs to each."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet

from config.edge.access import Access
from config.edge.commands import Adding, CommandForm, ReasonForm, RowVerb
from config.edge.facts import Cell, Fact, Section, linked
from config.edge.form_fields import Line
from config.edge.refusals import Missing
from config.edge.remembering import seen_ids
from config.edge.scoped_admin import ScopedAdmin
from fleets import membership, owners, policy, visibility
from fleets.admin.organizations import RenameForm
from fleets.admin.scope import (
    OrganizationFilter,
    OrganizationForm,
    fleets_seen,
    is_anywhere,
    organizations_where,
)
from fleets.models import (
    Application,
    ApplicationMembership,
    Fleet,
    FleetMembership,
    Group,
    GroupMembership,
    Organization,
    OwnedByOrganization,
    User,
)

LISTED = 200  # members and machines that a page shows
UNDONE = "Its slug is never used again. This can’t be undone."


class OpeningForm(OrganizationForm):
    slug = Line(
        max_length=63,
        help_text="Lower-case letters, digits and hyphens. It is part of paths and never changes.",
    )
    name = Line(max_length=150)

    def open_to(self, by: Access) -> list[Organization]:
        return organizations_where(by, policy.may_open_owner)


class ApplicationForm(OpeningForm):
    description = Line(required=False, max_length=500)


class ApplicationChangeForm(RenameForm):
    description = Line(required=False, max_length=500)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        words = self.row.description.split("\n")  # one that has several lines was written when it could
        self.fields["description"].initial = " ".join(line.strip() for line in words)


class MemberForm(CommandForm):
    """A member of the organization, by username, and a role."""

    username = Line(max_length=63, help_text="Somebody of the organization.")
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


class ApplicationMemberForm(MemberForm):
    role = forms.ChoiceField(
        choices=ApplicationMembership.Role.choices, initial=ApplicationMembership.Role.OWNER
    )


def owners_seen(by: Access, model: type[OwnedByOrganization]) -> QuerySet[Any]:
    if model is Fleet:
        return Fleet.objects.filter(pk__in=[fleet.pk for fleet in fleets_seen(by)])
    return visibility.owners(by, model, seen_ids(by))


def members_of(row: Fleet | Group | Application) -> Section:
    present: Any = row.memberships.filter(left_at=None)
    people = present.select_related("user").order_by("user__name", "user__username")[:LISTED]
    rows = [[linked(m, str(m.user)), Cell(m.user.username), Cell(m.role), Cell(m.joined_at)] for m in people]
    return Section("Members", ("Name", "Username", "Role", "Since"), rows, "Nobody belongs to it yet.")


def changing(
    call: Callable[..., None], what: str, form: type[CommandForm] = RenameForm, verb: str = "rename"
) -> RowVerb:
    """The verb that renames an owner, or says more of it anew."""
    return RowVerb(
        verb,
        verb.capitalize(),
        policy.may_take_role_of,
        lambda row, data, by: call(row, **data, by=by),
        lambda row: f"Changes what {row.name} is called. Its slug, {row.slug}, stays.",
        f"The {what} is changed.",
        form=form,
    )


def adding_member(call: Callable[..., Any], what: str, form: type[CommandForm], meaning: str = "") -> RowVerb:
    return RowVerb(
        "add-member",
        "Add a member",
        policy.may_take_role_of,
        lambda row, data, by: call(row, user=data["user"], role=data["role"], by=by),
        lambda row: f"Adds somebody of {row.organization} to {row.name}{meaning}.",
        f"They belong to the {what} now.",
        form=form,
    )


def closing(call: Callable[..., Any], what: str, takes: Callable[[Any], str]) -> RowVerb:
    """The verb that ends an owner; `takes` says what goes with it."""
    return RowVerb(
        "close",
        "Close",
        policy.may_close,
        lambda row, data, by: call(row, reason=data["reason"], by=by),
        lambda row: f"Ends {row.name} for ever. {takes(row)} {UNDONE}",
        f"The {what} is closed.",
        form=ReasonForm,
        is_grave=True,
        is_bound=False,
    )


class OwnerAdmin(ScopedAdmin):
    """What the pages of fleets, groups and applications share."""

    list_display = ("name", "slug", "organization", "created_at")
    list_filter = (OrganizationFilter,)
    search_fields = ("name", "slug")
    ordering = ("name",)
    sortable_by = ("name", "slug", "created_at")

    def visible(self, by: Access) -> QuerySet[Any]:
        return owners_seen(by, self.model).select_related("organization")

    def facts(self, row: Any, by: Access) -> list[Fact]:
        return [
            Fact("Name", row.name),
            Fact("Slug", row.slug),
            Fact("Organization", row.organization),
            Fact("Opened", row.created_at),
        ]

    def sections(self, row: Any, by: Access) -> list[Section]:
        is_shown = policy.may_see_people(by, policy.place_of(row), row.organization_id)
        return [members_of(row)] if is_shown else []


@admin.register(Fleet)
class FleetAdmin(OwnerAdmin):
    place = 30
    about = "Machines that belong together, with the people and tokens that look after them."
    nothing = "You reach no fleet. Whoever manages your organization can add you to one."
    adding = Adding(
        "New fleet",
        is_anywhere(policy.may_open_owner),
        OpeningForm,
        lambda data, by: owners.open_fleet(**data, by=by),
        "Opens a fleet, without machines and members.",
        "The fleet is open.",
    )
    verbs = (
        changing(owners.rename_fleet, "fleet"),
        adding_member(membership.join_fleet, "fleet", FleetMemberForm),
        closing(
            owners.close_fleet,
            "fleet",
            lambda row: (
                f"Its {row.machines.live().count()} machines are deregistered and its tokens revoked; "
                "entries on its path reach nothing any more."
            ),
        ),
    )

    def facts(self, row: Fleet, by: Access) -> list[Fact]:
        return [*super().facts(row, by), Fact("Path", row.path)]


@admin.register(Group)
class GroupAdmin(OwnerAdmin):
    place = 40
    about = "People who share access to the same paths."
    nothing = "There is no group yet."
    adding = Adding(
        "New group",
        is_anywhere(policy.may_open_owner),
        OpeningForm,
        lambda data, by: owners.open_group(**data, by=by),
        "Opens a group, without members. What it reaches are the paths of the entries that name it.",
        "The group is open.",
    )
    verbs = (
        changing(owners.rename_group, "group"),
        adding_member(membership.join_group, "group", GroupMemberForm, "; they reach what the group reaches"),
        closing(
            owners.close_group,
            "group",
            lambda row: (
                f"The {row.entries.count()} entries that name it are removed: its members reach nothing by it "
                "any more. Its tokens are revoked."
            ),
        ),
    )

    def sections(self, row: Group, by: Access) -> list[Section]:
        entries = [
            [Cell(entry.path), Cell(entry.role), Cell("and below" if entry.propagate else "only there")]
            for entry in row.entries.order_by("path")[:LISTED]
        ]
        reach = Section(
            "Reaches", ("Path", "Role", "How far"), entries, "No entry names this group: it reaches nothing."
        )
        return [reach, *super().sections(row, by)]


@admin.register(Application)
class ApplicationAdmin(OwnerAdmin):
    place = 45
    about = "Programs, with owners who manage their tokens."
    nothing = "There is no application that you own, or oversee."
    adding = Adding(
        "New application",
        is_anywhere(policy.may_open_owner),
        ApplicationForm,
        lambda data, by: owners.open_application(**data, by=by),
        "Opens an application, without owners. What its tokens reach is what its technical users are granted.",
        "The application is open.",
    )
    verbs = (
        changing(owners.change_application, "application", ApplicationChangeForm, "describe"),
        adding_member(
            membership.join_application,
            "application",
            ApplicationMemberForm,
            "; they manage its tokens, and get secrets of what these reach",
        ),
        closing(owners.close_application, "application", lambda _: "Its tokens are revoked."),
    )

    def facts(self, row: Application, by: Access) -> list[Fact]:
        return [*super().facts(row, by), Fact("Description", row.description or "–")]
