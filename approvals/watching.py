"""What becomes of requests that wait: a reminder at half time, and the record that nobody decided in time.

Out of time they can't be decided, whether this runs or not.
"""

import logging
from collections.abc import Callable

from approvals import requests
from approvals.models import ApprovalRequest, ApprovalRequestQuerySet
from config.edge.refusals import Conflict
from fleets.access import system

log = logging.getLogger("tokenhouse.approvals")
BATCH = 500  # requests of one run
WATCH = system("approvals")


def watch() -> None:
    """Each in a transaction of its own, so that nothing that somebody does to one holds up the others."""
    each(ApprovalRequest.objects.overdue(), lambda request: requests.lapse(request, by=WATCH))
    each(ApprovalRequest.objects.half_over(), lambda request: requests.remind(request, by=WATCH))


def each(rows: ApprovalRequestQuerySet, act: Callable[[ApprovalRequest], object]) -> None:
    """A batch of them, the oldest end first. One that was moved on meanwhile, or fails, holds up no other."""
    for request in rows.order_by("expires_at", "pk")[:BATCH]:
        try:
            act(request)
        except Conflict as refusal:  # somebody was faster
            log.info("a request had moved on", extra={"request": str(request.pk), "code": refusal.code})
        except Exception as error:  # of which only its kind is told: it may repeat what it read
            told = {"request": str(request.pk), "error": type(error).__name__}
            log.error("a request could not be moved on", extra=told)
