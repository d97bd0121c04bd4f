"""What people fill in to decide. The digest of what they saw goes along, so that nobody agrees to something else."""

from typing import Any

from django import forms
from django.http import QueryDict

from approvals.standing import offer_of
from config.edge.commands import CommandForm
from config.edge.form_fields import Line, reason_field
from config.edge.refusals import DomainError

CHANGED = "diff_changed"
READ_BY = "Who asked reads it."


class DecisionForm(CommandForm):
    """Where it was changed meanwhile the form comes back with what it is now, to be read again."""

    diff_digest = Line(max_length=64, widget=forms.HiddenInput)
    comment = reason_field(READ_BY, rows=3)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["diff_digest"].initial = self.row.diff_digest

    def place(self, refusal: DomainError) -> None:
        super().place(refusal)
        if refusal.code == CHANGED and isinstance(self.data, QueryDict):
            sent = self.data.copy()
            sent["diff_digest"] = self.row.diff_digest
            self.data = sent


class ApproveForm(DecisionForm):
    pass


class RejectForm(DecisionForm):
    comment = reason_field(READ_BY, required=True, label="Why", rows=3)


class ApproveLessForm(DecisionForm):
    """A box for each part that can be left out."""

    kept = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Nothing would be left; reject it instead."},
    )
    field_order = ["kept", "comment", "diff_digest"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer = offer_of(self.row)
        kept = self.fields["kept"]
        assert isinstance(kept, forms.MultipleChoiceField)
        kept.label = offer.label if offer else ""
        kept.choices = list(offer.choices) if offer else []
        kept.initial = [value for value, _ in kept.choices]
        self.offer = offer
        self.renames = {f"narrowed.{offer.name}": "kept"} if offer else {}

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        return {**data, "narrowed": self.offer.keeping(data.get("kept", [])) if self.offer else {}}
