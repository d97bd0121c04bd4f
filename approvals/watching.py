"""What becomes of requests that wait: a reminder at half time, and the record that nobody decided in time.

Out of time they can't be decided, whether this runs or not.
"""

from collections.abc import Callable

from approvals import requests
from approvals.models import ApprovalRequest, ApprovalRequestQuerySet
from config.edge import rounds
from fleets.access import system

BATCH = 500  # requests of one run
WATCH = system("approvals")


def watch() -> None:
    """Each in a transaction of its own, so that nothing that somebody does to one holds up the others."""
    each(ApprovalRequest.objects.overdue(), lambda request: requests.lapse(request, by=WATCH))
    each(ApprovalRequest.objects.half_over(), lambda request: requests.remind(request, by=WATCH))


def each(rows: ApprovalRequestQuerySet, act: Callable[[ApprovalRequest], object]) -> None:
    """A batch of them, the oldest end first. One that was moved on meanwhile, or fails, takes nobody's place."""
    rounds.each(rows.order_by("expires_at", "pk"), act, what="request", most=BATCH)
