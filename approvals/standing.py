"""What counts now: which votes stand, who is behind a request, and what one caller may do about it.

For decisions, which ask under their locks, and for lists and pages, which ask in a fixed number of queries.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from approvals import policy
from approvals.models import ApprovalRequest, Decision, Ids
from approvals.subjects import Offer, handler_of
from config.edge.access import Access
from config.edge.refusals import Conflict
from fleets.organization_policy import OrganizationPolicy, policy_of


@dataclass(frozen=True)
class Standing:
    """One request as one caller sees it. `granted`: the approvals that count now."""

    granted: int
    may_decide: bool
    own_request: bool
    may_withdraw: bool


def behind(request: ApprovalRequest) -> Ids:
    """Everybody who may not decide on it: who asked, who wrote it, who knows a secret that it is about."""
    return _behind(request, handler_of(request).parties_of_many([request])[request.pk])


def offer_of(request: ApprovalRequest) -> Offer | None:
    """What could be left out, where the organization lets less be approved and the subject is still as it was."""
    if not policy_of(request.organization).narrowing_allowed:
        return None
    try:
        return handler_of(request).offers(request)
    except Conflict:
        return None


def counts(vote: Decision, request: ApprovalRequest, *, is_able: bool, behind_it: Ids) -> bool:
    """An approval of what the request is now, by somebody who decides now and is not behind it."""
    is_free = policy_of(request.organization).self_approval or vote.user_id not in behind_it
    is_approval = vote.voided_at is None and vote.verdict == Decision.Verdict.APPROVE
    return is_approval and is_free and is_able and vote.diff_digest == request.diff_digest


def standings(requests: Sequence[ApprovalRequest], by: Access) -> dict[UUID, Standing]:
    """How requests stand for a caller, by their ids; each was read by `presented()`."""
    organizations = {row.organization_id: row.organization for row in requests}
    permitted = {key: policy.may_decide_in(by, organization) for key, organization in organizations.items()}
    parties = _parties(requests)
    eligible = set(_eligible_for(by, requests))
    withdrawable = policy.withdrawable(by, [row for row in requests if row.is_waiting])
    return {
        row.pk: _standing(
            row,
            by,
            _behind(row, parties[row.pk]),
            holds_role=permitted[row.organization_id] and row.pk in eligible,
            may_withdraw=row.pk in withdrawable,
        )
        for row in requests
    }


def _standing(
    request: ApprovalRequest, by: Access, behind_it: Ids, *, holds_role: bool, may_withdraw: bool
) -> Standing:
    rules = policy_of(request.organization)
    votes = list(request.decisions.all())
    is_own = policy.is_behind(by, behind_it)
    has_voted = any(vote.voided_at is None and by.user and vote.user_id == by.user.pk for vote in votes)
    if request.is_waiting:
        counted = [counts(v, request, is_able=_is_able(v, rules), behind_it=behind_it) for v in votes]
    else:  # what it was closed with
        counted = [v.voided_at is None and v.verdict == Decision.Verdict.APPROVE for v in votes]
    return Standing(
        granted=sum(counted),
        may_decide=request.is_waiting
        and holds_role
        and not has_voted
        and (rules.self_approval or not is_own),
        own_request=is_own,
        may_withdraw=may_withdraw,
    )


def _is_able(vote: Any, rules: OrganizationPolicy) -> bool:
    """By the voter's role, as `presented()` read it. That an entry denies it to them is found by the next decision."""
    return bool(vote.user.is_live() and (vote.user.is_superuser or vote.role_now in rules.deciders))


def _behind(request: ApprovalRequest, parties: Ids) -> Ids:
    originators = frozenset(user.pk for user in request.originators.all())
    return originators | parties | {request.requested_by_id}


def _parties(requests: Sequence[ApprovalRequest]) -> dict[UUID, Ids]:
    """Asked of those alone that still wait: afterwards nobody decides."""
    parties: dict[UUID, Ids] = dict.fromkeys((row.pk for row in requests), frozenset())
    waiting = sorted((row for row in requests if row.is_waiting), key=lambda row: row.kind)
    for _, some in groupby(waiting, key=lambda row: row.kind):
        rows = list(some)
        parties |= handler_of(rows[0]).parties_of_many(rows)
    return parties


def _eligible_for(by: Access, requests: Iterable[ApprovalRequest]) -> Iterable[UUID]:
    """Those that were opened when the caller held the deciding role."""
    if by.user is None:
        return ()
    through = ApprovalRequest.eligible.through.objects
    ids = [row.pk for row in requests]
    return through.filter(user=by.user, approvalrequest__in=ids).values_list("approvalrequest", flat=True)
