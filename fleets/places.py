"""Paths against the database: does what they name exist, and which machine bears a vmid."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q

from config.edge.refusals import Invalid
from fleets import paths
from fleets.models import Fleet, Machine


def resolved(organization_id: UUID, text: str, *, field: str = "path") -> str:
    """The canonical path that `text` means in the organization: `/vms/<vmid>` becomes its live machine's.

    Invalid where it is malformed, or under a fleet or machine that does not exist (any more).
    """
    path = canonical(organization_id, text, field=field)
    require_living(organization_id, path, field=field)
    return path


def canonical(organization_id: UUID, text: str, *, field: str = "path") -> str:
    """As `resolved`, whether or not what it names exists."""
    try:
        path = paths.normalise(text)
    except paths.PathError as error:
        raise Invalid.field(field, str(error), "bad_path") from None
    vmid = paths.vmid_of(path)
    if vmid is None:
        return path
    machines = Machine.objects.live().select_related("fleet")
    bearer = machines.filter(organization_id=organization_id, vmid=vmid).first()
    return bearer.path if bearer else path


def require_living(organization_id: UUID, path: str, *, field: str = "path") -> None:
    if path not in living(organization_id, [path]):
        raise Invalid.field(field, "There is no such fleet or machine.", "unknown_path")


def living(organization_id: UUID, named: Iterable[str]) -> frozenset[str]:
    """Those of normalised paths that are free or name what exists: entries of what is closed die with it."""
    named = frozenset(named)
    in_fleets = {path: paths.fleet_slug_of(path) for path in named if paths.fleet_slug_of(path)}
    if not in_fleets:
        return named
    fleets = Fleet.objects.filter(
        organization_id=organization_id, closed_at=None, slug__in=set(in_fleets.values())
    )
    slugs = set(fleets.values_list("slug", flat=True))
    machine_ids = {path: machine_id for path in in_fleets if (machine_id := paths.machine_id_of(path))}
    machine_paths = set()
    if machine_ids:
        machines = Machine.objects.live().filter(
            Q(pk__in=set(machine_ids.values())), organization_id=organization_id
        )
        machine_paths = {
            paths.machine_path(slug, pk) for slug, pk in machines.values_list("fleet__slug", "pk")
        }
    return frozenset(
        path
        for path in named
        if path not in in_fleets
        or (in_fleets[path] in slugs and (path not in machine_ids or path in machine_paths))
    )
