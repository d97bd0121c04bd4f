"""What organizations own: fleets, groups, applications. Open, change, close; who belongs to each is in membership."""

from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from audit.actions import Action
from audit.trail import differences, record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import IllegalMove, require
from config.edge.taken import unless_taken
from fleets import consequences, currency, entries, gains, machines, policy
from fleets.models import AclEntry, Application, Fleet, Group, Organization, User

AnyOwner = Fleet | Group | Application
Owned = TypeVar("Owned", Fleet, Group, Application)


@dataclass(frozen=True)
class Ended:
    """What a closing took with it: how many machines and entries, and the names of the tokens."""

    machines: int
    entries: int
    tokens: list[str]


@verb(Action.FLEET_OPENED)
def open_fleet(organization: Organization, *, slug: str, name: str, by: Access) -> Fleet:
    return _open(Fleet(organization=organization, slug=slug, name=name), Action.FLEET_OPENED, by)


@verb(Action.GROUP_OPENED)
def open_group(organization: Organization, *, slug: str, name: str, by: Access) -> Group:
    return _open(Group(organization=organization, slug=slug, name=name), Action.GROUP_OPENED, by)


@verb(Action.APPLICATION_OPENED)
def open_application(
    organization: Organization, *, slug: str, name: str, description: str = "", by: Access
) -> Application:
    row = Application(organization=organization, slug=slug, name=name, description=description)
    return _open(row, Action.APPLICATION_OPENED, by)


@verb(Action.FLEET_CHANGED)
def rename_fleet(fleet: Fleet, *, name: str, by: Access) -> None:
    _change(fleet, {"name": name}, Action.FLEET_CHANGED, by)


@verb(Action.GROUP_CHANGED)
def rename_group(group: Group, *, name: str, by: Access) -> None:
    _change(group, {"name": name}, Action.GROUP_CHANGED, by)


@verb(Action.APPLICATION_CHANGED)
def change_application(
    application: Application, *, name: str | None = None, description: str | None = None, by: Access
) -> None:
    """Change its name, its description or both."""
    said = {"name": name, "description": description}
    changes = {field: value for field, value in said.items() if value is not None}
    _change(application, changes, Action.APPLICATION_CHANGED, by)


@verb(Action.FLEET_CLOSED)
def close_fleet(fleet: Fleet, *, reason: str = "", by: Access) -> Ended:
    """End a fleet for ever: its tokens are revoked, its machines deregistered, entries on its path reach nothing."""
    return _close(fleet, Action.FLEET_CLOSED, reason, by)


@verb(Action.GROUP_CLOSED)
def close_group(group: Group, *, reason: str = "", by: Access) -> Ended:
    """End a group for ever: its tokens are revoked, and the entries that name it removed."""
    return _close(group, Action.GROUP_CLOSED, reason, by)


@verb(Action.APPLICATION_CLOSED)
def close_application(application: Application, *, reason: str = "", by: Access) -> Ended:
    """End an application for ever: its tokens are revoked."""
    return _close(application, Action.APPLICATION_CLOSED, reason, by)


def _open(row: Owned, action: Action, by: Access) -> Owned:
    require(policy.may_open_owner(by, row.organization), f"You may not open {row._meta.verbose_name}s here.")
    row.full_clean(validate_unique=False, validate_constraints=False)
    with unless_taken("This slug is taken; slugs are never reused.", "slug_taken"):
        row.save(force_insert=True)
    record(action, by=by, target=row)
    return row


def _change(row: AnyOwner, changes: dict[str, Any], action: Action, by: Access) -> None:
    require(policy.may_take_role_of(by, row), f"You may not change this {row._meta.verbose_name}.")
    before = {name: getattr(row, name) for name in changes}
    currency.claim(row, closed_at=None)
    for name, value in changes.items():
        setattr(row, name, value)
    row.full_clean(validate_unique=False, validate_constraints=False)
    row.save(update_fields=list(changes))
    record(action, by=by, target=row, data={"changes": differences(before, changes)})


def _close(row: AnyOwner, action: Action, reason: str, by: Access) -> Ended:
    """Everything below ends in the same transaction. Memberships stay as history; they give nothing any more."""
    require(policy.may_close(by, row), f"You may not close this {row._meta.verbose_name}.")
    currency.raise_(row.organization)  # for what its members hold by it, and what entries on its path give
    fresh = currency.lock(row)  # so that it wins over whatever else was read before
    if fresh.closed_at:
        raise IllegalMove(f"This {row._meta.verbose_name} is closed already.")
    row.version = fresh.version
    by.refresh()
    present = User.objects.filter(pk__in=row.memberships.present().values("user"))
    with gains.none_beyond(by, row.organization_id, present):  # a group's entries deny, too
        currency.claim(row, closed_at=None)
        row.closed_at = now()
        row.save(update_fields=["closed_at"])
    ended = Ended(
        machines=machines.deregister_all(row, by) if isinstance(row, Fleet) else 0,
        entries=entries.remove_all(AclEntry.objects.filter(group=row), by) if isinstance(row, Group) else 0,
        tokens=consequences.owner_closed(row, by),
    )
    record(action, by=by, target=row, reason=reason, data=asdict(ended))
    return ended
