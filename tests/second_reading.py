"""Who may do what where, worked out a second time: from the words of the product's description, over raw rows.

Nothing here asks the product's own authority, holdings, roles or rights; it is slow and plain, for small worlds. What a
suspended person or a disabled token could do once they are back counts as theirs: `may_act` is asked apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Model

from fleets.models import (
    AclEntry,
    ApplicationMembership,
    Fleet,
    FleetMembership,
    Group,
    GroupMembership,
    Machine,
    Membership,
    OrganizationRole,
    TechnicalUser,
    User,
)
from tokens.models import Grant, Token, TokenScope

Scopes = frozenset[str]
Pairs = frozenset[tuple[str, str]]  # (scope, path)


def words(text: str) -> Scopes:
    return frozenset(text.split())


NONE: Scopes = frozenset()
VIEWER = words("machines:read snapshots:read")
OPERATOR = VIEWER | words("machines:operate")
ADMIN = OPERATOR | words("machines:configure snapshots:write")
CREATE = words("machines:create")
GROUP_ADMIN = ADMIN | words("machines:write commands:execute")
INVENTORY = words("templates:manage networks:manage images:manage")
WORK = (
    GROUP_ADMIN
    | CREATE
    | INVENTORY
    | words("files:read files:write schedules:manage agent:invoke introspect")
)
EVERY = WORK | words("permissions:manage tokens:read tokens:manage approvals:decide audit:read")
ADMINISTRATOR = EVERY - words("approvals:decide")

BUILT_IN = {
    "Viewer": VIEWER,
    "Operator": OPERATOR,
    "Admin": ADMIN,
    "GroupUser": OPERATOR,
    "GroupAdmin": GROUP_ADMIN,
    "Administrator": ADMINISTRATOR,
    "NoAccess": NONE,
}
OF_MEMBERS = {
    "owner": EVERY,
    "admin": ADMINISTRATOR,
    "approver": words("approvals:decide tokens:read"),
    "auditor": words("audit:read tokens:read machines:read"),
    "member": NONE,
}
OF_FLEET = {"manager": WORK | words("tokens:read tokens:manage"), "operator": OPERATOR, "viewer": VIEWER}
OF_ORGANIZATION = {"Admin": ADMIN | CREATE | INVENTORY | words("introspect"), "Viewer": VIEWER}


@dataclass(frozen=True)
class Line:
    """Something that speaks of a path: an entry, a row of a token, or what somebody holds for what they are."""

    subject: str  # token, user, group
    path: str
    role: str
    scopes: Scopes
    propagate: bool

    def reaches(self, path: str) -> bool:
        return path == self.path or (self.propagate and is_below(path, self.path))

    @property
    def depth(self) -> int:
        return 0 if self.path == "/" else self.path.count("/")


def is_below(path: str, above: str) -> bool:
    return path != above and (above == "/" or path.startswith(above + "/"))


def walked(lines: Iterable[Line], path: str) -> tuple[Scopes, bool]:
    """What the deepest level gives, and whether it denies: token before user before groups, groups added up."""
    applying = [line for line in lines if line.reaches(path)]
    if not applying:
        return NONE, False
    deepest = max(line.depth for line in applying)
    level = [line for line in applying if line.depth == deepest]
    first = next(word for word in ("token", "user", "group") if word in {line.subject for line in level})
    winners = [line for line in level if line.subject == first]
    if "NoAccess" in {line.role for line in winners}:
        return NONE, True
    return NONE.union(*(line.scopes for line in winners)), False


@dataclass(frozen=True)
class Holder:
    """A person or technical user in the organization."""

    held: tuple[Line, ...] = ()
    entries: tuple[Line, ...] = ()
    is_superuser: bool = False
    is_owner: bool = False

    def at(self, path: str) -> Scopes:
        if self.is_superuser:
            return EVERY
        walk, denied = walked(self.entries, path)
        if denied and not self.is_owner:
            return NONE
        return walk.union(*(line.scopes for line in self.held if line.reaches(path)))


class Reading:
    """Everything of one organization at one moment."""

    def __init__(self, organization_id: UUID) -> None:
        here = {"organization_id": organization_id}
        self.users = _by_id(User)
        self.fleets = _by_id(Fleet, **here)
        self.groups = _by_id(Group, **here)
        self.machines = _by_id(Machine, **here)
        self.members = {row.user_id: row for row in Membership.objects.filter(left_at=None, **here)}
        self.of_fleets = list(
            FleetMembership.objects.filter(left_at=None, fleet__organization=organization_id)
        )
        self.of_groups = list(
            GroupMembership.objects.filter(left_at=None, group__organization=organization_id)
        )
        self.of_applications = list(
            ApplicationMembership.objects.filter(left_at=None, application__organization=organization_id)
        )
        self.technical = {
            row.user_id: row for row in TechnicalUser.objects.select_related("application").filter(**here)
        }
        roles = OrganizationRole.objects.filter(removed_at=None, **here)
        self.roles = {role.name: frozenset(role.scopes) - words("approvals:decide") for role in roles}
        self.entries = [row for row in AclEntry.objects.filter(**here) if self.is_there(row.path)]
        self.tokens = {token.pk: token for token in Token.objects.filter(**here)}
        self.ceilings: dict[str, set[str]] = {}
        for token_id, scope in TokenScope.objects.values_list("token_id", "scope"):
            self.ceilings.setdefault(token_id, set()).add(scope)
        self.grants: dict[str, list[Grant]] = {}
        for grant in Grant.objects.all():
            self.grants.setdefault(grant.token_id, []).append(grant)
        self._holders: dict[UUID, Holder] = {}

    def is_there(self, path: str) -> bool:
        """Not under a fleet that closed, and no machine that is not in that fleet any more."""
        _, first, *rest = path.split("/")
        if first != "fleets" or not rest:
            return True
        fleet = next((fleet for fleet in self.fleets.values() if fleet.slug == rest[0]), None)
        if fleet is None or fleet.closed_at:
            return False
        if len(rest) < 3:
            return True
        machine = self.machines.get(UUID(rest[2]))
        return bool(machine and machine.fleet_id == fleet.pk and not machine.deregistered_at)

    def gives(self, role: str, path: str) -> Scopes:
        """A role by its name; Admin, and GroupAdmin which has all of it, create machines where they are at the root."""
        if role in ("Admin", "GroupAdmin") and path == "/":
            return BUILT_IN[role] | CREATE
        return BUILT_IN[role] if role in BUILT_IN else self.roles.get(role, NONE)

    def holder(self, user_id: UUID) -> Holder:
        if user_id not in self._holders:
            self._holders[user_id] = self._read_holder(user_id)
        return self._holders[user_id]

    def may_act(self, user_id: UUID) -> bool:
        user, member = self.users[user_id], self.members.get(user_id)
        is_here = (member is not None and not member.suspended_at) or user_id in self.technical
        return bool(user.is_live() and is_here)

    def person(self, user_id: UUID, paths: Iterable[str]) -> Pairs:
        holder = self.holder(user_id)
        return frozenset((scope, path) for path in paths for scope in holder.at(path))

    def token(self, token_id: str, paths: Iterable[str]) -> Pairs:
        token = self.tokens[token_id]
        if token.status in ("revoked", "rejected"):
            return frozenset()
        principal, ceiling = self.holder(token.principal_id), self.ceiling(token_id)
        rows = self.rows(token_id)
        pairs = set()
        for path in paths:
            granted = ceiling if rows is None else ceiling & walked(rows, path)[0]
            pairs |= {(scope, path) for scope in granted & principal.at(path)}
        return frozenset(pairs)

    def ceiling(self, token_id: str) -> Scopes:
        return frozenset(self.ceilings.get(token_id, ()))

    def rows(self, token_id: str, *, dead_too: bool = False) -> list[Line] | None:
        """None where the token is not separated: it goes by what its principal may do."""
        if not self.tokens[token_id].privilege_separation:
            return None
        ceiling = self.ceiling(token_id)
        return [
            Line(
                "token",
                row.path,
                row.role,
                self.gives(row.role, row.path) if row.role else ceiling,
                row.propagate,
            )
            for row in self.grants.get(token_id, ())
            if dead_too or self.is_there(row.path)
        ]

    def everybody(self, paths: Iterable[str]) -> dict[Any, Pairs]:
        """What each person, technical user made by hand and token may do, by their ids.

        A technical user of a single token acts as that token only.
        """
        paths = list(paths)
        shared = {
            user_id: self.person(user_id, paths)
            for user_id, row in self.technical.items()
            if row.kind == "technical_user"
        }
        people = {user_id: self.with_secrets(user_id, paths) for user_id in self.members}
        return shared | people | {token_id: self.token(token_id, paths) for token_id in self.tokens}

    def with_secrets(self, user_id: UUID, paths: Iterable[str]) -> Pairs:
        """What a person may do, by themselves or by an application of theirs: its owners hold nothing of what its
        technical users were given, but rule the tokens that use it."""
        paths = list(paths)
        owned = {row.application_id for row in self.of_applications if row.user_id == user_id}
        theirs = [row.user_id for row in self.technical.values() if row.application_id in owned]
        return self.person(user_id, paths).union(*(self.person(pk, paths) for pk in theirs))

    def _read_holder(self, user_id: UUID) -> Holder:
        user = self.users[user_id]
        own = tuple(self._line("user", row) for row in self.entries if row.user_id == user_id)
        if user_id in self.technical:
            return self._technical(self.technical[user_id], own) if user.is_active else Holder()
        if user.is_superuser:
            return Holder(is_superuser=True)
        if user_id not in self.members:
            return Holder()
        role = self.members[user_id].role
        held = [_held("/", OF_MEMBERS[role])]
        for row in self.of_fleets:
            fleet = self.fleets[row.fleet_id]
            if row.user_id == user_id and not fleet.closed_at:
                held.append(_held(f"/fleets/{fleet.slug}", OF_FLEET[row.role]))
        entries = list(own)
        for place in self.of_groups:
            if place.user_id == user_id and not self.groups[place.group_id].closed_at:
                named = self.of_group(place.group_id)
                entries += named
                held += self._by_group("GroupAdmin" if place.role == "admin" else "GroupUser", named)
        return Holder(tuple(held), tuple(entries), is_owner=role == "owner")

    def _technical(self, row: TechnicalUser, own: tuple[Line, ...]) -> Holder:
        if row.kind == "fleet":
            fleet = self.fleets[row.fleet_id]
            return Holder() if fleet.closed_at else Holder((_held(f"/fleets/{fleet.slug}", WORK),), own)
        if row.kind == "group":
            if self.groups[row.group_id].closed_at:
                return Holder()
            named = self.of_group(row.group_id)
            held = self._by_group("GroupAdmin" if row.role == "admin" else "GroupUser", named)
            # what the entries give to members is not the technical user's; where they deny or replace, they do
            theirs = tuple(Line("group", each.path, each.role, NONE, each.propagate) for each in named)
            return Holder(tuple(held), (*own, *theirs))
        if row.kind == "organization":
            return Holder((_held("/", OF_ORGANIZATION[row.role]),), own)
        if row.kind == "application" and row.application and row.application.closed_at:
            return Holder()
        return Holder((), own)

    def of_group(self, group_id: Any) -> list[Line]:
        return [self._line("group", row) for row in self.entries if row.group_id == group_id]

    def _by_group(self, role: str, named: Iterable[Line]) -> list[Line]:
        return [
            Line("user", line.path, role, self.gives(role, line.path), line.propagate)
            for line in named
            if line.role != "NoAccess"
        ]

    def _line(self, subject: str, row: AclEntry) -> Line:
        return Line(subject, row.path, row.role, self.gives(row.role, row.path), row.propagate)


def _held(path: str, scopes: Scopes) -> Line:
    return Line("user", path, "", scopes, propagate=True)


def _by_id(model: type[Model], **fields: Any) -> dict[Any, Any]:
    return {row.pk: row for row in model._default_manager.filter(**fields)}
