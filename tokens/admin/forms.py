"""What people fill in to issue, rotate and revoke tokens."""

from datetime import timedelta
from typing import Any

from django import forms

from config.edge import once
from config.edge.commands import CommandForm, ReasonForm
from config.edge.form_fields import Line
from fleets.organization_policy import policy_of
from tokens import expiry
from tokens.admin.reach_form import ReachForm
from tokens.admin.restriction_fields import RestrictionFields
from tokens.lifecycle import LONGEST_OVERLAP
from tokens.wishes import Expiry, Wish

REVOKE = "REVOKE"
OVERLAPS = {
    "0": "At once",
    "15m": "In 15 minutes",
    "1h": "In an hour",
    "24h": "In 24 hours",
    "7d": f"In {LONGEST_OVERLAP.days} days",
}


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
    word = Line(
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
