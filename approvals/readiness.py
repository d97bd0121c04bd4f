"""What `/readyz` and `/metrics` tell of requests for approval."""

from datetime import datetime, timedelta

from approvals.models import ApprovalRequest
from config.edge import health, metrics
from config.edge.metrics import Figure


def register() -> None:
    health.register_due("requests", oldest_lapse, may_wait=timedelta(minutes=5))
    metrics.register(approvals_open)


def oldest_lapse() -> datetime | None:
    """Since when the oldest request for approval has been out of time without that being recorded."""
    late = ApprovalRequest.objects.overdue().order_by("expires_at")
    return late.values_list("expires_at", flat=True).first()


def approvals_open() -> Figure:
    count = float(ApprovalRequest.objects.waiting().count())
    return Figure("approvals_open", "Requests for approval that wait for a decision.", values={"": count})
