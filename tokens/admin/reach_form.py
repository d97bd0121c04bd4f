"""What the forms to issue and to edit a token share. Choices offer only what the caller may give."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Q

from config.edge.clock import now
from config.edge.commands import CommandForm, offer
from config.edge.form_fields import Line, Lines, reason_field
from fleets import paths, roles
from fleets.admin.scope import reach
from fleets.authority import ROLE_SCOPES, Role
from fleets.models import Fleet, Machine, Organization, OrganizationRole
from fleets.organization_policy import policy_of
from fleets.paths import ROOT
from fleets.scopes import Scope, parse_scopes
from tokens import expiry, principals
from tokens.admin.choices import givable
from tokens.kinds import Owner
from tokens.models import EXTENDED

MOST_LISTED = 400  # machines to choose from; a form has at most 500 fields
LIFETIMES = {
    "7d": "7 days",
    "30d": "30 days",
    "90d": "90 days",
    "6m": "6 months",
    "1y": "1 year",
    "never": "Never",
}


@dataclass(frozen=True)
class ScopeChoice:
    """One checkbox."""

    name: str
    description: str
    risk: str
    is_checked: bool


@dataclass(frozen=True)
class ScopeGroup:
    area: str
    choices: list[ScopeChoice]


class ReachForm(CommandForm):
    """What issuing and editing share: name, ceiling, machines, expiry, reason."""

    renames = {"expires_at": "until", "expires_in": "lifetime"}

    name = Line(
        max_length=63, help_text="Letters, digits and . _ @ + - only; never used again for this owner."
    )
    description = Lines(required=False, max_length=500)
    role = forms.ChoiceField(required=False, help_text="Gives the scopes that the role has today.")
    scopes = forms.MultipleChoiceField(required=False)
    reach = forms.ChoiceField(
        label="Machines", choices=[("all", "All"), ("selected", "Selected")], initial="all"
    )
    machines = forms.MultipleChoiceField(required=False, label="Selected machines")
    extended = forms.MultipleChoiceField(required=False)
    lifetime = forms.ChoiceField(required=False, label="Expires")
    until = Line(
        required=False,
        max_length=40,
        label="On this date",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="It ends at 00:00 UTC of that day. Choose “On the date below” above.",
    )
    reason = reason_field("Needed for tokens of medium and high risk. Kept in the audit trail.")

    def __init__(self, *args: Any, organization: Organization, owner: Owner, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organization, self.owner = organization, owner
        self.offered = self.offered_scopes()
        offer(self, "scopes", [(str(scope), str(scope)) for scope in self.offered])
        self.roles_offered = self.offered_roles()
        no_role = ("", "No role: the scopes below")
        offer(self, "role", [no_role, *((role, role) for role in self.roles_offered)])
        offer(self, "extended", [(name, name.capitalize()) for name in self.offered_extended()])
        offer(self, "lifetime", self.offered_lifetimes())
        self.machines_offered, self.are_machines_cut = self.offered_machines()
        offer(self, "machines", [(str(row.pk), self.machine_label(row)) for row in self.machines_offered])

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """Where the token starts from; a group may have no path yet."""
        return principals.roots_of(self.owner)

    def offered_scopes(self) -> list[Scope]:
        held = givable(self.by, self.owner, self.organization)
        return [scope for scope in Scope if scope in held]

    def offered_roles(self) -> list[str]:
        """The built-in ones and the organization's own, of which the caller may give everything."""
        own = OrganizationRole.objects.present().filter(organization=self.organization).order_by("name")
        names = [*ROLE_SCOPES, *own.values_list("name", flat=True)]
        book = roles.book(self.organization.pk, names)
        return [name for name in names if book.gives_something(name) and self._may_give(book, name)]

    def _may_give(self, book: roles.RoleBook, name: str) -> bool:
        return all(book.scopes(name, root) <= set(self.offered) for root in self.roots or ("/*",))

    def offered_extended(self) -> list[str]:
        """What extends Admin on all machines, where the token starts from the root."""
        if ROOT not in self.roots or Role.ADMIN not in self.roles_offered:
            return []
        return [name for name, scope in EXTENDED.items() if scope in self.offered]

    def offered_lifetimes(self) -> list[tuple[str, str]]:
        return [*LIFETIMES.items(), ("date", "On the date below")]

    def offered_machines(self) -> tuple[list[Machine], bool]:
        """The live ones that the caller sees below the owner's roots, and whether there are more."""
        rows = reach(self.by, self.organization.pk).machines().filter(_under(self.roots))
        found = list(rows.select_related("fleet").order_by("fleet__slug", "name", "pk")[: MOST_LISTED + 1])
        return found[:MOST_LISTED], len(found) > MOST_LISTED

    def machine_label(self, machine: Machine) -> str:
        return machine.name if isinstance(self.owner, Fleet) else f"{machine.fleet.slug} / {machine.name}"

    def scope_groups(self) -> list[ScopeGroup]:
        """The scopes by area, for the template."""
        checked, rules = set(self["scopes"].value() or []), policy_of(self.organization)
        return [
            ScopeGroup(
                area,
                [
                    ScopeChoice(scope, scope.description, rules.risk_of(scope).label, scope in checked)
                    for scope in scopes
                ],
            )
            for area, scopes in groupby(self.offered, key=lambda scope: scope.area)
        ]

    def clean_machines(self) -> tuple[UUID, ...]:
        return tuple(UUID(key) for key in self.cleaned_data["machines"])

    def clean_scopes(self) -> frozenset[Scope]:
        return parse_scopes(self.cleaned_data["scopes"])

    def clean_until(self) -> datetime | None:
        text = self.cleaned_data["until"]
        if not text:
            return None
        try:
            return expiry.parse_expires_at(text, now())
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("lifetime") == "date" and "until" in data and not data["until"]:
            self.add_error("until", "Give the date.")
        if data.get("until") and data.get("lifetime") != "date":
            self.add_error("lifetime", "Choose “On the date below”, or leave the date empty.")
        if data.get("reach") == "selected" and "machines" in data and not data["machines"]:
            self.add_error("machines", "Select at least one machine, or choose All.")
        if data.get("machines") and data.get("reach") != "selected":
            self.add_error("reach", "Choose Selected, or select no machine.")
        if not self.errors and data.get("role") and data.get("scopes"):
            self.add_error("role", "Choose a role or scopes, not both.")
        return data


def _under(roots: tuple[str, ...]) -> Q:
    """Machines at these paths and below them."""
    found = Q(pk__in=[])
    for root in roots:
        if root in (ROOT, "/fleets"):
            return Q()
        if machine_id := paths.machine_id_of(root):
            found |= Q(pk=machine_id)
        elif slug := paths.fleet_slug_of(root):
            found |= Q(fleet__slug=slug)
    return found
