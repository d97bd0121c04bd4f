"""Paths of the estate: which are well formed, what lies above and below them, what they name.

Pure text. Whether a named fleet or machine exists, and which machine bears a vmid, is not decided here.
"""

import re
from collections.abc import Iterable
from uuid import UUID

ROOT = "/"
ANY_FLEET = "/fleets/*"  # stands for every fleet that nobody names: no real path contains `*`
MAX_LENGTH = 255  # characters
MAX_SEGMENTS = 16

_SEGMENT = re.compile(r"[A-Za-z0-9._~@+:-]+")
_SLUG = re.compile(r"[A-Za-z0-9_-]+")
_MACHINE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_VMID = re.compile(r"[1-9][0-9]{0,8}")  # Proxmox VE gives up to nine digits; they fit an integer column


class PathError(ValueError):
    """A path that nothing can be granted on; the message says why."""


def normalise(path: str) -> str:
    """The one spelling of this path; what has several readings is refused, never repaired.

    `/` is the root, and the only path that may end with a slash.
    """
    if path == ROOT:
        return ROOT
    if not path.startswith("/"):
        raise PathError("a path starts with '/'")
    if len(path) > MAX_LENGTH:
        raise PathError(f"a path has at most {MAX_LENGTH} characters")
    segments = path[1:].split("/")
    if len(segments) > MAX_SEGMENTS:
        raise PathError(f"a path has at most {MAX_SEGMENTS} segments")
    for segment in segments:
        _check_segment(segment)
    if segments[0] == "vms":
        _check_vms(segments)
    if segments[0] == "fleets":
        _check_fleets(segments)
    return path


def ancestors(path: str) -> tuple[str, ...]:
    """The path and all that is above it, the root first."""
    if path == ROOT:
        return (ROOT,)
    found = [ROOT]
    end = path.find("/", 1)
    while end != -1:
        found.append(path[:end])
        end = path.find("/", end + 1)
    found.append(path)
    return tuple(found)


def is_under(path: str, above: str) -> bool:
    """Whether `path` is `above` or lies below it."""
    return above in (ROOT, path) or path.startswith(above + "/")


def unnamed_child(path: str) -> str | None:
    """A stand-in for every path below this one that nobody names; None where nothing can be below.

    It ends in `*`, which no real path contains, so that it never meets a named one. Only a fleet has a single
    child, which is its own stand-in.
    """
    if path == ROOT:
        return "/*"
    if path.count("/") >= MAX_SEGMENTS or len(path) + 2 > MAX_LENGTH:
        return None
    if is_vms(path) or machine_id_of(path) is not None:
        return None
    return f"{path}/machines" if _is_fleet(path) else f"{path}/*"


def closure(paths: Iterable[str]) -> frozenset[str]:
    """Each path, each of its ancestors, and one unnamed child of each of these.

    Rights that are given by entries at `paths` only are the same everywhere as somewhere in this set.
    """
    named = {above for path in paths for above in ancestors(path)}
    children = {child for path in named if (child := unnamed_child(path)) is not None}
    return frozenset(named | children)


def fleet_path(slug: str) -> str:
    return normalise(f"/fleets/{slug}")


def machine_path(slug: str, machine_id: UUID | str) -> str:
    return normalise(f"/fleets/{slug}/machines/{machine_id}")


def fleet_slug_of(path: str) -> str | None:
    """The slug of the fleet that this normalised path is, or is in."""
    segments = path.split("/")
    return segments[2] if len(segments) > 2 and segments[1] == "fleets" else None


def machine_id_of(path: str) -> UUID | None:
    """The id of the machine that this normalised path names canonically."""
    segments = path.split("/")
    if len(segments) != 5 or segments[1] != "fleets" or not _MACHINE_ID.fullmatch(segments[4]):
        return None
    return UUID(segments[4])


def is_vms(path: str) -> bool:
    """Whether this normalised path names a machine by its vmid, so has to be resolved."""
    return path.startswith("/vms/")


def vms_path(vmid: int) -> str:
    return normalise(f"/vms/{vmid}")


def vmid_of(path: str) -> int | None:
    """The vmid that this normalised path names."""
    return int(path.removeprefix("/vms/")) if is_vms(path) else None


def _is_fleet(path: str) -> bool:
    return path.startswith("/fleets/") and path.count("/") == 2


def _check_segment(segment: str) -> None:
    if not segment:
        raise PathError("a path has no empty segment and no slash at its end")
    if segment in (".", ".."):
        raise PathError("a path has no '.' or '..' segment")
    if not _SEGMENT.fullmatch(segment):
        raise PathError("a path segment has only the characters A-Z a-z 0-9 . _ ~ @ + : -")


def _check_vms(segments: list[str]) -> None:
    if len(segments) != 2 or not _VMID.fullmatch(segments[1]):
        raise PathError("a path under /vms is /vms/<vmid>, one to nine digits without a leading zero")


def _check_fleets(segments: list[str]) -> None:
    if len(segments) > 1 and not _SLUG.fullmatch(segments[1]):
        raise PathError("a fleet's slug has only the characters A-Z a-z 0-9 _ -")
    if len(segments) > 2 and segments[2] != "machines":
        raise PathError("below /fleets/<slug> there are only /machines and /machines/<id>")
    if len(segments) > 3 and not _MACHINE_ID.fullmatch(segments[3]):
        raise PathError("a machine's id is a lower-case UUID with hyphens")
    if len(segments) > 4:
        raise PathError("there is no path below a machine")
