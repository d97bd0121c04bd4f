"""The inventory that machines are made from: templates, networks and images are added, changed and removed."""

from typing import Any, TypeVar
from uuid import UUID

from django.db.models import QuerySet

from audit.actions import Action
from audit.trail import differences, record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.networks import parse_network
from config.edge.refusals import Conflict, IllegalMove, InsufficientScope, Invalid
from config.edge.taken import unless_taken
from fleets import currency, policy
from fleets.models import Image, MachineTemplate, Network, Organization, no_configuration
from fleets.paths import ROOT

Item = TypeVar("Item", MachineTemplate, Network, Image)
AnyItem = MachineTemplate | Network | Image


@verb(Action.TEMPLATE_ADDED)
def add_template(
    organization: Organization,
    *,
    name: str,
    description: str = "",
    configuration: dict[str, Any] | None = None,
    image: UUID | None = None,
    network: UUID | None = None,
    by: Access,
) -> MachineTemplate:
    """Add what machines are made from; `image` and `network` are ids of the organization's."""
    _require_may_manage(MachineTemplate, organization, by)
    template = MachineTemplate(
        organization=organization,
        name=name,
        description=description,
        configuration={**no_configuration(), **(configuration or {})},
        **_parts({"image": image, "network": network}, organization),
    )
    return _added(template, Action.TEMPLATE_ADDED, by)


@verb(Action.TEMPLATE_CHANGED)
def change_template(template: MachineTemplate, *, changes: dict[str, Any], by: Access) -> None:
    """Change some of name, description, configuration (field by field), image and network.

    Machines that were made from it keep what they got.
    """
    _require_may_manage(MachineTemplate, template.organization, by)
    changes = {**changes, **_parts(changes, template.organization)}
    if "configuration" in changes:
        changes["configuration"] = {**template.configuration, **changes["configuration"]}
    _change(template, changes, Action.TEMPLATE_CHANGED, by)


@verb(Action.TEMPLATE_REMOVED)
def remove_template(template: MachineTemplate, *, by: Access) -> None:
    """End a template. Machines that were made from it keep what they got, and go on saying where it came from."""
    _require_may_manage(MachineTemplate, template.organization, by)
    _remove(template, Action.TEMPLATE_REMOVED, by)


@verb(Action.NETWORK_ADDED)
def add_network(
    organization: Organization, *, name: str, description: str = "", cidr: str = "", by: Access
) -> Network:
    """Add a network that machines can be put in."""
    _require_may_manage(Network, organization, by)
    network = Network(organization=organization, name=name, description=description, cidr=_canonical(cidr))
    return _added(network, Action.NETWORK_ADDED, by)


@verb(Action.NETWORK_CHANGED)
def change_network(network: Network, *, changes: dict[str, Any], by: Access) -> None:
    """Change some of name, description and cidr."""
    _require_may_manage(Network, network.organization, by)
    if "cidr" in changes:
        changes = {**changes, "cidr": _canonical(changes["cidr"])}
    _change(network, changes, Action.NETWORK_CHANGED, by)


@verb(Action.NETWORK_REMOVED)
def remove_network(network: Network, *, by: Access) -> None:
    """End a network; Conflict while a template names it."""
    _require_may_manage(Network, network.organization, by)
    _remove(network, Action.NETWORK_REMOVED, by)


@verb(Action.IMAGE_ADDED)
def add_image(
    organization: Organization, *, name: str, description: str = "", operating_system: str = "", by: Access
) -> Image:
    """Add what a machine's disk can be filled from."""
    _require_may_manage(Image, organization, by)
    image = Image(
        organization=organization, name=name, description=description, operating_system=operating_system
    )
    return _added(image, Action.IMAGE_ADDED, by)


@verb(Action.IMAGE_CHANGED)
def change_image(image: Image, *, changes: dict[str, Any], by: Access) -> None:
    """Change some of name, description and operating_system."""
    _require_may_manage(Image, image.organization, by)
    _change(image, changes, Action.IMAGE_CHANGED, by)


@verb(Action.IMAGE_REMOVED)
def remove_image(image: Image, *, by: Access) -> None:
    """End an image; Conflict while a template names it."""
    _require_may_manage(Image, image.organization, by)
    _remove(image, Action.IMAGE_REMOVED, by)


def seen(kind: type[Item], organization: Organization, by: Access) -> QuerySet[Item]:
    """The present ones of an organization, for who manages them; nobody else sees any."""
    rows: QuerySet[Item] = kind._default_manager.filter(organization=organization, removed_at=None)
    return rows if policy.may_manage_inventory(by, kind, organization) else rows.none()


def named(kind: type[Item], field: str, key: UUID, organization: Organization) -> Item:
    """The present one of that id, which `field` of a command names. It stays present until the transaction ends."""
    rows: QuerySet[Item] = kind._default_manager.filter(organization=organization, removed_at=None)
    found = rows.select_for_update(no_key=True).filter(pk=key).first()
    if found is None:
        raise Invalid.field(field, f"There is no such {field}.", "not_found")
    return found


def _parts(values: dict[str, Any], organization: Organization) -> dict[str, Any]:
    """The rows that a template's image and network name: locked in this order and before it, never the other way."""
    rows: dict[str, Image | Network | None] = {}
    if "image" in values:
        rows["image"] = values["image"] and named(Image, "image", values["image"], organization)
    if "network" in values:
        rows["network"] = values["network"] and named(Network, "network", values["network"], organization)
    return rows


def _canonical(cidr: str) -> str:
    try:
        return str(parse_network(cidr)) if cidr else ""
    except ValueError as error:
        raise Invalid.field("cidr", str(error)) from None


def _require_may_manage(kind: type[AnyItem], organization: Organization, by: Access) -> None:
    if not policy.may_manage_inventory(by, kind, organization):
        raise InsufficientScope(policy.MANAGED_BY[kind], ROOT)


def _added(item: Item, action: Action, by: Access) -> Item:
    item.full_clean(validate_unique=False, validate_constraints=False)
    _save(item)
    record(action, by=by, target=item, data=_facts(item))
    return item


def _change(item: AnyItem, changes: dict[str, Any], action: Action, by: Access) -> None:
    _claim(item)
    before = _facts(item)
    for name, value in changes.items():
        setattr(item, name, value)
    item.full_clean(validate_unique=False, validate_constraints=False)
    _save(item, [*changes])
    record(action, by=by, target=item, data={"changes": differences(before, _facts(item))})


def _remove(item: AnyItem, action: Action, by: Access) -> None:
    _claim(item)  # before it is asked who names it: whoever is about to has locked the row
    if isinstance(item, Image | Network):
        users = item.templates.filter(removed_at=None).count()
        if users:
            raise Conflict(
                f"{users} template{'s name' if users > 1 else ' names'} it. Change or remove what does first.",
                code="in_use",
            )
    item.removed_at = now()
    item.save(update_fields=["removed_at"])
    record(action, by=by, target=item)


def _claim(item: AnyItem) -> None:
    if item.removed_at:
        raise IllegalMove("It was removed.")
    currency.claim(item, removed_at=None)


def _save(item: AnyItem, fields: list[str] | None = None) -> None:
    with unless_taken("There is one of this name already.", "name_taken"):
        item.save(force_insert=fields is None, update_fields=fields)


KEPT = {"id", "organization", "version", "created_at", "removed_at"}


def _facts(item: AnyItem) -> dict[str, Any]:
    """What can be said of an item in an event: what its verbs set, rows by their ids."""
    fields = [field for field in item._meta.concrete_fields if field.name not in KEPT]
    return {
        field.name: str(value) if isinstance(value := field.value_from_object(item), UUID) else value
        for field in fields
    }
