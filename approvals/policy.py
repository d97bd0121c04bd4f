"""Who may see, decide and withdraw requests for approval. Each predicate is one rule in words."""

from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from approvals import subjects
from approvals.models import ApprovalRequest, ApprovalRequestQuerySet, Decision, Ids
from config.edge.access import Access
from config.edge.refusals import Refused
from fleets import deciders
from fleets.models import Organization
from fleets.organization_policy import policy_of
from fleets.paths import ROOT
from fleets.scopes import Scope


def comes_in_person(by: Access) -> bool:
    """Requests are for people: in a browser session, by a personal token (no other kind holds approvals:decide), or by
    the operator on behalf of one."""
    return by.user is not None and by.user.is_person


def may_use_role(by: Access, organization_id: UUID) -> bool:
    """In person; by a token only with the scope."""
    return comes_in_person(by) and by.permits(Scope.APPROVALS_DECIDE, ROOT, organization_id)


def may_decide_in(by: Access, organization: Organization) -> bool:
    """Who decides there now, by the organization's policy. What permits a caller is what they hold; the operator is
    permitted everything, so that of whom they act for it is asked."""
    decides = deciders.decides if by.is_operator else deciders.has_deciding_role
    return may_use_role(by, organization.pk) and decides(by.user, organization, policy_of(organization))


def may_hold_role(by: Access, request: ApprovalRequest) -> bool:
    """Who may decide there now, and could when it was opened."""
    return may_decide_in(by, request.organization) and request.eligible.filter(pk=by.user.pk).exists()


def is_behind(by: Access, behind: Ids) -> bool:
    """Whether the caller is one of those who asked for it, wrote it, or know a secret that it is about; a token that
    calls is also who made it."""
    return by.user is not None and bool(behind & ({by.user.pk} | by.behind))


def require_may_decide(by: Access, request: ApprovalRequest, behind: Ids) -> None:
    """Nobody decides on their own request, superusers included, unless the policy says so."""
    if not may_hold_role(by, request):
        raise _refused(
            request, "Only who may decide now, and could when it was asked for, decides on this request."
        )
    if is_behind(by, behind) and not policy_of(request.organization).self_approval:
        raise _refused(
            request,
            "Somebody else has to decide: you asked for it, or know a secret that it is about.",
            "own_request",
        )


def require_may_narrow(request: ApprovalRequest) -> None:
    """Less is approved where the organization's policy allows it."""
    if not policy_of(request.organization).narrowing_allowed:
        raise _refused(request, "Here a request is approved as it is, or rejected.", "narrowing_off")


def may_withdraw(by: Access, request: ApprovalRequest) -> bool:
    """Who asked for it, in person."""
    return comes_in_person(by) and by.user.pk == request.requested_by_id


def require_may_withdraw(by: Access, request: ApprovalRequest) -> None:
    if not may_withdraw(by, request):
        raise _refused(request, "Only who asked for it takes it back.")


def visible_to(by: Access, requests: ApprovalRequestQuerySet) -> ApprovalRequestQuerySet:
    """What one asked for or is behind; all of an organization in which one decides, for who decides has to see it; and
    where one reads tokens, what is about no token that is kept from one."""
    visible = Q(pk__in=[])
    if not comes_in_person(by):
        return requests.filter(visible)
    for organization_id in by.organization_ids():
        here = Q(organization_id=organization_id)
        held = by.rights(organization_id).at(ROOT)
        if Scope.APPROVALS_DECIDE in held:
            visible |= here
            continue
        visible |= here & (Q(requested_by=by.user) | Q(pk__in=_behind(by)))
        if Scope.TOKENS_READ in held:
            visible |= here & subjects.overseen_by(by)
    return requests.filter(visible)


def decidable_by(by: Access, requests: ApprovalRequestQuerySet) -> ApprovalRequestQuerySet:
    """Those that wait for this person: who decides there, could when it was opened, is behind none of them and has not
    decided yet. Who came to know a secret since is told when they decide."""
    if not comes_in_person(by):
        return requests.none()
    voted = Decision.objects.filter(request=OuterRef("pk"), user=by.user, voided_at=None)
    waiting = requests.waiting().filter(~Exists(voted), eligible=by.user)
    rows = Organization.objects.filter(pk__in=waiting.order_by().values("organization"))
    places = [row for row in rows if may_decide_in(by, row)]
    free = [row for row in places if policy_of(row).self_approval]
    mine = Q(requested_by=by.user) | Q(pk__in=_behind(by))
    return waiting.filter(~mine | Q(organization__in=free), organization__in=places)


def _behind(by: Access) -> QuerySet[Any, Any]:
    through = ApprovalRequest.originators.through.objects
    return through.filter(user=by.user).values("approvalrequest")


def _refused(request: ApprovalRequest, detail: str, code: str = "") -> Refused:
    """With the request's id, so that the denial's event names it."""
    return Refused(detail, code=code, approval=str(request.pk))
