"""Short ways to issue as somebody, and to look at what is stored."""

import itertools
from collections.abc import Callable
from typing import Any

from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import DomainError
from fleets.models import Organization
from fleets.scopes import Scope, parse_scopes
from tests.factories import make_token, organization_of
from tokens import issuance
from tokens.issuance import GrantWish, Issued, Wish
from tokens.kinds import Owner
from tokens.models import Token

REASON = "for the tests"
_numbers = itertools.count(1)


def wish(*scopes: str, **parts: Any) -> Wish:
    """A wish for these scopes; for none of its own where none is named."""
    return Wish(scopes=parse_scopes(scopes) if scopes else None, **parts)


def issue(
    by: Access, owner: Owner, asked: Wish, *, organization: Organization | None = None, **options: Any
) -> Issued:
    named = {"name": f"issued-{next(_numbers)}", "reason": REASON, **options}
    place = organization or organization_of(owner)
    return issuance.issue(place, owner=owner, wish=asked, by=by, **named)


def present(issued: Issued) -> Token:
    """The token as it is stored now."""
    return Token.objects.presented().get(pk=issued.token.pk)


def rows(token: Token) -> list[GrantWish]:
    return [GrantWish(grant.path, grant.role, grant.propagate) for grant in token.grants.all()]


def pending(owner: Owner, *scopes: str, **options: Any) -> Issued:
    """A token that waits for its approval."""
    issued = make_token(owner, *scopes, **options)
    Token.objects.filter(pk=issued.token.pk).update(status="pending", approved_at=None)
    return issued


def with_status(owner: Owner, status: str, *scopes: str) -> Issued:
    """A token that stands like this, however it came to."""
    issued = make_token(owner, *(scopes or ("machines:read",)))
    changes: dict[str, Any] = {"status": status}
    if status == "expired":
        changes = {"expires_at": now()}
    elif status in {"rejected", "revoked"}:
        changes["status_reason"] = "withdrawn" if status == "rejected" else "by_hand"
    Token.objects.filter(pk=issued.token.pk).update(**changes)
    return issued


def outcome(verb: Callable[..., Any], *args: Any, **options: Any) -> str:
    """What a verb answers: "done", or the code of its refusal."""
    try:
        verb(*args, **options)
    except DomainError as refusal:
        return refusal.code
    return "done"


ALL = frozenset(Scope)
