"""A token's ceiling and rows as plain values, and what it may do with them."""

from collections.abc import Iterable

from config.edge.access import Rights
from fleets import places
from fleets.authority import Entry, PrincipalRights, TokenRights, role_scopes
from fleets.paths import closure
from fleets.scopes import Scope
from tokens.models import Grant, Token

EVERYTHING = PrincipalRights(everything=True)


def ceiling_of(token: Token) -> frozenset[Scope]:
    return frozenset(Scope(row.scope) for row in token.scope_rows.all())


def entry(path: str, role: str, propagate: bool, ceiling: frozenset[Scope]) -> Entry:
    """A token's row as the walk reads it: without a role it gives the whole ceiling."""
    scopes = role_scopes(role, path) if role else ceiling
    return Entry(path=path, scopes=scopes, role=role, propagate=propagate, subject="token")


def rows_of(token: Token, ceiling: frozenset[Scope]) -> tuple[Entry, ...] | None:
    """The token's living rows; None where it goes by its principal's rights."""
    if not token.privilege_separation:
        return None
    grants: list[Grant] = list(token.grants.all())
    living = places.living(token.organization_id, (grant.path for grant in grants))
    return tuple(entry(g.path, g.role, g.propagate, ceiling) for g in grants if g.path in living)


def granted(ceiling: frozenset[Scope], rows: tuple[Entry, ...] | None) -> TokenRights:
    """What ceiling and rows would allow whoever the principal is: for comparing tokens with each other."""
    return TokenRights(ceiling, rows, EVERYTHING)


def granted_by(token: Token) -> TokenRights:
    ceiling = ceiling_of(token)
    return granted(ceiling, rows_of(token, ceiling))


def is_within(inner: Rights, outer: Rights) -> bool:
    """Whether `inner` gives nothing on any path that `outer` does not give there."""
    return not exceeding(inner, outer)


def exceeding(inner: Rights, outer: Rights) -> list[tuple[str, str]]:
    """The (scope, path) pairs that `inner` gives and `outer` does not, at every path where they can differ."""
    everywhere: Iterable[str] = sorted(closure(inner.paths | outer.paths | {"/"}))
    return [(scope, path) for path in everywhere for scope in sorted(inner.at(path) - outer.at(path))]
