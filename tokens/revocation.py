"""Ends tokens for ever: one by hand, all of an owner at once, and what departures and closings take with them."""

from dataclasses import dataclass
from uuid import UUID

from approvals.requests import end_all
from audit.actions import Action
from audit.trail import record, record_all
from audit.verbs import verb
from config.edge.access import Access
from config.edge.ids import uuid7
from config.edge.parsing import has_words
from config.edge.refusals import Invalid, require
from fleets import currency
from fleets.models import Membership, Organization
from tokens import limits, policy, principals
from tokens.kinds import Owner
from tokens.models import Grant, Token, TokenMachine, TokenQuerySet

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
    why = Token.Reason.BY_ITSELF if is_itself else Token.Reason.BY_HAND
    _end(token, Token.Status.REVOKED, why)
    record(Action.TOKEN_REVOKED, by=by, target=token, reason=reason, data={"status_reason": why})
    end_all("token", [token.pk], reason=reason, by=by)
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


def reject(token: Token, status_reason: str, *, approval: UUID, reason: str, by: Access) -> None:
    """For the request that came to nothing: a pending token ends without having begun."""
    _end(token, Token.Status.REJECTED, status_reason)
    data = {"status_reason": status_reason, "approval": str(approval)}
    record(Action.TOKEN_REJECTED, by=by, target=token, reason=reason, data=data)


def _end(token: Token, status: str, status_reason: str) -> None:
    """Under the row's lock, so that it wins over whatever else was read before; grants go, the row stays."""
    principals.retire(token)
    fresh = currency.lock(token)
    token.status, token.version = fresh.status, fresh.version
    token.move_to(status, status_reason=status_reason, open_request=None)
    Grant.objects.filter(token=token).delete()
    TokenMachine.objects.filter(token=token).delete()


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
    ended = currency.lock_all(live.only("name", "organization", "status", "version", "open_request"))
    waiting = [token.pk for token in ended if token.open_request_id]
    Token.end_all(ended, status_reason)
    for some in currency.in_parts(ended):
        Grant.objects.filter(token__in=some).delete()
        TokenMachine.objects.filter(token__in=some).delete()
    said = {"status_reason": status_reason, **(data or {})}
    record_all(Action.TOKEN_REVOKED, by=by, targets=ended, reason=reason, data=said)
    end_all("token", waiting, reason=reason, by=by)
    return [token.name for token in ended]
