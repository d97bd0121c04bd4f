"""Decisions on requests: approve, approve less, reject. With enough approvals that still stand, it is done at once."""

from typing import Any

from approvals import announcements, policy, requests
from approvals.models import ApprovalRequest, Decision
from approvals.subjects import handler_of
from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Conflict, IllegalMove, require
from fleets import currency, deciders
from fleets.organization_policy import policy_of


@verb(Action.APPROVAL_GRANTED)
def approve(
    request: ApprovalRequest,
    *,
    digest: str,
    comment: str = "",
    narrowed: dict[str, Any] | None = None,
    by: Access,
) -> ApprovalRequest:
    """Agree to exactly the diff of this digest; or to less (`narrowed`), which voids earlier votes.

    Conflict where it was changed since, is closed, or out of time; 403 to who is behind it.
    """
    fresh = _decidable(request, digest, by)
    handler = handler_of(fresh)
    if narrowed is not None:
        require(
            policy_of(fresh.organization).narrowing_allowed, "Less is not approved here.", "narrowing_off"
        )
        requests.replace_diff(fresh, handler.narrow(fresh, narrowed, by))
    _vote(fresh, Decision.Verdict.APPROVE, comment, by)
    standing = _standing(fresh)
    data = {**requests.told(fresh), "granted": standing, "narrowed": narrowed is not None}
    record(Action.APPROVAL_GRANTED, by=by, target=fresh, reason=comment, data=data)
    if standing >= fresh.needed:
        fresh.move_to(ApprovalRequest.Status.APPROVED)
        handler.apply(fresh, by)
        announcements.settled(fresh)
    return fresh


@verb(Action.APPROVAL_REJECTED)
def reject(request: ApprovalRequest, *, digest: str, comment: str = "", by: Access) -> ApprovalRequest:
    """Refuse it; one rejection is enough, for ever."""
    fresh = _decidable(request, digest, by)
    _vote(fresh, Decision.Verdict.REJECT, comment, by)
    fresh.move_to(ApprovalRequest.Status.REJECTED)
    record(Action.APPROVAL_REJECTED, by=by, target=fresh, reason=comment, data=requests.told(fresh))
    handler_of(fresh).discard(fresh, by, reason=comment)
    announcements.settled(fresh)
    return fresh


def _decidable(request: ApprovalRequest, digest: str, by: Access) -> ApprovalRequest:
    """The request under its locks, so that racing votes queue; checked for who decides, and on what."""
    fresh = requests.locked_open(request, by)
    handler = handler_of(fresh)
    policy.require_may_decide(by, fresh, handler.parties(fresh))
    if not fresh.is_open:
        raise IllegalMove(f"This request is {fresh.status} already.")
    if not fresh.is_in_time:
        raise IllegalMove("Nobody decided on this request in time.", code="request_lapsed")
    if digest != fresh.diff_digest:
        raise Conflict("It is not what you saw any more. Read it again, then decide.", code="diff_changed")
    handler.recheck(fresh)
    return fresh


def _vote(request: ApprovalRequest, verdict: Decision.Verdict, comment: str, by: Access) -> None:
    if request.decisions.filter(user=by.user, voided_at=None).exists():
        raise Conflict("You have decided on this already.", code="already_decided")
    currency.claim(request, status=ApprovalRequest.Status.OPEN)
    request.decisions.create(
        user=by.user,
        verdict=verdict,
        comment=comment,
        diff_digest=request.diff_digest,
        decided_at=now(),
    )


def _standing(request: ApprovalRequest) -> int:
    """How many approvals count now. Whoever lost the role since, or came to know a secret, has no vote any more."""
    rules, parties = policy_of(request.organization), handler_of(request).parties(request)
    count = 0
    for vote in request.decisions.select_related("user").filter(
        voided_at=None, verdict=Decision.Verdict.APPROVE, diff_digest=request.diff_digest
    ):
        is_free = rules.self_approval or not policy.is_behind(vote.user, request, parties)
        if is_free and deciders.decides(vote.user, request.organization, rules):
            count += 1
        else:
            vote.voided_at = now()
            vote.save(update_fields=["voided_at"])
    return count
