"""Decisions on requests: approve, approve less, reject. With enough approvals that still stand, it is done at once."""

from typing import Any

from approvals import announcements, policy, requests, standing
from approvals.models import ApprovalRequest, Decision, Ids
from approvals.subjects import handler_of
from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.parsing import has_words
from config.edge.refusals import Conflict, Invalid
from fleets import currency, deciders
from fleets.organization_policy import policy_of
from fleets.scopes import Risk


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
    fresh, behind = _decidable(request, digest, by)
    handler = handler_of(fresh)
    if narrowed is not None:
        policy.require_may_narrow(fresh)
        requests.replace_diff(fresh, handler.narrow(fresh, narrowed, by))
    handler.recheck(fresh)  # what is agreed to: less may be allowed where all of it no longer is
    _vote(fresh, Decision.Verdict.APPROVE, comment, by)
    granted = _void_what_fell(fresh, behind)
    _need_no_fewer(fresh)
    data = {**requests.event_data(fresh), "granted": granted, "narrowed": narrowed is not None}
    record(Action.APPROVAL_GRANTED, by=by, target=fresh, reason=comment, data=data)
    if granted >= fresh.needed:
        fresh.move_to(ApprovalRequest.Status.APPROVED)
        handler.apply(fresh, by)
        announcements.settled(fresh, by)
    elif narrowed is not None:
        announcements.opened(fresh)
    return fresh


@verb(Action.APPROVAL_REJECTED)
def reject(request: ApprovalRequest, *, digest: str, comment: str, by: Access) -> ApprovalRequest:
    """Refuse it, and say why; one rejection is enough, for ever."""
    fresh, _ = _decidable(request, digest, by)
    if not has_words(comment):
        raise Invalid.field("comment", "Say why, for who asked.", "required")
    _vote(fresh, Decision.Verdict.REJECT, comment, by)
    fresh.move_to(ApprovalRequest.Status.REJECTED)
    record(Action.APPROVAL_REJECTED, by=by, target=fresh, reason=comment, data=requests.event_data(fresh))
    handler_of(fresh).discard(fresh, by, reason=comment)
    announcements.settled(fresh, by)
    return fresh


def _decidable(request: ApprovalRequest, digest: str, by: Access) -> tuple[ApprovalRequest, Ids]:
    """The request under its locks, so that racing votes queue, and who is behind it; checked for who decides, and on
    what."""
    fresh = requests.locked(request, by)
    behind = standing.behind(fresh)
    policy.require_may_decide(by, fresh, behind)
    requests.require_waiting(fresh)
    if digest != fresh.diff_digest:
        raise Conflict("It is not what you saw any more. Read it again, then decide.", code="diff_changed")
    return fresh, behind


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


def _need_no_fewer(request: ApprovalRequest) -> None:
    """By a policy that became stricter while it waited; one that became weaker leaves it what it was."""
    now_needed = policy_of(request.organization).approvals_for(Risk(request.risk))
    if now_needed > request.needed:
        request.needed = now_needed
        request.save(update_fields=["needed"])


def _void_what_fell(request: ApprovalRequest, behind: Ids) -> int:
    """How many approvals count now. Whoever lost the role since, or came to know a secret, has no vote any more."""
    able = deciders.eligible(request.organization, policy_of(request.organization))
    votes = list(request.decisions.filter(voided_at=None))
    fallen = [
        vote.pk
        for vote in votes
        if not standing.counts(vote, request, is_able=vote.user_id in able, behind_it=behind)
    ]
    request.decisions.filter(pk__in=fallen).update(voided_at=now())
    return len(votes) - len(fallen)
