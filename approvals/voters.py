"""What becomes of who decides no longer: their votes are void, and once the role is gone, what they could decide on.

For good: whoever gets it back decides on what is opened from then on.
"""

from uuid import UUID

from approvals.models import ApprovalRequest, Decision
from approvals.requests import event_data
from audit.actions import Action
from audit.trail import record
from config.edge.access import Access
from config.edge.clock import now
from fleets import currency, deciders
from fleets.models import Organization
from fleets.organization_policy import policy_of


def drop_the_lost(organization_id: UUID, by: Access) -> None:
    """Of all that waits in an organization. For verbs that changed who decides there: they hold its lock, and lock
    nothing after the requests.

    Who is suspended, or denied it by an entry, still has the role: they may vote anew once they are not.
    """
    waiting = ApprovalRequest.objects.open().filter(organization=organization_id)
    if not waiting.exists():
        return
    organization = Organization.objects.get(pk=organization_id)
    rules = policy_of(organization)
    through = ApprovalRequest.eligible.through.objects.filter(approvalrequest__in=waiting)
    through.exclude(user__in=deciders.having_the_role(organization, rules)).delete()
    able = deciders.eligible(organization, rules)
    lost = Decision.objects.filter(voided_at=None, request__in=waiting).exclude(user__in=able)
    voters: dict[UUID, list[str]] = {}
    for request_id, username in lost.values_list("request", "user__username"):
        voters.setdefault(request_id, []).append(username)
    if not voters:
        return
    locked = currency.lock_all(ApprovalRequest.objects.filter(pk__in=voters))
    lost.update(voided_at=now())
    currency.change_all(locked)
    for request in locked:
        data = {**event_data(request), "voters": sorted(voters[request.pk])}
        record(Action.APPROVAL_VOTES_VOIDED, by=by, target=request, data=data)
