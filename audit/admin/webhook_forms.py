"""The forms of webhooks: where to, and which actions."""

from typing import Any

from django import forms

from audit.admin.scope import manageable
from audit.organizations import Named
from audit.webhooks.filters import MOST
from config.edge import once
from config.edge.commands import CommandForm, offer
from config.edge.destinations import LONGEST_URL
from config.edge.form_fields import Line, Lines


class ActionsField(Lines):
    """Names of actions, one a line."""

    def __init__(self) -> None:
        super().__init__(
            rows=4,
            max_length=MOST * 60,
            initial="*",
            help_text="One a line: an action as token.issued, all of one subject as approval.*, or * for all. "
            "Uses of tokens are never sent.",
        )

    def clean(self, value: Any) -> Any:
        return super().clean(value).split()


class WebhookForm(CommandForm):
    url = Line(max_length=LONGEST_URL, label="URL", help_text="https://…; who listens there gets the events.")
    description = Line(required=False, max_length=500)
    actions = ActionsField()
    enabled = forms.BooleanField(required=False, initial=True)


class WebhookAdding(WebhookForm):
    organization = forms.ChoiceField()
    once = once.key_field()
    field_order = ("organization",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organizations = {named.slug: named for named in manageable(self.by)}
        offer(self, "organization", [(slug, slug) for slug in self.organizations])

    def clean_organization(self) -> Named:
        return self.organizations[self.cleaned_data["organization"]]


class WebhookChange(WebhookForm):
    """Starts with what the row says. What it gives are the fields that say something else now."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("url", "description", "enabled"):
            self.fields[name].initial = getattr(self.row, name)
        self.fields["actions"].initial = "\n".join(self.row.actions)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        return {name: data[name] for name in data if data[name] != getattr(self.row, name)}


class RotateForm(CommandForm):
    once = once.key_field()
