"""Templates, networks and images: what machines are made from. Each is a page for who manages its kind."""

import json
from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet

from config.edge.access import Access
from config.edge.commands import Adding, RowVerb
from config.edge.facts import Cell, Fact, Section, linked
from config.edge.scoped_admin import ScopedAdmin
from fleets import inventory, policy
from fleets.admin.inventory_forms import (
    SETTINGS,
    ImageAdding,
    ImageChange,
    NetworkAdding,
    NetworkChange,
    TemplateAdding,
    TemplateChange,
    manages,
    present,
)
from fleets.admin.scope import OrganizationFilter, is_anywhere, organizations_where
from fleets.inventory import AnyItem
from fleets.models import Image, MachineTemplate, Network

LISTED = 200  # templates that the page of an image or a network shows


def manages_row(by: Access, row: AnyItem) -> bool:
    return policy.may_manage_inventory(by, type(row), row.organization)


def settings_of(data: dict[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in SETTINGS if name in data}


def add_template(data: dict[str, Any], by: Access) -> MachineTemplate:
    others = {name: value for name, value in data.items() if name not in SETTINGS}
    return inventory.add_template(**others, configuration=settings_of(data), by=by)


def change_template(row: MachineTemplate, *, changes: dict[str, Any], by: Access) -> None:
    others = {name: value for name, value in changes.items() if name not in SETTINGS}
    inventory.change_template(row, changes={**others, "configuration": settings_of(changes)}, by=by)


def unless_nothing(change: Callable[..., None]) -> Callable[[Any, dict[str, Any], Access], None]:
    """A form that was sent as it was shown changes nothing."""

    def call(row: Any, data: dict[str, Any], by: Access) -> None:
        if data["changes"]:
            change(row, changes=data["changes"], by=by)

    return call


# Pages


class InventoryAdmin(ScopedAdmin):
    """What the three share."""

    list_filter = (OrganizationFilter,)
    search_fields = ("name", "description")
    ordering = ("name", "pk")
    kind: ClassVar[type[AnyItem]]

    def is_offered(self, by: Access) -> bool:
        return bool(organizations_where(by, manages(self.kind)))

    def visible(self, by: Access) -> QuerySet[Any]:
        return present(self.kind, by)

    def facts(self, row: Any, by: Access) -> list[Fact]:
        return [
            Fact("Name", row.name),
            Fact("Description", row.description),
            *self.own_facts(row, by),
            Fact("Organization", row.organization),
            Fact("Added", row.created_at),
        ]

    def own_facts(self, row: Any, by: Access) -> list[Fact]:
        raise NotImplementedError


def item_cell(item: AnyItem | None, by: Access) -> Cell:
    """What another row names: its id alone for who does not see it, no link where it was removed."""
    if item is None:
        return Cell(None)
    if not manages_row(by, item):
        return Cell(item.pk)
    return Cell(item.name) if item.removed_at else linked(item)


def templates_of(row: Network | Image, by: Access) -> list[Section]:
    """The templates that name it, for who sees templates."""
    if not policy.may_manage_inventory(by, MachineTemplate, row.organization):
        return []
    named_by = row.templates.filter(removed_at=None).order_by("name")[:LISTED]
    rows = [[linked(template), Cell(template.description)] for template in named_by]
    return [Section("Templates that name it", ("Name", "Description"), rows, "No template names it.")]


@admin.register(MachineTemplate)
class TemplateAdmin(InventoryAdmin):
    list_display = ("name", "description", "organization", "created_at")
    sortable_by = ("name", "created_at")
    place = 22
    kind = MachineTemplate
    heading = "Templates"
    about = "What new machines start with: their configuration, image and network."
    nothing = "There is no template yet."
    adding = Adding(
        "New template",
        is_anywhere(manages(MachineTemplate)),
        TemplateAdding,
        add_template,
        "Adds what machines can be made from. A machine registered from it starts with its configuration.",
        "The template is there.",
    )
    verbs = (
        RowVerb(
            "edit",
            "Change",
            manages_row,
            unless_nothing(change_template),
            lambda row: (
                f"Machines made from {row.name} from now on start with this. Those that are there keep what they got."
            ),
            "The template is changed.",
            form=TemplateChange,
        ),
        RowVerb(
            "remove",
            "Remove",
            manages_row,
            lambda row, _, by: inventory.remove_template(row, by=by),
            lambda row: (
                f"Ends {row.name}: no machine can be made from it any more. Those that were keep what they got. "
                "This can’t be undone."
            ),
            "The template is removed.",
            is_grave=True,
        ),
    )

    def shown(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.select_related("organization", "image__organization", "network__organization")

    def own_facts(self, row: MachineTemplate, by: Access) -> list[Fact]:
        return [Fact("Image", item_cell(row.image, by)), Fact("Network", item_cell(row.network, by))]

    def sections(self, row: MachineTemplate, by: Access) -> list[Section]:
        settings = [
            [Cell(name), Cell(json.dumps(value, ensure_ascii=False) if value is not None else "not set")]
            for name, value in row.configuration.items()
        ]
        return [Section("Configuration", ("Setting", "Value"), settings, "Nothing is configured.")]


@admin.register(Network)
class NetworkAdmin(InventoryAdmin):
    list_display = ("name", "cidr", "description", "organization", "created_at")
    sortable_by = ("name", "created_at")
    place = 24
    kind = Network
    about = "The networks that machines can be put in."
    nothing = "There is no network yet."
    adding = Adding(
        "New network",
        is_anywhere(manages(Network)),
        NetworkAdding,
        lambda data, by: inventory.add_network(**data, by=by),
        "Adds a network that templates can name.",
        "The network is there.",
    )
    verbs = (
        RowVerb(
            "edit",
            "Change",
            manages_row,
            unless_nothing(inventory.change_network),
            lambda row: f"Changes what is said of {row.name}. Templates that name it go on doing so.",
            "The network is changed.",
            form=NetworkChange,
        ),
        RowVerb(
            "remove",
            "Remove",
            manages_row,
            lambda row, _, by: inventory.remove_network(row, by=by),
            lambda row: f"Ends {row.name}, as long as no template names it. This can’t be undone.",
            "The network is removed.",
            is_grave=True,
        ),
    )

    def own_facts(self, row: Network, by: Access) -> list[Fact]:
        return [Fact("Addresses", row.cidr)]

    def sections(self, row: Network, by: Access) -> list[Section]:
        return templates_of(row, by)


@admin.register(Image)
class ImageAdmin(InventoryAdmin):
    list_display = ("name", "operating_system", "description", "organization", "created_at")
    sortable_by = ("name", "operating_system", "created_at")
    place = 26
    kind = Image
    about = "What machines’ disks are filled from."
    nothing = "There is no image yet."
    adding = Adding(
        "New image",
        is_anywhere(manages(Image)),
        ImageAdding,
        lambda data, by: inventory.add_image(**data, by=by),
        "Adds an image that templates can name.",
        "The image is there.",
    )
    verbs = (
        RowVerb(
            "edit",
            "Change",
            manages_row,
            unless_nothing(inventory.change_image),
            lambda row: f"Changes what is said of {row.name}. Templates that name it go on doing so.",
            "The image is changed.",
            form=ImageChange,
        ),
        RowVerb(
            "remove",
            "Remove",
            manages_row,
            lambda row, _, by: inventory.remove_image(row, by=by),
            lambda row: f"Ends {row.name}, as long as no template names it. This can’t be undone.",
            "The image is removed.",
            is_grave=True,
        ),
    )

    def own_facts(self, row: Image, by: Access) -> list[Fact]:
        return [Fact("Operating system", row.operating_system)]

    def sections(self, row: Image, by: Access) -> list[Section]:
        return templates_of(row, by)
