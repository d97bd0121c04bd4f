"""Tokens that do more because what they act as, or a role that they name, gives more: found, marked, named.

Nobody asks their owners: a ceiling is never exceeded by it. So the event says which they are, and each has a hint until
somebody edits or approves it, or for `HINTED_FOR`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from config.edge.clock import now
from fleets import currency, holdings, places
from fleets.authority import PrincipalRights, TokenRights, exceeding
from fleets.consequences import Named, RightsChange
from fleets.roles import RoleBook, book
from fleets.scopes import Scope
from tokens.models import Grant, Token, TokenScope
from tokens.rights import ceiling_of, stored

HINTED_FOR = timedelta(days=30)


def rights_changed(change: RightsChange) -> list[Named]:
    """The live tokens that may do more by it, each with its hint from now on."""
    tokens = _reached(change)
    if not tokens:
        return []
    widened = _gaining(tokens, change)
    _mark(widened, Token.Widening.ROLE if change.role else Token.Widening.ENTRY)
    return [Named(token.pk, token.name) for token in widened]


def hint_of(token: Token, at: datetime) -> str | None:
    """What widened it lately, as a hint says it."""
    if token.widened_at is None or token.widened_at + HINTED_FOR <= at:
        return None
    return f"widened_by_{token.widened_by}"


def forget(token: Token) -> None:
    """Somebody looked at the token, and edited or approved it: its hint is over. For who holds its lock."""
    if token.widened_at is None:
        return
    token.widened_by, token.widened_at = "", None
    token.save(update_fields=["widened_by", "widened_at"])


def _reached(change: RightsChange) -> list[Token]:
    """Those that may do more: they act as who gained something, or a row of theirs names the role; sorted by id."""
    gained: set[str] = set()
    gaining = []
    for user_id, rights in change.after.items():
        if more := exceeding(rights, change.before[user_id]):
            gaining.append(user_id)
            gained.update(scope for scope, _ in more)
    reached = Q(principal__in=gaining, pk__in=TokenScope.objects.filter(scope__in=gained).values("token"))
    if change.role:
        reached |= Q(pk__in=Grant.objects.filter(role=change.role).values("token"))
    elif not gaining:
        return []
    tokens = Token.objects.not_ended().filter(reached, organization=change.organization_id)
    together = tokens.select_related("principal").prefetch_related("scope_rows", "grants")
    return list(together.order_by("pk"))


def _gaining(tokens: Sequence[Token], change: RightsChange) -> list[Token]:
    """Compared in all that they may do: with each role as it is and as it was, with what each principal holds."""
    roles = book(change.organization_id, {row.role for token in tokens for row in token.grants.all()})
    old_roles = RoleBook({**roles.own, change.role: change.gave}) if change.role else roles
    others = [token.principal for token in tokens if token.principal_id not in change.after]
    unchanged = holdings.rights_but_for_suspension(others, change.organization_id) if others else {}
    after, before = {**unchanged, **change.after}, {**unchanged, **change.before}
    paths = {row.path for token in tokens for row in token.grants.all()}
    living = places.living(change.organization_id, paths)
    return [
        token
        for token in tokens
        if exceeding(_may(token, roles, after, living), _may(token, old_roles, before, living))
    ]


def _may(
    token: Token, roles: RoleBook, rights: Mapping[UUID, PrincipalRights], living: Collection[str]
) -> TokenRights:
    ceiling: frozenset[Scope] = ceiling_of(token)
    rows = tuple(row for row in stored(token, ceiling, roles) if row.path in living)
    return TokenRights(ceiling, rows if token.privilege_separation else None, rights[token.principal_id])


def _mark(tokens: Sequence[Token], widened_by: str) -> None:
    """No version is raised: nothing of the token itself is another. Locked first, in the one order."""
    for some in currency.in_parts([token.pk for token in tokens]):
        currency.lock_all(Token.objects.filter(pk__in=some).only("pk"))
        Token.objects.filter(pk__in=some).update(widened_by=widened_by, widened_at=now())
