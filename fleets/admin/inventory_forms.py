"""The forms of templates, networks and images, and which of them somebody manages."""

import json
from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.exceptions import APIException

from config.edge import parsing
from config.edge.access import Access
from config.edge.commands import CommandForm
from config.edge.form_fields import Line, Lines
from config.edge.refusals import Invalid
from fleets import policy
from fleets.admin.scope import OrganizationForm, organizations_where
from fleets.api.inventory_serializers import LONGEST_NETWORK
from fleets.api.serializers import LARGEST_NUMBER, MOST_ITEMS, Device
from fleets.inventory import AnyItem
from fleets.models import Image, MachineTemplate, Network, Organization

MIB = 2**20
SETTINGS = ("cpus", "memory", "disks", "networks")


def manages(kind: type[AnyItem]) -> Callable[[Access, Organization], bool]:
    return lambda by, organization: policy.may_manage_inventory(by, kind, organization)


def present(kind: type[AnyItem], by: Access) -> QuerySet[Any]:
    """The present ones of every organization in which the caller manages the kind."""
    organizations = organizations_where(by, manages(kind))
    rows: QuerySet[Any] = kind.objects.present().filter(organization__in=organizations)
    return rows.select_related("organization")


class ItemForm(CommandForm):
    name = Line(max_length=63)
    description = Line(required=False, max_length=500)


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
    cidr = Line(
        required=False,
        max_length=LONGEST_NETWORK,
        label="Addresses",
        help_text="A network with its prefix length, as 10.20.0.0/16 or 2001:db8::/32.",
    )


class NetworkAdding(AddingForm, NetworkForm):
    kind = Network


class NetworkChange(ChangeForm, NetworkForm):
    pass


class ImageForm(ItemForm):
    operating_system = Line(required=False, max_length=63)


class ImageAdding(AddingForm, ImageForm):
    kind = Image


class ImageChange(ChangeForm, ImageForm):
    pass


class DevicesField(Lines):
    """Disks or networks, one a line: a name, or an object in JSON, as the API takes them."""

    def __init__(self, label: str) -> None:
        super().__init__(
            rows=3,
            required=False,
            max_length=20_000,
            label=label,
            help_text='One a line: a name, or an object as {"name": "system", "size": 68719476736}.',
        )

    def to_python(self, value: Any) -> str:
        return "\n".join(line.strip() for line in super().to_python(value).splitlines())

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
