"""What is asked for of a token, and what is stored of it: the ceiling, the rows, the machines.

`settle` turns a wish into stored values and refuses what can't be meant. What the caller may give is for limits.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from config.edge.access import Access
from config.edge.refusals import Conflict, Invalid, Missing
from fleets import currency, places
from fleets.authority import Entry, PrincipalRights, Role, TokenRights
from fleets.models import Fleet, Machine, Organization
from fleets.paths import ROOT, is_under, is_vms
from fleets.roles import BUILT_IN, RoleBook, book
from fleets.scopes import Scope
from tokens import principals
from tokens.kinds import ACTS_AS_OWNER, Owner, kind_of, whose
from tokens.models import EXTENDED, Grant, Token, TokenMachine, TokenScope
from tokens.rights import ceiling_of, entry, granted, living

MOST_GRANTS = 100
MOST_MACHINES = 200
LEVEL_OF_ROLE: dict[str, Token.AccessLevel] = {
    Role.OPERATOR: Token.AccessLevel.OPERATOR,
    Role.ADMIN: Token.AccessLevel.ADMIN,
}


@dataclass(frozen=True)
class GrantWish:
    """A row that was asked for: a role at a path; without one the whole ceiling."""

    path: str
    role: str
    propagate: bool = True


@dataclass(frozen=True)
class Wish:
    """What a token shall be able to do. None where nothing was said of it.

    `kept` are rows that stay, as they are, beside `grants`.
    """

    scopes: frozenset[Scope] | None = None
    role: str | None = None
    machines: tuple[UUID, ...] | Literal["all"] | None = None
    grants: tuple[GrantWish, ...] | None = None
    kept: tuple[GrantWish, ...] = ()
    extended: frozenset[str] | None = None
    privilege_separation: bool = True


@dataclass(frozen=True)
class Expiry:
    """When a token shall end: an instant, or a lifetime that counts from its approval; neither is never."""

    at: datetime | None = None
    lifetime: timedelta | None = None


@dataclass(frozen=True)
class Settled:
    """A wish in stored values. `rows` is None for a token that goes by its principal's rights.

    `all_machines`: one row at each root, as where neither machines nor grants were asked for. `roles` are those that
    the rows name.
    """

    ceiling: frozenset[Scope]
    role: str
    rows: tuple[GrantWish, ...] | None
    machines: tuple[Machine, ...] = ()
    all_machines: bool = False
    extended: frozenset[str] = frozenset()
    roles: RoleBook = field(default=BUILT_IN, compare=False)

    @property
    def access_level(self) -> Token.AccessLevel:
        """Operator or admin of all or of selected machines; whatever else is custom."""
        if self.rows is None or not (self.all_machines or self.machines):
            return Token.AccessLevel.CUSTOM
        return LEVEL_OF_ROLE.get(self.role, Token.AccessLevel.CUSTOM)

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
        return tuple(entry(row.path, row.role, row.propagate, self.ceiling, self.roles) for row in self.rows)


def issuing_token(by: Access) -> Token | None:
    """The token that calls, if one does."""
    return Token.objects.presented().get(pk=by.token_id) if by.token_id else None


def settled_of(token: Token) -> Settled:
    """What is stored of a token, in the shape of a wish that was settled."""
    rows = tuple(GrantWish(grant.path, grant.role, grant.propagate) for grant in token.grants.all())
    return Settled(
        ceiling_of(token),
        token.role,
        rows if token.privilege_separation else None,
        tuple(row.machine for row in token.machine_rows.all()),
        token.all_machines,
        frozenset(token.extended),
        book(token.organization_id, (row.role for row in rows)),
    )


def settle(organization: Organization, owner: Owner, wish: Wish, by: Access) -> Settled:
    """The wish as stored values, checked for what can't be meant; not yet for what the issuer may give."""
    _require_consistent(wish, owner)
    roots = principals.roots_of(owner)
    ceiling = _ceiling(organization, owner, wish, roots, by)
    if not ceiling:
        raise Invalid.field("scopes", "A token needs at least one scope.", "required")
    if wish.extended:
        _require_extendable(wish, roots)
        ceiling |= {EXTENDED[name] for name in wish.extended}
    role = wish.role or ""
    if not wish.privilege_separation:
        return Settled(ceiling, role, None)
    if wish.grants is not None:
        rows = _grants(organization, owner, wish, by)
        return Settled(ceiling, role, rows, roles=book(organization.pk, (row.role for row in rows)))
    if isinstance(wish.machines, tuple):
        machines = _machines(organization, wish.machines, by, _limit(owner))
        return Settled(ceiling, role, tuple(GrantWish(machine.path, "") for machine in machines), machines)
    issuer = issuing_token(by) if wish.machines is None else None
    if issuer and issuer.privilege_separation:
        return _inherited(settled_of(issuer), ceiling, role, roots)
    if not roots:
        raise Conflict("This group reaches nothing yet, so its tokens could not either.", code="no_paths")
    everywhere = tuple(GrantWish(root, "") for root in roots)
    return Settled(ceiling, role, everywhere, all_machines=True, extended=wish.extended or frozenset())


def level_columns(settled: Settled) -> dict[str, Any]:
    """What the token's row says of its access level."""
    extended = {f"extended_{name}": name in settled.extended for name in EXTENDED}
    return {"access_level": settled.access_level, "all_machines": settled.all_machines, **extended}


def write(token: Token, settled: Settled) -> None:
    """Replace a token's ceiling, rows and machines. Rows that stay as they were keep their numbers."""
    before = {
        GrantWish(row.path, row.role, row.propagate): row.number for row in Grant.objects.filter(token=token)
    }
    TokenScope.objects.filter(token=token).delete()
    Grant.objects.filter(token=token).delete()
    TokenMachine.objects.filter(token=token).delete()
    write_new(token, settled, before)


def write_new(token: Token, settled: Settled, before: Mapping[GrantWish, int] | None = None) -> None:
    """Write the ceiling, rows and machines of a token that has none. `before`: the numbers of rows that it had."""
    before = before or {}
    fresh = itertools.count(max(before.values(), default=0) + 1)
    TokenScope.objects.bulk_create(TokenScope(token=token, scope=scope) for scope in sorted(settled.ceiling))
    Grant.objects.bulk_create(
        Grant(
            token=token,
            number=before.get(row) or next(fresh),
            path=row.path,
            role=row.role,
            propagate=row.propagate,
        )
        for row in settled.rows or ()
    )
    TokenMachine.objects.bulk_create(
        TokenMachine(token=token, machine=machine, name=machine.name) for machine in settled.machines
    )


def lock_vmids(organization: Organization, wish: Wish) -> None:
    """A free `/vms/<vmid>` and a machine that comes to bear it exclude each other: queue with the registrations."""
    if any(is_vms(row.path) for row in wish.grants or ()):
        currency.lock(organization)


def rows_as_json(rows: Iterable[GrantWish] | None) -> list[dict[str, object]] | None:
    """By path, which no two rows share: in whatever order they were asked for, they are the same."""
    if rows is None:
        return None
    return [
        {"path": row.path, "role": row.role or None, "propagate": row.propagate}
        for row in sorted(rows, key=lambda row: row.path)
    ]


def _require_consistent(wish: Wish, owner: Owner) -> None:
    if wish.scopes is not None and wish.role is not None:
        raise Invalid.field("role", "Say scopes or role, not both.", "contradiction")
    if wish.grants is not None and wish.machines is not None:
        raise Invalid.field("machines", "Say machines or grants, not both.", "contradiction")
    if wish.privilege_separation:
        return
    if kind_of(owner) not in ACTS_AS_OWNER:
        detail = f"{whose(owner)} token is always separated."
        raise Invalid.field("privilege_separation", detail, "contradiction")
    if wish.grants is not None or isinstance(wish.machines, tuple):
        raise Invalid.field(
            "grants" if wish.grants is not None else "machines",
            "Without privilege separation the grants are the owner's rights.",
            "contradiction",
        )


def _require_extendable(wish: Wish, roots: tuple[str, ...]) -> None:
    is_everywhere = wish.grants is None and not isinstance(wish.machines, tuple) and wish.privilege_separation
    if (
        LEVEL_OF_ROLE.get(wish.role or "") != Token.AccessLevel.ADMIN
        or not is_everywhere
        or ROOT not in roots
    ):
        raise Invalid.field(
            "extended",
            "Extended permissions are for the role Admin on all machines of the organization.",
            "contradiction",
        )


def _ceiling(
    organization: Organization, owner: Owner, wish: Wish, roots: tuple[str, ...], by: Access
) -> frozenset[Scope]:
    if wish.scopes is not None:
        return wish.scopes
    if wish.role is not None:
        roles = book(organization.pk, [wish.role])
        if not roles.gives_something(wish.role):
            raise Invalid.field("role", "There is no such role that a token can have.", "unknown_role")
        return frozenset[Scope]().union(*(roles.scopes(wish.role, root) for root in roots or ("/*",)))
    if wish.grants == () or not wish.privilege_separation:
        return _all_that_may_be(organization, owner, by)
    raise Invalid.field("scopes", "Say scopes or role.", "required")


def _all_that_may_be(organization: Organization, owner: Owner, by: Access) -> frozenset[Scope]:
    """Every scope that the principal may hold; of an issuing token's child, those that it holds itself."""
    most = principals.most_of(owner, organization.pk)
    return most & by.rights(organization.pk).anywhere if by.token_id else most


def _limit(owner: Owner) -> str:
    """The path outside of which this owner's tokens can't be given rows: they would reach nothing there."""
    return owner.path if isinstance(owner, Fleet) else ROOT


def _inherited(issuer: Settled, ceiling: frozenset[Scope], role: str, roots: tuple[str, ...]) -> Settled:
    """Where nothing is said, a token's child is as restricted as it is: its rows at and below the roots."""
    rows = [row for row in issuer.rows or () if _is_under_any(row.path, roots)]
    for root in roots:
        if all(row.path != root for row in rows):
            rows += [GrantWish(root, row.role) for row in issuer.granted.winning(root)]
    machines = tuple(machine for machine in issuer.machines if _is_under_any(machine.path, roots))
    return Settled(ceiling, role, tuple(rows), machines, roles=issuer.roles)


def _is_under_any(path: str, roots: tuple[str, ...]) -> bool:
    return any(is_under(path, root) for root in roots)


def _grants(organization: Organization, owner: Owner, wish: Wish, by: Access) -> tuple[GrantWish, ...]:
    rows = list(wish.kept)
    roles = book(organization.pk, (asked.role for asked in wish.grants or ()))
    for index, asked in enumerate(wish.grants or ()):
        said_at = f"grants.{index}."
        meant = canonical_row(organization, owner, asked, by, roles=roles, said_at=said_at)
        if any(other.path == meant.path for other in rows):
            raise Invalid.field(f"{said_at}path", "There is another row for this path.", "duplicate")
        rows.append(meant)
    return tuple(rows)


def canonical_row(
    organization: Organization,
    owner: Owner,
    asked: GrantWish,
    by: Access,
    *,
    roles: RoleBook | None = None,
    said_at: str = "",
) -> GrantWish:
    """A row as it would be stored; Invalid where it can't be meant. `said_at`: where the request says it, such as
    `grants.0.`."""
    roles = roles or book(organization.pk, [asked.role])
    path = places.resolved(organization.pk, asked.path, field=f"{said_at}path")
    if is_vms(asked.path):
        _require_reached(organization, path, by, field=f"{said_at}path")
    root = _limit(owner)
    if not is_under(path, root):
        raise Invalid.field(
            f"{said_at}path", f"This owner's tokens reach nothing outside of {root}.", "bad_path"
        )
    if asked.role and asked.role not in roles:
        raise Invalid.field(f"{said_at}role", "There is no such role.", "unknown_role")
    return GrantWish(path, asked.role, asked.propagate)


def _require_reached(organization: Organization, path: str, by: Access, *, field: str) -> None:
    """A row on a free `/vms/<vmid>` keeps every machine from bearing the vmid, so it is for who may register machines
    everywhere. One that is borne is named by who reaches the machine: where it is is not told to anybody else."""
    if is_vms(path):
        reached = by.permits(Scope.MACHINES_WRITE, ROOT, organization.pk)
    else:
        reached = bool(by.rights(organization.pk).at(path))
    if not reached:
        raise Invalid.field(field, "You reach no machine that bears this vmid.", "unknown_path")


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
