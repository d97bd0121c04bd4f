"""What people fill in to issue, edit, rotate and revoke tokens. Choices offer only what the caller may give."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Q

from config.edge import once
from config.edge.clock import now
from config.edge.commands import CommandForm, ReasonForm, offer, reason_field
from fleets import paths, roles
from fleets.admin.scope import reach
from fleets.authority import ROLE_SCOPES, Role
from fleets.models import Fleet, Machine, Organization, OrganizationRole
from fleets.organization_policy import policy_of
from fleets.paths import ROOT
from fleets.scopes import Scope, parse_scopes
from tokens import expiry, policy, principals
from tokens.admin import words
from tokens.admin.choices import givable
from tokens.admin.restriction_fields import RestrictionFields
from tokens.changes import NOTHING_LEFT
from tokens.kinds import Owner
from tokens.lifecycle import LONGEST_OVERLAP, UNCHANGED, Edit, Unchanged
from tokens.models import EXTENDED, Token
from tokens.wishes import Expiry, Wish

REVOKE = "REVOKE"
MOST_LISTED = 400  # machines to choose from; a form has at most 500 fields
LIFETIMES = {
    "7d": "7 days",
    "30d": "30 days",
    "90d": "90 days",
    "6m": "6 months",
    "1y": "1 year",
    "never": "Never",
}
OVERLAPS = {
    "0": "At once",
    "15m": "In 15 minutes",
    "1h": "In an hour",
    "24h": "In 24 hours",
    "7d": f"In {LONGEST_OVERLAP.days} days",
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

    name = forms.CharField(
        max_length=63, help_text="Letters, digits and . _ @ + - only; never used again for this owner."
    )
    description = forms.CharField(required=False, max_length=500, widget=forms.Textarea(attrs={"rows": 2}))
    role = forms.ChoiceField(required=False, help_text="Gives the scopes that the role has today.")
    scopes = forms.MultipleChoiceField(required=False)
    reach = forms.ChoiceField(
        label="Machines", choices=[("all", "All"), ("selected", "Selected")], initial="all"
    )
    machines = forms.MultipleChoiceField(required=False, label="Selected machines")
    extended = forms.MultipleChoiceField(required=False)
    lifetime = forms.ChoiceField(required=False, label="Expires")
    until = forms.CharField(
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


class IssueForm(RestrictionFields, ReachForm):
    renames = ReachForm.renames | RestrictionFields.renames

    def offered_lifetimes(self) -> list[tuple[str, str]]:
        days = policy_of(self.organization).default_lifetime_days
        return [("", f"{days} days, the organization’s default"), *super().offered_lifetimes()]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[once.FIELD] = once.key_field()

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if not self.errors and not data["role"] and not data["scopes"]:
            self.add_error("scopes", "Choose at least one scope, or a role.")
        return data

    def wish(self) -> Wish:
        data = self.cleaned_data
        return Wish(
            scopes=data["scopes"] or None,
            role=data["role"] or None,
            machines=data["machines"] if data["reach"] == "selected" else "all",
            extended=frozenset(data["extended"]) or None,
        )

    def expiry(self) -> Expiry | None:
        chosen = self.cleaned_data["lifetime"]
        if not chosen:
            return None
        if chosen == "date":
            return Expiry(at=self.cleaned_data["until"])
        return Expiry(lifetime=expiry.parse_expires_in(chosen))


class EditForm(ReachForm):
    """What is not changed is not said to the verb, so that it stays whatever it is."""

    row: Token

    def __init__(self, *args: Any, row: Token, **kwargs: Any) -> None:
        self.row = row
        super().__init__(*args, row=row, organization=row.organization, owner=row.owner, **kwargs)
        self.initial = {
            "name": row.name,
            "description": row.description,
            "role": row.role,
            "scopes": [] if row.role else row.scopes,
            "reach": "keep",
            "extended": row.extended,
            "lifetime": "",
        }
        self.fields["reach"] = forms.ChoiceField(label="Machines", choices=self.offered_reaches())

    def offered_scopes(self) -> list[Scope]:
        """What the token has stays to be unchecked; more is offered to who could issue it."""
        held = {Scope(name) for name in self.row.scopes}
        if policy.may_issue_for(self.by, self.owner, self.organization):
            held |= givable(self.by, self.owner, self.organization)
        return [scope for scope in Scope if scope in held]

    def offered_roles(self) -> list[str]:
        roles = super().offered_roles()
        return roles if not self.row.role or self.row.role in roles else [self.row.role, *roles]

    def offered_extended(self) -> list[str]:
        return super().offered_extended() if self.row.privilege_separation else []

    def offered_lifetimes(self) -> list[tuple[str, str]]:
        return [("", f"As it is: {words.expiry_of(self.row)}"), *super().offered_lifetimes()]

    def offered_reaches(self) -> list[tuple[str, str]]:
        keep = ("keep", f"As it is: {words.reach_of(self.row)}")
        if not self.row.privilege_separation:
            return [keep]
        return [keep, ("all", "All"), ("selected", "Selected")]

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if not self.errors and not data["role"] and not data["scopes"]:
            self.add_error("scopes", NOTHING_LEFT)
        if not self.errors:
            data["change"] = self._change(data)
        return data

    def _change(self, data: dict[str, Any]) -> Edit:
        return Edit(
            name=data["name"] if data["name"] != self.row.name else UNCHANGED,
            description=data["description"] if data["description"] != self.row.description else UNCHANGED,
            wish=self._wish(data),
            expires_at=self._expires_at(data),
        )

    def _wish(self, data: dict[str, Any]) -> Wish | Unchanged:
        row = self.row
        is_other_role = data["role"] != row.role
        are_other_scopes = not data["role"] and data["scopes"] != frozenset(row.scopes)
        wish = Wish(
            role=data["role"] or None if is_other_role else None,
            scopes=data["scopes"] if are_other_scopes else None,
            machines={"keep": None, "all": "all", "selected": data["machines"]}[data["reach"]],
            extended=frozenset(data["extended"]) if set(data["extended"]) != set(row.extended) else None,
        )
        return UNCHANGED if wish == Wish() else wish

    def _expires_at(self, data: dict[str, Any]) -> datetime | Unchanged | None:
        chosen = data["lifetime"]
        if not chosen:
            return UNCHANGED
        if chosen == "date":
            at: datetime = data["until"]
            return at
        span = expiry.parse_expires_in(chosen)
        return None if span is None else now() + span


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


class RotateForm(CommandForm):
    overlap = forms.ChoiceField(
        label="The present secret ends",
        choices=list(OVERLAPS.items()),
        help_text="Until then both work, so that you can replace it without an interruption.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[once.FIELD] = once.key_field()

    def clean_overlap(self) -> timedelta:
        return expiry.parse_duration(self.cleaned_data["overlap"], maximum=LONGEST_OVERLAP)


class RevokeForm(ReasonForm):
    word = forms.CharField(
        label=f"Type {REVOKE} to confirm",
        max_length=20,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"}
        ),
    )
    field_order = ("word", "reason")

    def clean_word(self) -> str:
        word: str = self.cleaned_data["word"]
        if word != REVOKE:
            raise forms.ValidationError(f"Type {REVOKE}, in capitals.")
        return word
