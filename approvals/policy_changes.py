"""An organization's policy as a subject: a weaker one is itself decided, under the policy that it would weaken."""

from typing import Any
from uuid import UUID

from approvals.models import ApprovalRequest, Ids
from approvals.requests import open_request
from approvals.subjects import Proposal
from config.edge.access import Access
from config.edge.refusals import Conflict, Invalid
from fleets import currency, organizations
from fleets.models import Organization
from fleets.organization_policy import OrganizationPolicy, parsed, policy_of, told, weakened
from fleets.scopes import Risk

KIND = "policy_change"


def weaker(organization: Organization, after: OrganizationPolicy, reason: str, by: Access) -> UUID | None:
    """Let a weaker policy wait; None where nobody has to approve it. The caller has locked the organization."""
    before = policy_of(organization)
    needed = max(before.approvals_needed)
    if not needed or by.is_operator:
        return None
    request = open_request(
        KIND,
        organization,
        _proposal(before, after),
        organization=organization,
        needed=needed,
        reason=reason,
        originators=frozenset(),
        by=by,
    )
    return request.pk


class PolicyChanges:
    """The handler of policies."""

    def lock(self, request: ApprovalRequest) -> None:
        currency.lock(request.organization)

    def recheck(self, request: ApprovalRequest) -> None:
        """The parts that it is about are as they were."""
        current = policy_of(Organization.objects.get(pk=request.organization_id)).as_json()
        for name, (before, _) in request.diff["changes"].items():
            if current.get(name) != before:
                raise Conflict("The policy was changed since it was asked for.", code="diff_changed")

    def parties(self, request: ApprovalRequest) -> Ids:
        return frozenset()

    def narrow(self, request: ApprovalRequest, narrowed: dict[str, Any], by: Access) -> Proposal:
        """`narrowed` names parts of the policy and what they shall become: nothing weaker than was asked for."""
        before = policy_of(Organization.objects.get(pk=request.organization_id))
        asked = parsed(_asked(request), before=before)
        beyond = set(narrowed) - set(request.diff["changes"])
        if beyond:
            raise Invalid.field(f"narrowed.{min(beyond)[:60]}", "This was not asked for.", "not_narrower")
        less = parsed({**_asked(request), **narrowed}, before=before)
        if words := weakened(asked, less):
            raise Invalid.field(
                "narrowed", f"This is weaker than what was asked for: {words[0]}.", "not_narrower"
            )
        if less == before:
            raise Invalid.field("narrowed", "Nothing would be left; reject it instead.", "nothing_left")
        return _proposal(before, less)

    def apply(self, request: ApprovalRequest, by: Access) -> None:
        organizations.apply_policy(
            Organization.objects.get(pk=request.organization_id),
            changes=_asked(request),
            reason=request.reason,
            approval=request.pk,
            by=by,
        )

    def discard(self, request: ApprovalRequest, by: Access, *, reason: str) -> None:
        """Nothing was done, so nothing is left to undo."""


def _proposal(before: OrganizationPolicy, after: OrganizationPolicy) -> Proposal:
    changes = told(before, after)
    words = weakened(before, after)
    others = [f"{name} becomes {after.as_json()[name]}" for name in changes if not words]
    return Proposal(Risk.HIGH, {"changes": changes}, tuple(words + others))


def _asked(request: ApprovalRequest) -> dict[str, Any]:
    return {name: after for name, (_, after) in request.diff["changes"].items()}
