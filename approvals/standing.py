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
from approvals.subjects import handler_of
from config.edge.access import Access
from fleets import deciders
from fleets.models import Organization
from fleets.organization_policy import OrganizationPolicy, policy_of


@dataclass(frozen=True)
class Rules:
    """Of one organization: its policy, and who decides there now."""

    policy: OrganizationPolicy
    able: Ids


@dataclass(frozen=True)
class Standing:
    """One request as one caller sees it. `granted`: the approvals that count now."""

    granted: int
    may_decide: bool
    own_request: bool


def rules_of(organization: Organization) -> Rules:
    rules = policy_of(organization)
    return Rules(rules, deciders.eligible(organization, rules))


def behind(request: ApprovalRequest) -> Ids:
    """Everybody who may not decide on it: who asked, who wrote it, who knows a secret that it is about."""
    return _behind(request, handler_of(request).parties(request))


def counts(vote: Decision, request: ApprovalRequest, rules: Rules, behind_it: Ids) -> bool:
    """An approval of what the request is now, by somebody who decides now and is not behind it."""
    is_free = rules.policy.self_approval or vote.user_id not in behind_it
    is_approval = vote.voided_at is None and vote.verdict == Decision.Verdict.APPROVE
    return is_approval and is_free and vote.diff_digest == request.diff_digest and vote.user_id in rules.able


def standings(requests: Sequence[ApprovalRequest], by: Access) -> dict[UUID, Standing]:
    """How requests stand for a caller, by their ids; each was read by `presented()`."""
    rules = {row.organization_id: row.organization for row in requests}
    known = {key: rules_of(organization) for key, organization in rules.items()}
    permitted = {key: policy.may_decide_in(by, organization) for key, organization in rules.items()}
    parties = _parties(requests)
    eligible = set(_eligible_for(by, requests))
    return {
        row.pk: _standing(
            row,
            by,
            known[row.organization_id],
            _behind(row, parties[row.pk]),
            permitted[row.organization_id] and row.pk in eligible,
        )
        for row in requests
    }


def _standing(
    request: ApprovalRequest, by: Access, rules: Rules, behind_it: Ids, holds_role: bool
) -> Standing:
    is_own = policy.is_behind(by, behind_it)
    votes = list(request.decisions.all())
    has_voted = any(vote.voided_at is None and by.user and vote.user_id == by.user.pk for vote in votes)
    is_free = rules.policy.self_approval or not is_own
    if request.is_waiting:
        granted = sum(counts(vote, request, rules, behind_it) for vote in votes)
    else:  # what it was closed with
        granted = sum(vote.voided_at is None and vote.verdict == Decision.Verdict.APPROVE for vote in votes)
    return Standing(
        granted=granted,
        may_decide=request.is_waiting and holds_role and is_free and not has_voted,
        own_request=is_own,
    )


def _behind(request: ApprovalRequest, parties: Ids) -> Ids:
    originators = frozenset(user.pk for user in request.originators.all())
    return originators | parties | {request.requested_by_id}


def _parties(requests: Sequence[ApprovalRequest]) -> dict[UUID, Ids]:
    """Asked of those alone that still wait: afterwards nobody decides."""
    parties: dict[UUID, Ids] = dict.fromkeys((row.pk for row in requests), frozenset())
    waiting = sorted((row for row in requests if row.is_waiting), key=lambda row: row.kind)
    for _, some in groupby(waiting, key=lambda row: row.kind):
        rows = list(some)
        parties |= _parties_of_kind(rows)
    return parties


def _parties_of_kind(rows: Sequence[ApprovalRequest]) -> dict[UUID, Ids]:
    handler: Any = handler_of(rows[0])
    at_once = getattr(handler, "parties_of_many", None)
    if at_once is None:
        return {row.pk: handler.parties(row) for row in rows}
    found: dict[UUID, Ids] = at_once(rows)
    return found


def _eligible_for(by: Access, requests: Iterable[ApprovalRequest]) -> Iterable[UUID]:
    """Those that were opened when the caller held the deciding role."""
    if by.user is None:
        return ()
    through = ApprovalRequest.eligible.through.objects
    ids = [row.pk for row in requests]
    return through.filter(user=by.user, approvalrequest__in=ids).values_list("approvalrequest", flat=True)
