"""A token's own rows, one by one: give, take away. What that means is judged where every edit is (lifecycle)."""

from audit.actions import Action
from audit.verbs import verb
from config.edge.access import Access
from config.edge.refusals import Conflict, Missing, require
from tokens import lifecycle, policy, wishes
from tokens.lifecycle import Edit
from tokens.models import Grant, Token
from tokens.revocation import NOT_YOURS
from tokens.wishes import MOST_GRANTS, GrantWish, Wish, settled_of


@verb(Action.TOKEN_EDITED)
def give(token: Token, *, row: GrantWish, replaces: bool = False, reason: str = "", by: Access) -> Grant:
    """Add a row; without a role it gives the whole ceiling. Its token, as it is then, is on the row; where its
    `edit_waits`, the row is not stored yet, nor has it a number.

    Conflict where there is a row at the path, unless it `replaces` that one.
    """
    _require_may_write(token, by)
    wishes.lock_vmids(token.organization, Wish(grants=(row,)))
    meant = wishes.canonical_row(token.organization, token.owner, row, by)
    others = tuple(other for other in _rows(token) if other.path != meant.path)
    if len(others) < len(_rows(token)) and not replaces:
        raise Conflict("There is a row for this path already.", code="grant_exists")
    if len(others) >= MOST_GRANTS:
        raise Conflict(f"A token has at most {MOST_GRANTS} rows.", code="too_many_grants")
    edited = _edited(token, Wish(grants=(meant,), kept=others), reason, by)
    if edited.edit_waits:
        return Grant(token=edited, path=meant.path, role=meant.role, propagate=meant.propagate)
    return next(grant for grant in edited.grants.all() if grant.path == meant.path)


@verb(Action.TOKEN_EDITED)
def take(token: Token, *, number: int, reason: str = "", by: Access) -> Token:
    """Take the row of this number away. Where it denied or narrowed, that widens the token, and is judged so; where
    the token's `edit_waits` then, the row is still there."""
    _require_may_write(token, by)
    gone = next((grant for grant in token.grants.all() if grant.number == number), None)
    if gone is None:
        raise Missing("This token has no such row.")
    rest = tuple(row for row in _rows(token) if row.path != gone.path)
    return _edited(token, Wish(grants=(), kept=rest), reason, by)


def _edited(token: Token, wish: Wish, reason: str, by: Access) -> Token:
    return lifecycle.edit(token, change=Edit(wish=wish), reason=reason, by=by)


def _rows(token: Token) -> tuple[GrantWish, ...]:
    return settled_of(token).rows or ()


def _require_may_write(token: Token, by: Access) -> None:
    """A token writes no rows for itself, nor for a token that acts as its principal or as who made it."""
    is_itself = by.token_id == token.pk
    require(is_itself or policy.may_manage(by, token), NOT_YOURS)
    is_theirs = by.token_id is not None and (is_itself or token.principal_id in by.behind)
    require(
        not is_theirs,
        "A token writes no grants for itself, its principal or who made it.",
        "writes_for_itself",
    )
