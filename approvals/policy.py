"""Who may see, decide and withdraw requests for approval. Each predicate is one rule in words."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from approvals import subjects
from approvals.models import ApprovalRequest, ApprovalRequestQuerySet, Decision, Ids
from config.edge.access import Access
from config.edge.refusals import Refused
from fleets import deciders
from fleets.models import Organization, User
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
    """Who asked for it, in person; what a technical user asked for, also who manages the token that it is about, in
    their browser session: they could revoke that token as well."""
    return bool(withdrawable(by, [request]))


def withdrawable(by: Access, requests: Sequence[ApprovalRequest]) -> frozenset[UUID]:
    """Those that the caller may take back, by their ids: `may_withdraw` of many, in a fixed number of queries."""
    if not comes_in_person(by):
        return frozenset()
    own = frozenset(row.pk for row in requests if row.requested_by_id == by.user.pk)
    of_technical = [row.pk for row in requests if not row.requested_by.is_person]
    if not of_technical:
        return own
    answered = ApprovalRequest.objects.filter(_answered_for(by), pk__in=of_technical)
    return own | frozenset(answered.values_list("pk", flat=True))


def require_may_withdraw(by: Access, request: ApprovalRequest) -> None:
    if not may_withdraw(by, request):
        raise _refused(
            request,
            "Only who asked for it takes it back; for a technical user also who manages the token, in their session.",
        )


def visible_to(by: Access, requests: ApprovalRequestQuerySet) -> ApprovalRequestQuerySet:
    """What one asked for, is behind or may withdraw; all of an organization in which one decides, for who decides has
    to see it; and where one reads tokens, what is about no token that is kept from one."""
    if not comes_in_person(by):
        return requests.none()
    held = {pk: by.rights(pk).at(ROOT) for pk in by.organization_ids()}
    visible = Q(organization__in=[pk for pk, scopes in held.items() if Scope.APPROVALS_DECIDE in scopes])
    others = [pk for pk, scopes in held.items() if Scope.APPROVALS_DECIDE not in scopes]
    if others:
        theirs = Q(requested_by=by.user) | Q(pk__in=_behind(by)) | _answered_for(by)
        visible |= Q(organization__in=others) & theirs
    if overseen := [pk for pk in others if Scope.TOKENS_READ in held[pk]]:
        visible |= Q(organization__in=overseen) & subjects.overseen_by(by)
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


def _answered_for(by: Access) -> Q:
    """What technical users asked for about something that the caller manages, who is in their browser session."""
    if not by.is_browser_session:
        return Q(pk__in=[])
    return Q(requested_by__kind=User.Kind.TECHNICAL) & subjects.managed_by(by)


def _behind(by: Access) -> QuerySet[Any, Any]:
    through = ApprovalRequest.originators.through.objects
    return through.filter(user=by.user).values("approvalrequest")


def _refused(request: ApprovalRequest, detail: str, code: str = "") -> Refused:
    """With the request's id, so that the denial's event names it."""
    return Refused(detail, code=code, approval=str(request.pk))
