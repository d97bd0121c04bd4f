"""Who may see, decide and withdraw requests for approval. Each predicate is one rule in words."""

from django.db.models import Q, QuerySet

from approvals.models import ApprovalRequest, ApprovalRequestQuerySet, Ids
from config.edge.access import Access
from config.edge.refusals import require
from fleets import deciders
from fleets.models import User
from fleets.organization_policy import policy_of
from fleets.paths import ROOT
from fleets.scopes import Scope

SEES = frozenset({Scope.APPROVALS_DECIDE, Scope.TOKENS_READ})


def comes_in_person(by: Access) -> bool:
    """Requests are for people: in a browser session, by a personal token (no other kind holds approvals:decide), or by
    the operator on behalf of one."""
    return by.user is not None and by.user.is_person


def may_hold_role(by: Access, request: ApprovalRequest) -> bool:
    """Who is an eligible decider now, and was when it was opened; by a token only with the scope."""
    user: User = by.user
    if not comes_in_person(by) or not by.permits(Scope.APPROVALS_DECIDE, ROOT, request.organization_id):
        return False
    rules = policy_of(request.organization)
    if not deciders.decides(user, request.organization, rules):
        return False
    return request.eligible.filter(pk=user.pk).exists()


def is_behind(user: User, request: ApprovalRequest, parties: Ids) -> bool:
    """Whether they asked for it, wrote it, or know a secret that it is about."""
    if user.pk == request.requested_by_id or user.pk in parties:
        return True
    return request.originators.filter(pk=user.pk).exists()


def require_may_decide(by: Access, request: ApprovalRequest, parties: Ids) -> None:
    """Nobody decides on their own request, superusers included, unless the policy says so."""
    require(
        may_hold_role(by, request),
        "Only who may decide now, and could when it was asked for, decides on this request.",
    )
    require(
        not is_behind(by.user, request, parties) or policy_of(request.organization).self_approval,
        "Somebody else has to decide: you asked for it, or know a secret that it is about.",
        "own_request",
    )


def may_withdraw(by: Access, request: ApprovalRequest) -> bool:
    """Who asked for it, in person."""
    return comes_in_person(by) and by.user.pk == request.requested_by_id


def visible_to(by: Access, requests: ApprovalRequestQuerySet) -> ApprovalRequestQuerySet:
    """What one asked for or is behind, and all of an organization in which one decides or reads all tokens."""
    visible = Q(pk__in=[])
    if not comes_in_person(by):
        return requests.filter(visible)
    for organization_id in by.organization_ids():
        here = Q(organization_id=organization_id)
        if SEES & by.rights(organization_id).at(ROOT):
            visible |= here
        else:
            visible |= here & (Q(requested_by=by.user) | Q(pk__in=_behind(by.user)))
    return requests.filter(visible)


def decidable_by(user: User, requests: QuerySet[ApprovalRequest]) -> QuerySet[ApprovalRequest]:
    """Those that wait for this person: eligible, behind none of them, and not decided yet. Whether they still hold the
    role is asked when they decide."""
    mine = Q(requested_by=user) | Q(pk__in=_behind(user))
    voted = ApprovalRequest.objects.filter(decisions__user=user, decisions__voided_at=None)
    waiting = requests.filter(pk__in=ApprovalRequest.objects.waiting().values("pk"), eligible=user)
    return waiting.exclude(mine).exclude(pk__in=voted.values("pk"))


def _behind(user: User) -> QuerySet[ApprovalRequest]:
    return ApprovalRequest.objects.filter(originators=user).values("pk")  # type: ignore[return-value]
