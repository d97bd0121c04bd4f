"""What is asked for of a token, and what is stored of it: the ceiling, the rows, the machines.

`settle` turns a wish into stored values and refuses what can't be meant. What the caller may give is for limits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from config.edge.access import Access
from config.edge.refusals import Invalid, Missing
from fleets import holdings, places
from fleets.authority import (
    ROLE_SCOPES,
    TECHNICAL_FLEET_SCOPES,
    Entry,
    PrincipalRights,
    Role,
    TokenRights,
    role_scopes,
)
from fleets.models import Fleet, Machine, Organization, User
from fleets.paths import ROOT, is_under
from fleets.scopes import PERSONAL_ONLY, Scope
from tokens.models import Grant, Token, TokenMachine, TokenScope
from tokens.rights import ceiling_of, entry, granted, living

MOST_GRANTS = 100
MOST_MACHINES = 200


@dataclass(frozen=True)
class GrantWish:
    """A row that was asked for: a role at a path; without one the whole ceiling."""

    path: str
    role: str
    propagate: bool = True


@dataclass(frozen=True)
class Wish:
    """What a token shall be able to do. `machines` and `grants` are None where nothing was said of them."""

    scopes: frozenset[Scope] | None = None
    role: str | None = None
    machines: tuple[UUID, ...] | Literal["all"] | None = None
    grants: tuple[GrantWish, ...] | None = None
    privilege_separation: bool = True


@dataclass(frozen=True)
class Expiry:
    """When a token shall end: an instant, or a lifetime that counts from its approval; neither is never."""

    at: datetime | None = None
    lifetime: timedelta | None = None


@dataclass(frozen=True)
class Settled:
    """A wish in stored values. `rows` is None for a token that goes by its principal's rights."""

    ceiling: frozenset[Scope]
    role: str
    rows: tuple[GrantWish, ...] | None
    machines: tuple[Machine, ...] = ()

    @property
    def granted(self) -> TokenRights:
        """What is stored would allow this whoever the principal is, and whatever of it exists just now."""
        return granted(self.ceiling, self._entries)

    def effective(self, organization_id: UUID, principal: PrincipalRights) -> TokenRights:
        """What is stored allows this now."""
        entries = self._entries
        rows = None if entries is None else living(organization_id, entries)
        return TokenRights(self.ceiling, rows, principal)

    @property
    def _entries(self) -> tuple[Entry, ...] | None:
        if self.rows is None:
            return None
        return tuple(entry(row.path, row.role, row.propagate, self.ceiling) for row in self.rows)


def issuing_token(by: Access) -> Token | None:
    """The token that calls, if one does."""
    return Token.objects.presented().get(pk=by.token_id) if by.token_id else None


def settled_of(token: Token) -> Settled:
    """What is stored of a token, in the shape of a wish that was settled."""
    rows = tuple(GrantWish(grant.path, grant.role, grant.propagate) for grant in token.grants.all())
    machines = tuple(row.machine for row in token.machine_rows.all())
    return Settled(ceiling_of(token), token.role, rows if token.privilege_separation else None, machines)


def settle(organization: Organization, owner: User | Fleet, wish: Wish, by: Access) -> Settled:
    """The wish as stored values, checked for what can't be meant; not yet for what the issuer may give."""
    _require_consistent(wish, owner)
    root = owner.path if isinstance(owner, Fleet) else ROOT
    ceiling = _ceiling(organization, owner, wish, root, by)
    if not ceiling:
        raise Invalid.field("scopes", "A token needs at least one scope.", "required")
    if isinstance(owner, Fleet):
        _require_fleet_scopes(ceiling)
    role = wish.role or ""
    if not wish.privilege_separation:
        return Settled(ceiling, role, None)
    if wish.grants is not None:
        return Settled(ceiling, role, _grants(organization, root, wish.grants))
    if isinstance(wish.machines, tuple):
        machines = _machines(organization, wish.machines, by, root)
        return Settled(ceiling, role, tuple(GrantWish(machine.path, "") for machine in machines), machines)
    issuer = issuing_token(by) if wish.machines is None else None
    if issuer and issuer.privilege_separation:
        return _inherited(settled_of(issuer), ceiling, role, root)
    return Settled(ceiling, role, (GrantWish(root, ""),))


def write(token: Token, settled: Settled) -> None:
    """Replace a token's ceiling, rows and machines."""
    TokenScope.objects.filter(token=token).delete()
    Grant.objects.filter(token=token).delete()
    TokenMachine.objects.filter(token=token).delete()
    TokenScope.objects.bulk_create(TokenScope(token=token, scope=scope) for scope in sorted(settled.ceiling))
    Grant.objects.bulk_create(
        Grant(token=token, number=number, path=row.path, role=row.role, propagate=row.propagate)
        for number, row in enumerate(settled.rows or (), start=1)
    )
    TokenMachine.objects.bulk_create(
        TokenMachine(token=token, machine=machine, name=machine.name) for machine in settled.machines
    )


def lock_vmids(organization: Organization, wish: Wish) -> None:
    """A free `/vms/<vmid>` and a machine that comes to bear it exclude each other: queue with the registrations."""
    if any(row.path.startswith("/vms/") for row in wish.grants or ()):
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def rows_as_json(rows: Iterable[GrantWish] | None) -> list[dict[str, object]] | None:
    if rows is None:
        return None
    return [{"path": row.path, "role": row.role or None, "propagate": row.propagate} for row in rows]


def _require_consistent(wish: Wish, owner: User | Fleet) -> None:
    if wish.scopes is not None and wish.role is not None:
        raise Invalid.field("role", "Say scopes or role, not both.", "contradiction")
    if wish.grants is not None and wish.machines is not None:
        raise Invalid.field("machines", "Say machines or grants, not both.", "contradiction")
    if wish.privilege_separation:
        return
    if isinstance(owner, Fleet):
        raise Invalid.field("privilege_separation", "A fleet's token is always separated.", "contradiction")
    if wish.grants is not None or isinstance(wish.machines, tuple):
        raise Invalid.field(
            "grants" if wish.grants is not None else "machines",
            "Without privilege separation the grants are the owner's rights.",
            "contradiction",
        )


def _ceiling(
    organization: Organization, owner: User | Fleet, wish: Wish, root: str, by: Access
) -> frozenset[Scope]:
    if wish.scopes is not None:
        return wish.scopes
    if wish.role is not None:
        if wish.role not in ROLE_SCOPES or wish.role == Role.NO_ACCESS:
            raise Invalid.field("role", "There is no such role that a token can have.", "unknown_role")
        return role_scopes(wish.role, root)
    if wish.grants == () or not wish.privilege_separation:
        return _all_that_may_be(organization, owner, by)
    raise Invalid.field("scopes", "Say scopes or role.", "required")


def _all_that_may_be(organization: Organization, owner: User | Fleet, by: Access) -> frozenset[Scope]:
    """Every scope that the principal may hold now; of an issuing token's child, those that it holds itself."""
    if isinstance(owner, Fleet):
        principal = TECHNICAL_FLEET_SCOPES
    else:
        principal = holdings.rights_of(owner, organization.pk).anywhere
    return principal & by.rights(organization.pk).anywhere if by.token_id else principal


def _require_fleet_scopes(ceiling: frozenset[Scope]) -> None:
    if beyond := sorted(ceiling - TECHNICAL_FLEET_SCOPES):
        personal = sorted(ceiling & PERSONAL_ONLY)
        detail = (
            f"{personal[0]} is for personal tokens only."
            if personal
            else f"A fleet's token can't hold {', '.join(beyond)}."
        )
        raise Invalid.field("scopes", detail, "scope_not_for_kind")


def _inherited(issuer: Settled, ceiling: frozenset[Scope], role: str, root: str) -> Settled:
    """Where nothing is said, a token's child is as restricted as it is: its rows at and below the root."""
    rows = [row for row in issuer.rows or () if is_under(row.path, root)]
    if all(row.path != root for row in rows):
        rows += [GrantWish(root, row.role) for row in issuer.granted.winning(root)]
    machines = tuple(machine for machine in issuer.machines if is_under(machine.path, root))
    return Settled(ceiling, role, tuple(rows), machines)


def _grants(organization: Organization, root: str, wishes: tuple[GrantWish, ...]) -> tuple[GrantWish, ...]:
    rows: list[GrantWish] = []
    for index, wish in enumerate(wishes):
        path = places.resolved(organization.pk, wish.path, field=f"grants.{index}.path")
        if not is_under(path, root):
            raise Invalid.field(
                f"grants.{index}.path", f"This owner's tokens reach nothing outside of {root}.", "bad_path"
            )
        if wish.role not in ROLE_SCOPES:
            raise Invalid.field(f"grants.{index}.role", "There is no such role.", "unknown_role")
        if any(row.path == path for row in rows):
            raise Invalid.field(f"grants.{index}.path", "There is another row for this path.", "duplicate")
        rows.append(GrantWish(path, wish.role, wish.propagate))
    return tuple(rows)


def _machines(
    organization: Organization, ids: tuple[UUID, ...], by: Access, root: str
) -> tuple[Machine, ...]:
    """Live machines that the issuer may see, all of them or none: Missing where one is not there for them."""
    if not ids:
        raise Invalid.field("machines", 'Name at least one machine, or "all".', "required")
    found = Machine.objects.live().select_related("fleet").filter(organization=organization, pk__in=ids)
    rights = by.rights(organization.pk)
    machines = {
        machine.pk: machine for machine in found if is_under(machine.path, root) and rights.at(machine.path)
    }
    if set(ids) - machines.keys():
        raise Missing(
            "There is no such machine.",
            errors=Invalid.field("machines", "There is no such machine.", "not_found").errors,
        )
    return tuple(machines[pk] for pk in dict.fromkeys(ids))
