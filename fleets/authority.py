"""Who may do what where, over plain values: roles, implicit holdings, the walk, the intersection.

The walk is Proxmox VE's. Paths are taken as normalised (paths.normalise). Loading rows is for holdings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar

from fleets.paths import ROOT, ancestors, closure, fleet_path
from fleets.scopes import ALL_SCOPES, AREA, PERSONAL_ONLY, Scope

if TYPE_CHECKING:
    from config.edge.access import Rights

Held = TypeVar("Held")

NONE: frozenset[Scope] = frozenset()

# Roles


class Role(StrEnum):
    """The built-in roles that an entry or a grant can name."""

    VIEWER = "Viewer"
    OPERATOR = "Operator"
    ADMIN = "Admin"
    GROUP_USER = "GroupUser"
    GROUP_ADMIN = "GroupAdmin"
    ADMINISTRATOR = "Administrator"
    NO_ACCESS = "NoAccess"


_VIEWER = frozenset({Scope.MACHINES_READ, Scope.SNAPSHOTS_READ})
_OPERATOR = _VIEWER | {Scope.MACHINES_OPERATE}
_ADMIN = _OPERATOR | {Scope.MACHINES_CONFIGURE, Scope.SNAPSHOTS_WRITE}
_ADMIN_AT_ROOT = _ADMIN | {Scope.MACHINES_CREATE}
_GROUP_ADMIN = frozenset({Scope.MACHINES_WRITE, Scope.COMMANDS_EXECUTE})  # beyond Admin

ROLE_SCOPES: dict[str, frozenset[Scope]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: _ADMIN,
    Role.GROUP_USER: _OPERATOR,
    Role.GROUP_ADMIN: _ADMIN | _GROUP_ADMIN,
    Role.ADMINISTRATOR: ALL_SCOPES - PERSONAL_ONLY,
    Role.NO_ACCESS: NONE,
}
ROLE_SCOPES_AT_ROOT: dict[str, frozenset[Scope]] = ROLE_SCOPES | {
    Role.ADMIN: _ADMIN_AT_ROOT,
    Role.GROUP_ADMIN: _ADMIN_AT_ROOT | _GROUP_ADMIN,
}

OWNER_SCOPES: frozenset[Scope] = ALL_SCOPES
ORGANIZATION_SCOPES: dict[str, frozenset[Scope]] = {
    "owner": OWNER_SCOPES,
    "admin": ROLE_SCOPES[Role.ADMINISTRATOR],
    "approver": frozenset({Scope.APPROVALS_DECIDE, Scope.TOKENS_READ}),
    "auditor": frozenset({Scope.AUDIT_READ, Scope.TOKENS_READ, Scope.MACHINES_READ}),
    "member": NONE,
}
TECHNICAL_FLEET_SCOPES: frozenset[Scope] = frozenset(
    scope for scope in Scope if AREA[scope] not in ("tokens", "approvals", "permissions", "audit")
)
FLEET_SCOPES: dict[str, frozenset[Scope]] = {
    "manager": TECHNICAL_FLEET_SCOPES | {Scope.TOKENS_READ, Scope.TOKENS_MANAGE},
    "operator": ROLE_SCOPES[Role.OPERATOR],
    "viewer": ROLE_SCOPES[Role.VIEWER],
}
GROUP_ROLES: dict[str, Role] = {"admin": Role.GROUP_ADMIN, "user": Role.GROUP_USER}
TECHNICAL_ORGANIZATION_SCOPES: dict[str, frozenset[Scope]] = {
    Role.ADMIN: _ADMIN_AT_ROOT
    | {Scope.TEMPLATES_MANAGE, Scope.NETWORKS_MANAGE, Scope.IMAGES_MANAGE, Scope.INTROSPECT},
    Role.VIEWER: ROLE_SCOPES[Role.VIEWER],
}


def role_scopes(role: str, at_path: str) -> frozenset[Scope]:
    """What a built-in role gives by an entry at this path; only at the root does one create machines."""
    return _of(ROLE_SCOPES_AT_ROOT if at_path == ROOT else ROLE_SCOPES, role)


# Implicit holdings: the table "who holds what"


@dataclass(frozen=True)
class Holding:
    """Scopes that somebody holds at a path for what they are, without an entry."""

    path: str
    scopes: frozenset[Scope]
    propagate: bool = True


def organization_holdings(role: str) -> tuple[Holding, ...]:
    """What a member of an organization holds: owner, admin, approver, auditor, member."""
    return _holding(ROOT, _of(ORGANIZATION_SCOPES, role))


def fleet_holdings(role: str, slug: str) -> tuple[Holding, ...]:
    """What a member of a fleet holds: manager, operator, viewer."""
    return _holding(fleet_path(slug), _of(FLEET_SCOPES, role))


def group_holdings(role: str, entries: Iterable[Entry]) -> tuple[Holding, ...]:
    """What a member of a group (admin, user) or its technical user holds, by the entries that name the group.

    Each holding reaches as far as its entry. An entry that denies gives nothing.
    """
    held = _of(GROUP_ROLES, role)
    return tuple(
        Holding(entry.path, role_scopes(held, entry.path), entry.propagate)
        for entry in entries
        if not entry.denies
    )


def technical_fleet_holdings(slug: str) -> tuple[Holding, ...]:
    """What a fleet's technical user holds, and so the most that a fleet token can do."""
    return _holding(fleet_path(slug), TECHNICAL_FLEET_SCOPES)


def technical_organization_holdings(role: str) -> tuple[Holding, ...]:
    """What an organization's technical user holds: Admin with the inventory, or Viewer."""
    return _holding(ROOT, _of(TECHNICAL_ORGANIZATION_SCOPES, role))


def _holding(path: str, scopes: frozenset[Scope]) -> tuple[Holding, ...]:
    return (Holding(path, scopes),) if scopes else ()


def _of(table: Mapping[str, Held], role: str) -> Held:
    if role not in table:
        raise ValueError(f"unknown role {role!r:.80}")
    return table[role]


# The walk

PRECEDENCE = {"token": 0, "user": 1, "group": 2}  # at one level, the first kind with an applicable entry wins


@dataclass(frozen=True)
class Entry:
    """An explicit entry: a token's grant, or an access rule for a user or one of their groups."""

    path: str
    scopes: frozenset[Scope]
    role: str
    propagate: bool
    subject: Literal["token", "user", "group"]

    @property
    def denies(self) -> bool:
        return self.role == Role.NO_ACCESS


@dataclass(frozen=True)
class Verdict:
    """The entries that won the walk to a path, and what they give together: nothing if one denies."""

    entries: tuple[Entry, ...] = ()
    scopes: frozenset[Scope] = NONE
    denied: bool = False


NO_ENTRY = Verdict()


class Walk:
    """Entries arranged by path once, so that walking to many paths is cheap."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        levels: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            levels[entry.path].append(entry)
        self._here = {path: _verdict(level) for path, level in levels.items()}
        self._below = {path: _verdict([e for e in level if e.propagate]) for path, level in levels.items()}

    def to(self, path: str) -> Verdict:
        """The verdict of the deepest level with an applicable entry; it replaces all above it."""
        if found := self._here.get(path):
            return found
        for above in reversed(ancestors(path)):
            if (found := self._below.get(above)) and found.entries:
                return found
        return NO_ENTRY


def _verdict(level: list[Entry]) -> Verdict:
    """Of entries at one path: those of the subject that goes first, several groups together."""
    if not level:
        return NO_ENTRY
    first = min(PRECEDENCE[entry.subject] for entry in level)
    winners = tuple(entry for entry in level if PRECEDENCE[entry.subject] == first)
    denied = any(entry.denies for entry in winners)
    return Verdict(winners, NONE if denied else NONE.union(*(entry.scopes for entry in winners)), denied)


# Rights


@dataclass(frozen=True)
class PrincipalRights:
    """What a person or technical user may do in one organization now.

    `everything`: a superuser. `immune`: an owner, from whom no entry takes what the role gives.
    """

    holdings: tuple[Holding, ...] = ()
    entries: tuple[Entry, ...] = ()
    everything: bool = False
    immune: bool = False

    def at(self, path: str) -> frozenset[Scope]:
        """The scopes held at exactly this path."""
        if self.everything:
            return ALL_SCOPES
        verdict = self._walk.to(path)
        if verdict.denied and not self.immune:
            return NONE
        return verdict.scopes.union(*(holding.scopes for holding in self.holdings_at(path)))

    def holdings_at(self, path: str) -> tuple[Holding, ...]:
        """The implicit holdings that reach this path, the highest first, whatever an entry says."""
        if not self.holdings:
            return ()
        reaching = (self._holdings_by_path.get(above, ()) for above in ancestors(path))
        return tuple(
            holding for level in reaching for holding in level if holding.propagate or holding.path == path
        )

    def winning(self, path: str) -> tuple[Entry, ...]:
        """The explicit entries that decide at this path."""
        return self._walk.to(path).entries

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path that a holding or an entry names."""
        named = {holding.path for holding in self.holdings} | {entry.path for entry in self.entries}
        return frozenset(named | {ROOT}) if self.everything else frozenset(named)

    @cached_property
    def anywhere(self) -> frozenset[Scope]:
        """The scopes held on some path."""
        return NONE.union(*(self.at(path) for path in closure(self.paths)))

    @cached_property
    def _walk(self) -> Walk:
        return Walk(self.entries)

    @cached_property
    def _holdings_by_path(self) -> dict[str, list[Holding]]:
        by_path: dict[str, list[Holding]] = defaultdict(list)
        for holding in self.holdings:
            by_path[holding.path].append(holding)
        return dict(by_path)


@dataclass(frozen=True)
class TokenRights:
    """What a token may do now: its ceiling, its own rows, and its principal's rights, all three.

    `rows` is None for a token without privilege separation: its grants are its principal's rights.
    """

    ceiling: frozenset[Scope]
    rows: tuple[Entry, ...] | None
    principal: Rights

    def at(self, path: str) -> frozenset[str]:
        """The scopes that the token may use at exactly this path."""
        granted = self.ceiling if self._walk is None else self.ceiling & self._walk.to(path).scopes
        return self.principal.at(path) & granted if granted else NONE

    def winning(self, path: str) -> tuple[Entry, ...]:
        """The token's own rows that decide at this path; none where its principal's rights are its grants."""
        return () if self._walk is None else self._walk.to(path).entries

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path that the token's rows or its principal's rights name."""
        return self.principal.paths.union(row.path for row in self.rows or ())

    @cached_property
    def anywhere(self) -> frozenset[str]:
        """The scopes that the token may use on some path; less than what both sides have somewhere."""
        nothing: frozenset[str] = NONE
        return nothing.union(*(self.at(path) for path in closure(self.paths)))

    @cached_property
    def _walk(self) -> Walk | None:
        return None if self.rows is None else Walk(self.rows)


def exceeding(inner: Rights, *outer: Rights) -> list[tuple[str, str]]:
    """The (scope, path) pairs that `inner` gives and no `outer` does, at every path where they can differ."""
    everywhere = sorted(closure(inner.paths.union({ROOT}, *(rights.paths for rights in outer))))
    return [
        (scope, path)
        for path in everywhere
        for scope in sorted(inner.at(path).difference(*(rights.at(path) for rights in outer)))
    ]
