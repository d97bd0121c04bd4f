"""Housekeeping of the edge, and the sign of life of worker and beat."""

from celery import shared_task

from config.edge import rate, timers
from config.edge.clock import now
from config.edge.idempotency import KEPT_FOR
from config.edge.models import IdempotencyKey


@shared_task
@timers.once(timers.HEARTBEAT)
def heartbeat() -> None:
    """That it ran is all that there is to know."""


@shared_task
def forget_idempotency_keys() -> None:
    IdempotencyKey.objects.filter(created_at__lte=now() - KEPT_FOR).delete()


@shared_task
def forget_rates() -> None:
    """What the database counted while Valkey was away."""
    rate.forget()
