"""What is done to machines: register, retag, move, deregister, configure; record a requested action."""

import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from audit.actions import Action
from audit.trail import differences, record, record_all
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Conflict, IllegalMove, InsufficientScope, Invalid
from fleets import consequences, currency, gains, inventory, paths, policy
from fleets.models import AclEntry, Fleet, Machine, MachineAction, MachineTag, MachineTemplate
from fleets.scopes import Scope

TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=/-]{0,62}")


@verb(Action.MACHINE_REGISTERED)
def register(
    fleet: Fleet,
    *,
    name: str,
    kind: str = Machine.Kind.VIRTUAL,
    vmid: int | None = None,
    tags: Iterable[str] = (),
    template: UUID | None = None,
    by: Access,
) -> Machine:
    """Add a machine to a fleet. Conflict where its name or vmid is borne by a live one, or the vmid has entries.

    `template` is the id of one of the organization: a quick machine starts with its configuration.
    """
    if not policy.may_register(by, fleet):
        raise InsufficientScope(Scope.MACHINES_WRITE, fleet.path)
    if vmid is not None:
        _require_free(fleet, vmid)
    currency.lock_open(fleet)
    machine = Machine(organization_id=fleet.organization_id, fleet=fleet, name=name, kind=kind, vmid=vmid)
    if template is not None:
        machine.template = inventory.named(MachineTemplate, "template", template, fleet.organization)
        machine.configuration = dict(machine.template.configuration)
    machine.full_clean(validate_unique=False, validate_constraints=False)
    _save(machine)
    _set_tags(machine, tags)
    if vmid is not None:  # /vms/<vmid> means another path from now on
        currency.raise_(fleet.organization)
    record(
        Action.MACHINE_REGISTERED,
        by=by,
        target=machine,
        data={
            "fleet": fleet.slug,
            "vmid": vmid,
            "kind": kind,
            "template": str(template) if template else None,
        },
    )
    return machine


@verb(Action.MACHINE_RETAGGED)
def retag(machine: Machine, *, tags: Iterable[str], by: Access) -> None:
    """Replace a machine's tags."""
    _require_may_write(machine, by)
    before = machine.tags
    _claim(machine)
    _set_tags(machine, tags)
    record(Action.MACHINE_RETAGGED, by=by, target=machine, data={"changes": {"tags": [before, machine.tags]}})


@verb(Action.MACHINE_MOVED)
def move(machine: Machine, *, fleet: Fleet, by: Access) -> None:
    """Put a machine into another fleet of its organization. Entries on its old path reach nothing until it is back."""
    gains.queue(machine.organization, by)
    _require_may_write(machine, by)
    if not policy.may_register(by, fleet):
        raise InsufficientScope(Scope.MACHINES_WRITE, fleet.path)
    if fleet.organization_id != machine.organization_id:
        raise Conflict("Machines do not leave their organization.", code="other_organization")
    before = machine.fleet.slug
    currency.raise_(machine.organization)
    currency.lock_open(fleet)
    _claim(machine)
    with gains.none_beyond_on(machine, to=fleet, by=by):
        machine.fleet = fleet
        _save(machine, ["fleet"])
    record(Action.MACHINE_MOVED, by=by, target=machine, data={"changes": {"fleet": [before, fleet.slug]}})


@verb(Action.MACHINE_DEREGISTERED)
def deregister(machine: Machine, *, by: Access) -> None:
    """End a machine: what names it reaches nothing any more, nor a later one of the same name or vmid."""
    _require_may_write(machine, by)
    currency.raise_(machine.organization)
    _claim(machine)
    machine.deregistered_at = now()
    machine.save(update_fields=["deregistered_at"])
    record(Action.MACHINE_DEREGISTERED, by=by, target=machine, data={"fleet": machine.fleet.slug})


def deregister_all(fleet: Fleet, by: Access) -> int:
    """End the machines of a fleet that closes, under its lock; how many. Else they would bear their vmids for ever."""
    ended = currency.lock_all(Machine.objects.filter(fleet=fleet, deregistered_at=None))
    currency.change_all(ended, deregistered_at=now())
    record_all(Action.MACHINE_DEREGISTERED, by=by, targets=ended, data={"fleet": fleet.slug})
    return len(ended)


@verb(Action.MACHINE_CONFIGURED)
def configure(machine: Machine, *, changes: dict[str, Any], by: Access) -> None:
    """Change some of cpus, memory (bytes), disks and networks."""
    if not policy.may_configure(by, machine):
        raise InsufficientScope(Scope.MACHINES_CONFIGURE, machine.path)
    before = dict(machine.configuration)
    _claim(machine)
    machine.configuration = {**before, **changes}
    machine.save(update_fields=["configuration"])
    record(Action.MACHINE_CONFIGURED, by=by, target=machine, data={"changes": differences(before, changes)})


@verb(Action.MACHINE_ACTION_REQUESTED)
def request_action(machine: Machine, *, action: str, by: Access) -> MachineAction:
    """Record that the fleet's controller shall start, stop, pause, resume or restart a machine."""
    if not policy.may_operate(by, machine):
        raise InsufficientScope(Scope.MACHINES_OPERATE, machine.path)
    _require_live(currency.lock(machine))
    requested = MachineAction.objects.create(machine=machine, action=action, requested_by=by.user)
    data = {"action": action, "id": str(requested.pk)}
    record(Action.MACHINE_ACTION_REQUESTED, by=by, target=machine, data=data)
    return requested


def _require_may_write(machine: Machine, by: Access) -> None:
    if not policy.may_write(by, machine):
        raise InsufficientScope(Scope.MACHINES_WRITE, machine.path)


def _require_live(machine: Machine) -> None:
    if machine.deregistered_at:
        raise IllegalMove("This machine is deregistered.")


def _claim(machine: Machine) -> None:
    _require_live(machine)
    currency.claim(machine, deregistered_at=None)


def _require_free(fleet: Fleet, vmid: int) -> None:
    """A path that entries name as a free one must not come to mean a machine behind their back."""
    try:
        path = paths.vms_path(vmid)
    except paths.PathError:
        raise Invalid.field("vmid", "A whole number of at most nine digits, 1 or more.") from None
    currency.lock(fleet.organization)
    entries = AclEntry.objects.filter(organization=fleet.organization_id, path=path)
    if entries.exists() or consequences.has_grants_at(fleet.organization_id, path):
        raise Conflict(f"There are entries on {path}. Remove them first.", code="vmid_has_entries")


def _save(machine: Machine, fields: list[str] | None = None) -> None:
    try:
        with transaction.atomic():
            machine.save(force_insert=fields is None, update_fields=fields)
    except IntegrityError as error:
        if "vmid" in str(error):
            raise Conflict("A live machine of the organization bears this vmid.", code="vmid_taken") from None
        raise Conflict("A live machine of the fleet bears this name.", code="name_taken") from None


def _set_tags(machine: Machine, tags: Iterable[str]) -> None:
    tags = list(tags)
    for tag in tags:
        if not TAG.fullmatch(tag):
            raise Invalid.field(
                "tags", "Letters, digits and . _ : = / - only, at most 63, a letter or digit first."
            )
    MachineTag.objects.filter(machine=machine).delete()
    MachineTag.objects.bulk_create(MachineTag(machine=machine, tag=tag) for tag in sorted(set(tags)))
    getattr(machine, "_prefetched_objects_cache", {}).pop("tag_rows", None)
