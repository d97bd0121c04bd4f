"""Machines."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet

from config.edge.access import Access
from config.edge.commands import Adding, CommandForm, RowVerb, offer
from config.edge.facts import Cell, Fact, Section, linked
from config.edge.form_fields import Line, Lines
from config.edge.remembering import seen_ids
from config.edge.scoped_admin import ScopedAdmin, together
from fleets import machines, policy
from fleets.admin.inventory import item_cell
from fleets.admin.inventory_forms import PartField
from fleets.admin.scope import FleetFilter, OrganizationFilter, fleet_of, fleets_seen, reach
from fleets.models import Fleet, Machine, MachineTemplate

LISTED = 20  # requested actions that a page shows


class TagsField(Lines):
    """Tags, one a line."""

    def __init__(self) -> None:
        super().__init__(rows=3, required=False, max_length=4000, help_text="One a line.")

    def clean(self, value: Any) -> Any:
        """The verb says which are none."""
        return [tag for line in super().clean(value).splitlines() if (tag := line.strip())]


class RegistrationForm(CommandForm):
    fleet = forms.ChoiceField()
    name = Line(max_length=63)
    kind = forms.ChoiceField(choices=Machine.Kind.choices, initial=Machine.Kind.VIRTUAL)
    vmid = forms.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, label="VMID", help_text="Where the machine has one."
    )
    tags = TagsField()
    template = PartField(MachineTemplate, "A quick machine starts with its configuration.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fleets = {str(row.pk): row for row in fleets_open_to(self.by)}
        offer(self, "fleet", [(key, f"{row.name} ({row.organization})") for key, row in self.fleets.items()])
        self.offer_templates()

    def offer_templates(self) -> None:
        """For a quick machine; who sees no template is not asked for one."""
        field = self.fields["template"]
        assert isinstance(field, PartField)
        if not field.offer(self.by, {row.organization for row in self.fleets.values()}):
            del self.fields["template"]

    def clean_fleet(self) -> Fleet:
        return self.fleets[self.cleaned_data["fleet"]]


class TagsForm(CommandForm):
    tags = TagsField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tags"].initial = "\n".join(self.row.tags)


class MoveForm(CommandForm):
    fleet = forms.ChoiceField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        here = self.row.organization_id
        others = [
            row for row in fleets_open_to(self.by) if row.organization_id == here and row != self.row.fleet
        ]
        offer(self, "fleet", [(str(row.pk), row.name) for row in others])

    def clean_fleet(self) -> Fleet:
        return fleet_of(self.by, self.row.organization_id, self.cleaned_data["fleet"])


def fleets_open_to(by: Access) -> list[Fleet]:
    return [fleet for fleet in fleets_seen(by) if policy.may_register(by, fleet)]


@admin.register(Machine)
class MachineAdmin(ScopedAdmin):
    list_display = ("name", "fleet", "kind", "vmid", "tag_list", "organization", "registered_at")
    list_filter = (OrganizationFilter, FleetFilter)
    search_fields = ("name", "tag_rows__tag")
    ordering = ("name", "pk")
    sortable_by = ("name", "vmid", "registered_at")
    place = 20
    about = "What there is to reach, fleet by fleet."
    nothing = "You reach no machine."
    adding = Adding(
        "Register a machine",
        lambda by: bool(fleets_open_to(by)),
        RegistrationForm,
        lambda data, by: machines.register(**data, by=by),
        "Adds a machine to a fleet. Whoever looks after the fleet reaches it at once.",
        "The machine is registered.",
    )
    verbs = (
        RowVerb(
            "retag",
            "Change tags",
            policy.may_write,
            lambda row, data, by: machines.retag(row, tags=data["tags"], by=by),
            lambda row: f"Replaces all tags of {row.name}.",
            "The machine has its new tags.",
            form=TagsForm,
        ),
        RowVerb(
            "move",
            "Move",
            policy.may_write,
            lambda row, data, by: machines.move(row, fleet=data["fleet"], by=by),
            lambda row: (
                f"Puts {row.name} into another fleet of {row.organization}. "
                f"Who reaches it by {row.fleet.name} no longer does; "
                "entries and tokens that name it there reach nothing until it is back."
            ),
            "The machine is in its new fleet.",
            form=MoveForm,
        ),
        RowVerb(
            "deregister",
            "Deregister",
            policy.may_write,
            lambda row, _, by: machines.deregister(row, by=by),
            lambda row: (
                f"Ends {row.name}. Nothing reaches it any more, and what names it will not reach a later machine "
                "of the same name. This can’t be undone."
            ),
            "The machine is deregistered.",
            is_grave=True,
        ),
    )

    def visible(self, by: Access) -> QuerySet[Machine]:
        reached = [reach(by, key).machines() for key in seen_ids(by)]
        rows = together(reached, Machine.objects.all())
        return rows.select_related("fleet", "organization").prefetch_related("tag_rows")

    def shown(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.select_related("fleet", "organization", "template__organization")

    def facts(self, row: Machine, by: Access) -> list[Fact]:
        return [
            Fact("Name", row.name),
            Fact("Fleet", linked(row.fleet)),
            Fact("Organization", row.organization),
            Fact("Kind", row.kind),
            Fact("VMID", row.vmid),
            Fact("Tags", self.tag_list(row)),
            Fact("Made from", item_cell(row.template, by)),
            Fact("Registered", row.registered_at),
            Fact("Path", row.path),
        ]

    def sections(self, row: Machine, by: Access) -> list[Section]:
        settings = [
            [Cell(name), Cell(json.dumps(value, ensure_ascii=False) if value is not None else "not set")]
            for name, value in row.configuration.items()
        ]
        asked = [
            [
                Cell(action.requested_at),
                Cell(action.action),
                Cell(action.requested_by or "–"),
                Cell(action.state),
            ]
            for action in row.actions.select_related("requested_by").order_by("-pk")[:LISTED]
        ]
        return [
            Section("Configuration", ("Setting", "Value"), settings, "Nothing is configured."),
            Section("Requested actions", ("When", "Action", "By", "State"), asked, "None was requested."),
        ]

    @admin.display(description="tags")
    def tag_list(self, row: Machine) -> str:
        return ", ".join(row.tags) or "–"
