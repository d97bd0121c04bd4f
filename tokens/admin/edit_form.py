"""What people fill in to edit a token."""

from datetime import datetime
from typing import Any

from django import forms

from config.edge.clock import now
from fleets.scopes import Scope
from tokens import expiry, policy
from tokens.admin import words
from tokens.admin.choices import givable
from tokens.admin.reach_form import ReachForm
from tokens.changes import NOTHING_LEFT
from tokens.lifecycle import UNCHANGED, Edit, Unchanged
from tokens.models import Token
from tokens.wishes import Wish


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
            name=data["name"] if "name" in self.changed_data else UNCHANGED,
            description=data["description"] if "description" in self.changed_data else UNCHANGED,
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
