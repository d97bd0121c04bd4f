"""Roles of an organization's own, and access entries: who is given which role where."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.edge.access import Access
from config.edge.commands import Adding, CommandForm, RowVerb, offer
from config.edge.facts import Cell, Fact, Section, linked
from config.edge.form_fields import Line
from config.edge.refusals import Missing
from config.edge.remembering import seen_ids
from config.edge.scoped_admin import ScopedAdmin, together
from fleets import entries, policy, role_changes
from fleets.admin.scope import (
    OrganizationFilter,
    OrganizationForm,
    is_anywhere,
    organizations_seen,
    organizations_where,
)
from fleets.authority import ROLE_SCOPES
from fleets.models import AclEntry, Organization, OrganizationRole
from fleets.organization_policy import DEFAULT, OrganizationPolicy, policy_of
from fleets.roles import book, scopes_of
from fleets.scopes import ALL_SCOPES, PERSONAL_ONLY, Scope, parse_scopes

LISTED = 200  # entries that the page of a role shows


def manages_somewhere(by: Access, organization: Organization) -> bool:
    """Whether there is a path at which the caller manages permissions."""
    return Scope.PERMISSIONS_MANAGE in by.rights(organization.pk).anywhere


def scope_choices(rules: OrganizationPolicy) -> list[tuple[str, SafeString]]:
    described = '<code>{}</code> <span class="badge risk-{}">{}</span> <span class="quiet">{}</span>'
    return [
        (scope.value, format_html(described, scope, risk, risk, scope.description))
        for scope in Scope
        if scope in ALL_SCOPES - PERSONAL_ONLY
        for risk in [rules.risk_of(scope).label]
    ]


def scope_rows(scopes: frozenset[Scope], organization: Organization) -> list[list[Cell]]:
    rules = policy_of(organization)
    return [
        [Cell(scope.value), Cell(rules.risk_of(scope).label), Cell(scope.description)]
        for scope in sorted(scopes)
    ]


# Roles


class ScopesForm(CommandForm):
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "scopes", scope_choices(self.rules()))

    def rules(self) -> OrganizationPolicy:
        """Of the organization whose role it is."""
        return policy_of(self.row.organization)

    def clean_scopes(self) -> frozenset[Scope]:
        return parse_scopes(self.cleaned_data["scopes"])


class RoleAdding(OrganizationForm, ScopesForm):
    name = Line(
        max_length=63,
        help_text="Letters, digits and . _ @ + - only. It never changes and is never used again.",
    )
    field_order = ("organization", "name", "scopes")

    def open_to(self, by: Access) -> list[Organization]:
        return organizations_where(by, policy.may_change_organization)

    def rules(self) -> OrganizationPolicy:
        """Of the only organization that it could be for; of several none, so that risks are as they are built in."""
        here = self.open_to(self.by)
        return policy_of(here[0]) if len(here) == 1 else DEFAULT


class RoleChange(ScopesForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scopes"].initial = self.row.scopes


def may_rule(by: Access, row: OrganizationRole) -> bool:
    return policy.may_rule_roles(by, row.organization, scopes_of(row))


@admin.register(OrganizationRole)
class RoleAdmin(ScopedAdmin):
    list_display = ("name", "scope_list", "organization", "created_at")
    list_filter = (OrganizationFilter,)
    search_fields = ("name",)
    ordering = ("name", "pk")
    sortable_by = ("name", "created_at")
    place = 57
    heading = "Roles"
    about = "Roles of your organization’s own, beside the built-in ones. Entries and tokens name them."
    nothing = "There are only the built-in roles."
    adding = Adding(
        "New role",
        is_anywhere(policy.may_change_organization),
        RoleAdding,
        lambda data, by: role_changes.add(**data, by=by),
        "Makes a role of the scopes that you choose, of those that you hold everywhere.",
        "The role is there.",
    )
    verbs = (
        RowVerb(
            "edit",
            "Change scopes",
            may_rule,
            lambda row, data, by: role_changes.change(row, scopes=data["scopes"], by=by),
            lambda row: (
                f"Holds at once wherever {row.name} is named: whoever an entry gives it, and tokens whose rows name "
                "it, these up to what they were issued for."
            ),
            "The role gives these scopes now.",
            form=RoleChange,
        ),
        RowVerb(
            "remove",
            "Remove",
            may_rule,
            lambda row, _, by: role_changes.remove(row, by=by),
            lambda row: (
                f"Ends {row.name}; its name is not used again. A role that an entry or a token’s row names can’t be "
                "removed."
            ),
            "The role is removed.",
            is_grave=True,
        ),
    )

    def visible(self, by: Access) -> QuerySet[OrganizationRole]:
        rows = OrganizationRole.objects.present().filter(organization__in=seen_ids(by))
        return rows.select_related("organization")

    def facts(self, row: OrganizationRole, by: Access) -> list[Fact]:
        return [
            Fact("Name", row.name),
            Fact("Organization", row.organization),
            Fact("Made", row.created_at),
        ]

    def sections(self, row: OrganizationRole, by: Access) -> list[Section]:
        given = Section(
            "What it gives", ("Scope", "Risk", ""), scope_rows(scopes_of(row), row.organization), "Nothing."
        )
        if not manages_somewhere(by, row.organization):
            return [given]
        naming = entries.seen(row.organization, by).filter(role=row.name).select_related("user", "group")
        rows = [
            [linked(entry, entry.path), Cell(entry.subject_label)]
            for entry in naming.order_by("path")[:LISTED]
        ]
        return [
            given,
            Section("Entries that name it", ("Path", "For"), rows, "No entry that you see names it."),
        ]

    @admin.display(description="scopes")
    def scope_list(self, row: OrganizationRole) -> str:
        return ", ".join(row.scopes)


# Entries


def role_names(organizations: list[Organization]) -> list[tuple[str, str]]:
    own = OrganizationRole.objects.present().filter(organization__in=organizations)
    names = [*ROLE_SCOPES, *sorted(set(own.values_list("name", flat=True)))]
    return [(str(name), str(name)) for name in names]


class RuleForm(CommandForm):
    role = forms.ChoiceField()
    propagate = forms.BooleanField(
        required=False, initial=True, label="Below the path too", help_text="Else exactly there alone."
    )


class EntrySetting(OrganizationForm, RuleForm):
    path = Line(
        max_length=255, help_text="As /, /fleets/edge, /vms/101 or a path of your own, such as /nodes/n1."
    )
    user = Line(
        required=False, max_length=63, label="User", help_text="A person’s or technical user’s username."
    )
    group = Line(required=False, max_length=63, label="Group", help_text="Or the slug of a group.")
    field_order = ("organization", "user", "group", "path", "role", "propagate")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "role", role_names(list(self.organizations.values())))

    def open_to(self, by: Access) -> list[Organization]:
        return organizations_where(by, manages_somewhere)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        said = [name for name in ("user", "group") if data.get(name)]
        if len(said) != 1:
            self.add_error("user", "Name a user or a group, not both.")
        elif "organization" in data:
            finding = {"user": entries.user_named, "group": entries.group_named}[said[0]]
            try:
                data[said[0]] = finding(data[said[0]], data["organization"])
            except Missing as error:
                self.add_error(said[0], error.detail)
        return {**data, **{name: data.get(name) or None for name in ("user", "group")}}


class EntryChange(RuleForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "role", role_names([self.row.organization]))
        for name in self.fields:
            self.fields[name].initial = getattr(self.row, name)


def may_change(by: Access, row: AclEntry) -> bool:
    return policy.may_take_entry(by, row)


@admin.register(AclEntry)
class EntryAdmin(ScopedAdmin):
    list_display = ("path", "role", "subject", "reach", "organization")
    list_filter = (OrganizationFilter,)
    search_fields = ("path", "role", "user__username", "group__slug")
    ordering = ("path", "pk")
    sortable_by = ("path", "role")
    place = 58
    heading = "Access entries"
    about = "Who is given which role where, beside what they hold as members."
    nothing = "There is no entry yet where you manage permissions."
    adding = Adding(
        "Give access",
        is_anywhere(manages_somewhere),
        EntrySetting,
        lambda data, by: entries.set_entry(**data, by=by),
        "Gives a user or a group a role at a path. At the path and below, it takes the place of what entries higher up "
        "say; NoAccess takes all away.",
        "It holds at once.",
    )
    verbs = (
        RowVerb(
            "edit",
            "Change",
            may_change,
            lambda row, data, by: entries.change_entry(
                row, changes={name: data[name] for name in ("role", "propagate")}, by=by
            ),
            lambda row: f"Changes what {row.subject_label} is given on {row.path}. It holds at once.",
            "The entry is changed.",
            form=EntryChange,
        ),
        RowVerb(
            "remove",
            "Remove",
            may_change,
            lambda row, _, by: entries.remove_entry(row, by=by),
            lambda row: (
                f"Takes the entry of {row.subject_label} on {row.path} away. What entries higher up give, or they hold "
                "as members, counts there again."
            ),
            "The entry is removed.",
            is_grave=True,
        ),
    )

    def is_offered(self, by: Access) -> bool:
        return bool(organizations_where(by, manages_somewhere))

    def visible(self, by: Access) -> QuerySet[AclEntry]:
        seen = [entries.seen(organization, by) for organization in organizations_seen(by)]
        return together(seen, AclEntry.objects.all()).select_related("organization", "user", "group")

    def facts(self, row: AclEntry, by: Access) -> list[Fact]:
        return [
            Fact("Path", row.path),
            Fact("Role", row.role),
            Fact("Reaches", self.reach(row)),
            Fact("For", self.subject(row)),
            Fact("Organization", row.organization),
        ]

    def sections(self, row: AclEntry, by: Access) -> list[Section]:
        scopes = book(row.organization_id, [row.role]).scopes(row.role, row.path)
        given = scope_rows(scopes, row.organization)
        return [Section("What it gives", ("Scope", "Risk", ""), given, "Nothing: it denies.")]

    @admin.display(description="for")
    def subject(self, row: AclEntry) -> str:
        return row.subject_label

    @admin.display(description="reaches")
    def reach(self, row: AclEntry) -> str:
        return "there and below" if row.propagate else "exactly there"
