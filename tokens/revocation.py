"""Ends tokens for ever: one by hand, all of an owner at once, and what departures and closings take with them."""

from dataclasses import dataclass
from uuid import UUID

from audit.actions import Action
from audit.trail import record, record_all
from audit.verbs import verb
from config.edge.access import Access
from config.edge.ids import uuid7
from config.edge.refusals import Invalid, require
from fleets import currency
from fleets.models import Membership, Organization
from tokens import limits, policy, principals
from tokens.kinds import Owner
from tokens.models import Grant, Token, TokenMachine, TokenQuerySet
from tokens.risk import has_words

NOT_YOURS = "You may not manage this token."


@dataclass(frozen=True)
class Batch:
    """How many tokens one call ended, and what their events name it by."""

    revoked: int
    id: UUID


@verb(Action.TOKEN_REVOKED)
def revoke(token: Token, *, reason: str = "", by: Access) -> Token:
    """End a token for ever, whatever anybody does to it at the same time."""
    is_itself = by.token_id == token.pk
    require(is_itself or policy.may_manage(by, token), NOT_YOURS)
    _end(token, Token.Reason.BY_ITSELF if is_itself else Token.Reason.BY_HAND, by, reason)
    return token.presented()


@verb(Action.TOKEN_REVOKED)
def revoke_all(organization: Organization, *, owner: Owner, reason: str, by: Access) -> Batch:
    """End every token of one owner in one organization, and no other list; with nothing left, nothing happens.

    Who issues, widens or rotates one of them meanwhile queues before or behind it: before, theirs ends too.
    """
    limits.lock_list(organization, owner)
    by.refresh()
    require(policy.may_manage_of(by, owner, organization), "You may not manage the tokens of this owner.")
    if not has_words(reason):
        raise Invalid.field("reason", "Say why they end.", "required")
    batch = uuid7()
    theirs = Token.objects.of_owner(owner).filter(organization=organization)
    ended = _end_all(theirs, Token.Reason.BY_HAND, by, reason=reason, data={"batch": str(batch)})
    return Batch(len(ended), batch)


def member_left(membership: Membership, by: Access) -> list[str]:
    """Who leaves an organization takes their personal tokens with them; what they made for others lives on.

    The names of those that ended.
    """
    theirs = Token.objects.of_owner(membership.user).filter(organization=membership.organization_id)
    return _end_all(theirs, Token.Reason.OWNER_LEFT, by)


def owner_closed(owner: Owner, by: Access) -> list[str]:
    """What closes takes its tokens with it; the names of those that ended."""
    return _end_all(Token.objects.of_owner(owner), Token.Reason.OWNER_CLOSED, by)


def _end(token: Token, status_reason: str, by: Access, reason: str) -> None:
    """Under the row's lock, so that it wins over whatever else was read before; grants go, the row stays."""
    principals.retire(token)
    fresh = currency.lock(token)
    token.status, token.version = fresh.status, fresh.version
    token.move_to(Token.Status.REVOKED, status_reason=status_reason)
    Grant.objects.filter(token=token).delete()
    TokenMachine.objects.filter(token=token).delete()
    record(Action.TOKEN_REVOKED, by=by, target=token, reason=reason, data={"status_reason": status_reason})


def _end_all(
    tokens: TokenQuerySet,
    status_reason: str,
    by: Access,
    *,
    reason: str = "",
    data: dict[str, str] | None = None,
) -> list[str]:
    """As `_end`, for a whole list in a number of statements that hardly grows with it. The caller has locked what the
    list belongs to. The names of those that ended."""
    live = tokens.not_ended()
    principals.retire_all(live)
    ended = currency.lock_all(live.only("name", "organization", "status", "version"))
    Token.end_all(ended, status_reason)
    for some in currency.in_parts(ended):
        Grant.objects.filter(token__in=some).delete()
        TokenMachine.objects.filter(token__in=some).delete()
    said = {"status_reason": status_reason, **(data or {})}
    record_all(Action.TOKEN_REVOKED, by=by, targets=ended, reason=reason, data=said)
    return [token.name for token in ended]
