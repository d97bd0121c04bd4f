"""Templates, networks and images: what machines are made from. Each is a page for who manages its kind."""

import json
from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.exceptions import APIException

from config.edge import parsing
from config.edge.access import Access
from config.edge.commands import Adding, CommandForm, RowVerb
from config.edge.facts import Cell, Fact, Section, linked
from config.edge.refusals import Invalid
from config.edge.scoped_admin import ScopedAdmin
from fleets import inventory, policy
from fleets.admin.scope import OrganizationFilter, OrganizationForm, is_anywhere, organizations_where
from fleets.api.serializers import LARGEST_NUMBER, MOST_ITEMS, Device
from fleets.inventory import AnyItem
from fleets.models import Image, MachineTemplate, Network, Organization

MIB = 2**20
SETTINGS = ("cpus", "memory", "disks", "networks")
LISTED = 200  # templates that the page of an image or a network shows


def manages(kind: type[AnyItem]) -> Callable[[Access, Organization], bool]:
    return lambda by, organization: policy.may_manage_inventory(by, kind, organization)


def manages_row(by: Access, row: AnyItem) -> bool:
    return policy.may_manage_inventory(by, type(row), row.organization)


def present(kind: type[AnyItem], by: Access) -> QuerySet[Any]:
    """The present ones of every organization in which the caller manages the kind."""
    organizations = organizations_where(by, manages(kind))
    rows: QuerySet[Any] = kind.objects.present().filter(organization__in=organizations)
    return rows.select_related("organization")


# Forms


class ItemForm(CommandForm):
    name = forms.CharField(max_length=63)
    description = forms.CharField(required=False, max_length=500)


class AddingForm(OrganizationForm):
    kind: ClassVar[type[AnyItem]]
    field_order = ("organization",)

    def open_to(self, by: Access) -> Iterable[Organization]:
        return organizations_where(by, manages(self.kind))


class ChangeForm(CommandForm):
    """Starts with what the row says. `changes`, in what it gives, holds the fields that say something else now."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.initial = self.said(name)

    def said(self, name: str) -> Any:
        return getattr(self.row, name)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        return {**data, "changes": {name: data[name] for name in self.changed_data if name in data}}


class NetworkForm(ItemForm):
    cidr = forms.CharField(
        required=False,
        max_length=64,
        label="Addresses",
        help_text="A network with its prefix length, as 10.20.0.0/16 or 2001:db8::/32.",
    )


class NetworkAdding(AddingForm, NetworkForm):
    kind = Network


class NetworkChange(ChangeForm, NetworkForm):
    pass


class ImageForm(ItemForm):
    operating_system = forms.CharField(required=False, max_length=63)


class ImageAdding(AddingForm, ImageForm):
    kind = Image


class ImageChange(ChangeForm, ImageForm):
    pass


class DevicesField(forms.CharField):
    """Disks or networks, one a line: a name, or an object in JSON, as the API takes them."""

    def __init__(self, label: str) -> None:
        super().__init__(
            required=False,
            max_length=20_000,
            label=label,
            widget=forms.Textarea(attrs={"rows": 3}),
            help_text='One a line: a name, or an object as {"name": "system", "size": 68719476736}.',
        )

    def to_python(self, value: Any) -> str:
        """Browsers send CR LF: with LF alone what was not touched is the same text."""
        return "\n".join(line.strip() for line in (super().to_python(value) or "").splitlines())

    def clean(self, value: Any) -> Any:
        lines = [line for line in super().clean(value).splitlines() if line]
        if len(lines) > MOST_ITEMS:
            raise ValidationError(f"At most {MOST_ITEMS}.")
        try:
            return [
                Device().run_validation(parsing.loads(line.encode()) if line.startswith("{") else line)
                for line in lines
            ]
        except Invalid as refusal:
            raise ValidationError(refusal.detail) from None
        except APIException as error:
            raise ValidationError(
                str(error.detail[0] if isinstance(error.detail, list) else error.detail)
            ) from None

    @staticmethod
    def written(devices: Iterable[Any]) -> str:
        return "\n".join(
            device if isinstance(device, str) else json.dumps(device, ensure_ascii=False)
            for device in devices
        )


class PartField(forms.TypedChoiceField):
    """An image or a network, of those that the caller sees."""

    def __init__(self, kind: type[AnyItem], help_text: str = "") -> None:
        super().__init__(required=False, coerce=UUID, empty_value=None, help_text=help_text)
        self.kind = kind

    def offer(self, by: Access, organizations: Iterable[Organization], chosen: AnyItem | None = None) -> bool:
        """Whether there is any. `chosen` stays, even where the caller does not see it: then it has no name."""
        organizations = list(organizations)
        rows = list(present(self.kind, by).filter(organization__in=organizations).order_by("name", "pk"))
        several = len(organizations) > 1
        options = {str(row.pk): f"{row.name} ({row.organization})" if several else row.name for row in rows}
        if chosen is not None:
            options.setdefault(str(chosen.pk), str(chosen.pk))
        self.choices = [("", "none"), *options.items()]
        return bool(options)


class TemplateForm(ItemForm):
    cpus = forms.IntegerField(required=False, min_value=1, max_value=4096, label="CPUs")
    memory = forms.IntegerField(
        required=False, min_value=1, max_value=LARGEST_NUMBER // MIB, label="Memory (MiB)"
    )
    disks = DevicesField("Disks")
    networks = DevicesField("Network interfaces")
    image = PartField(Image)
    network = PartField(Network)

    def clean_memory(self) -> int | None:
        value: int | None = self.cleaned_data["memory"]
        return value and value * MIB

    @property
    def parts(self) -> list[tuple[str, PartField]]:
        return [(name, field) for name, field in self.fields.items() if isinstance(field, PartField)]


class TemplateAdding(AddingForm, TemplateForm):
    kind = MachineTemplate

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for _, field in self.parts:
            field.offer(self.by, self.organizations.values())


class TemplateChange(ChangeForm, TemplateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.parts:
            field.offer(self.by, [self.row.organization], getattr(self.row, name))

    def said(self, name: str) -> Any:
        if name in {"image", "network"}:
            return str(getattr(self.row, f"{name}_id") or "")
        if name not in SETTINGS:
            return super().said(name)
        value = self.row.configuration.get(name)
        if name == "memory":
            return value and value // MIB
        return DevicesField.written(value or ()) if name != "cpus" else value


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
