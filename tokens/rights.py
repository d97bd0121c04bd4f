"""A token's ceiling and rows as plain values, and what it may do with them."""

from collections.abc import Iterable
from uuid import UUID

from fleets import places
from fleets.authority import Entry, PrincipalRights, TokenRights
from fleets.roles import RoleBook, book
from fleets.scopes import Scope
from tokens.models import Token

EVERYTHING = PrincipalRights(everything=True)


def ceiling_of(token: Token) -> frozenset[Scope]:
    return frozenset(Scope(row.scope) for row in token.scope_rows.all())


def entry(path: str, role: str, propagate: bool, ceiling: frozenset[Scope], roles: RoleBook) -> Entry:
    """A token's row as the walk reads it: without a role it gives the whole ceiling."""
    scopes = roles.scopes(role, path) if role else ceiling
    return Entry(path=path, scopes=scopes, role=role, propagate=propagate, subject="token")


def rows_of(token: Token, ceiling: frozenset[Scope]) -> tuple[Entry, ...] | None:
    """The token's living rows; None where it goes by its principal's rights."""
    if not token.privilege_separation:
        return None
    roles = book(token.organization_id, (grant.role for grant in token.grants.all()))
    return living(token.organization_id, stored(token, ceiling, roles))


def stored(token: Token, ceiling: frozenset[Scope], roles: RoleBook) -> tuple[Entry, ...]:
    """The token's rows, whether or not what they name exists."""
    return tuple(
        entry(grant.path, grant.role, grant.propagate, ceiling, roles) for grant in token.grants.all()
    )


def living(organization_id: UUID, rows: Iterable[Entry]) -> tuple[Entry, ...]:
    """Those rows that are at free paths or name what exists."""
    rows = tuple(rows)
    paths = places.living(organization_id, (row.path for row in rows))
    return tuple(row for row in rows if row.path in paths)


def granted(ceiling: frozenset[Scope], rows: tuple[Entry, ...] | None) -> TokenRights:
    """What ceiling and rows would allow whoever the principal is: for comparing tokens with each other."""
    return TokenRights(ceiling, rows, EVERYTHING)
