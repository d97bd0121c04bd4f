"""Requests for approval: open, rewrite, withdraw; what ends them without a decision. Deciding is in decisions."""

from collections.abc import Iterable
from typing import Any

from approvals import announcements, policy
from approvals.models import ApprovalRequest, Ids
from approvals.subjects import Proposal, handler_of
from audit.actions import Action
from audit.trail import Auditable, record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.parsing import has_words
from config.edge.refusals import Conflict, IllegalMove
from fleets import currency, deciders
from fleets.models import Organization, User
from fleets.organization_policy import OrganizationPolicy, policy_of

MOST_WORDS = 50  # of a diff, in an event
MOST_LIVES = 2  # how many times as long as asked for once a request may wait by being rewritten


def open_request(
    kind: str,
    subject: Auditable,
    proposal: Proposal,
    *,
    organization: Organization,
    needed: int,
    reason: str,
    originators: Ids,
    by: Access,
) -> ApprovalRequest:
    """For verbs that hold the subject's lock: let what is proposed wait. An open request about the same is superseded.

    `originators`: everybody behind it besides who calls; none of them decides. Conflict where too few others can.
    """
    about = subject.audit_target()
    end_about(subject, by=by)
    rules = policy_of(organization)
    able = deciders.eligible(organization, rules)
    behind = originators | behind_of(by)
    _require_reachable(needed, able, behind, rules)
    at = now()
    request = ApprovalRequest.objects.create(
        organization=organization,
        kind=kind,
        subject_type=about.type,
        subject_id=about.id,
        subject_label=about.label,
        risk=proposal.risk,
        needed=needed,
        diff=proposal.diff,
        diff_words=list(proposal.words),
        diff_digest=proposal.digest,
        reason=reason,
        requested_by=by.user,
        requested_by_token=by.token_id or "",
        opened_at=at,
        expires_at=at + rules.request_lifetime,
    )
    request.originators.set(User.objects.filter(pk__in=behind))
    request.eligible.set(User.objects.filter(pk__in=able))
    record(Action.APPROVAL_REQUESTED, by=by, target=request, reason=reason, data=event_data(request))
    announcements.opened(request)
    return request


def rewrite(
    request: ApprovalRequest,
    proposal: Proposal,
    *,
    needed: int,
    reason: str = "",
    originators: Ids,
    by: Access,
) -> None:
    """For verbs that hold the subject's lock: what waits has changed, and so has why, where a reason is given. Votes on
    what it was are void, who changed it is behind it too, and there is time again to decide, within `MOST_LIVES`.
    Conflict where too few others could decide then."""
    request = currency.lock(request)
    require_waiting(request)
    rules = policy_of(request.organization)
    request.originators.add(*User.objects.filter(pk__in=originators | behind_of(by)))
    behind = frozenset(request.originators.values_list("pk", flat=True)) | {request.requested_by_id}
    were_able = frozenset(request.eligible.values_list("pk", flat=True))
    _require_reachable(needed, were_able & deciders.eligible(request.organization, rules), behind, rules)
    currency.claim(request, status=ApprovalRequest.Status.OPEN)
    replace_diff(request, proposal)
    request.needed, request.reason = needed, reason if has_words(reason) else request.reason
    last = request.opened_at + MOST_LIVES * rules.request_lifetime
    request.expires_at = max(request.expires_at, min(now() + rules.request_lifetime, last))
    request.save(update_fields=["needed", "reason", "expires_at"])
    record(Action.APPROVAL_REWRITTEN, by=by, target=request, reason=reason, data=event_data(request))
    announcements.opened(request)


def replace_diff(request: ApprovalRequest, proposal: Proposal) -> None:
    """Another diff has another digest; earlier votes are void."""
    request.risk, request.diff = proposal.risk, proposal.diff
    request.diff_words, request.diff_digest = list(proposal.words), proposal.digest
    request.save(update_fields=["risk", "diff", "diff_words", "diff_digest"])
    request.decisions.filter(voided_at=None).update(voided_at=now())


def end_about(subject: Auditable, *, by: Access) -> None:
    """For verbs that hold the subject's lock: what waits about it is superseded, by something newer or because the
    subject is no longer what it was about."""
    about = subject.audit_target()
    for earlier in ApprovalRequest.objects.open().filter(subject_type=about.type, subject_id=about.id):
        supersede(currency.lock(earlier), by=by)


def supersede(request: ApprovalRequest, *, by: Access) -> None:
    """As `end_about`, of a request that the caller has locked."""
    request.move_to(ApprovalRequest.Status.SUPERSEDED)
    record(Action.APPROVAL_SUPERSEDED, by=by, target=request, data=event_data(request))
    announcements.settled(request, by)


def end_all(subject_type: str, ids: Iterable[str], *, reason: str, by: Access) -> None:
    """As `end_about`, for verbs that ended subjects, however many: nothing about them waits any more."""
    for some in currency.in_parts(list(ids)):
        rows = ApprovalRequest.objects.open().filter(subject_type=subject_type, subject_id__in=some)
        locked = currency.lock_all(rows.select_related("requested_by"))
        if not locked:
            continue
        currency.change_all(locked, status=ApprovalRequest.Status.SUPERSEDED, closed_at=now())
        for request in locked:
            record(Action.APPROVAL_SUPERSEDED, by=by, target=request, reason=reason, data=event_data(request))
            announcements.settled(request, by)


@verb(Action.APPROVAL_WITHDRAWN)
def withdraw(request: ApprovalRequest, *, reason: str = "", by: Access) -> ApprovalRequest:
    """Take a request back: one's own, or a technical user's about a token that one manages."""
    fresh = locked(request, by)
    policy.require_may_withdraw(by, fresh)
    require_waiting(fresh)
    return _ended(fresh, ApprovalRequest.Status.WITHDRAWN, Action.APPROVAL_WITHDRAWN, reason, by)


@verb(Action.APPROVAL_LAPSED)
def lapse(request: ApprovalRequest, *, by: Access) -> ApprovalRequest:
    """Record that nobody decided in time. Since then it could not be decided any more; this tells who asked."""
    fresh = locked(request, by)
    require_open(fresh)
    if fresh.is_in_time:
        raise IllegalMove("This request is still in time.")
    return _ended(fresh, ApprovalRequest.Status.LAPSED, Action.APPROVAL_LAPSED, "", by)


@verb(Action.APPROVAL_REMINDED)
def remind(request: ApprovalRequest, *, by: Access) -> None:
    """Tell who may decide, once, that half of its time is over."""
    fresh = currency.lock(request)
    if not fresh.is_waiting or fresh.reminded_at:
        return
    fresh.reminded_at = now()
    fresh.save(update_fields=["reminded_at"])
    record(Action.APPROVAL_REMINDED, by=by, target=fresh, data={"approval": str(fresh.pk)})
    announcements.reminded(fresh)


def locked(request: ApprovalRequest, by: Access) -> ApprovalRequest:
    """The request as it is now, under the locks of its subject and its own; the caller's rights are read again."""
    handler_of(request).lock(request)
    fresh = currency.lock(request)
    by.refresh()
    return fresh


def require_open(request: ApprovalRequest) -> None:
    if not request.is_open:
        raise IllegalMove(f"This request is {request.status} already.")


def require_waiting(request: ApprovalRequest) -> None:
    """Open and in time, whether the end of its time was recorded or not."""
    require_open(request)
    if not request.is_in_time:
        raise IllegalMove("Nobody decided on this request in time.", code="request_lapsed")


def behind_of(by: Access) -> Ids:
    """The users behind a caller: itself, and for a token its principal and who made it."""
    return by.behind | ({by.user.pk} if by.user is not None else frozenset())


def event_data(request: ApprovalRequest) -> dict[str, Any]:
    """What events say of a request."""
    return {
        "approval": str(request.pk),
        "diff_digest": request.diff_digest,
        "needed": request.needed,
        "diff_words": request.diff_words[:MOST_WORDS],
    }


def _ended(
    request: ApprovalRequest, status: ApprovalRequest.Status, action: Action, reason: str, by: Access
) -> ApprovalRequest:
    request.move_to(status)
    record(action, by=by, target=request, reason=reason, data=event_data(request))
    handler_of(request).discard(request, by, reason=reason)
    announcements.settled(request, by)
    return request


def _require_reachable(needed: int, able: Ids, behind: Ids, rules: OrganizationPolicy) -> None:
    free = able if rules.self_approval else able - behind
    if len(free) < needed:
        raise Conflict(
            f"It needs {needed} approvals of others, and there are {len(free)} who could give one.",
            code="approvers_missing",
        )
