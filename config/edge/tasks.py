"""Housekeeping of the edge."""

from celery import shared_task

from config.edge.clock import now
from config.edge.idempotency import KEPT_FOR
from config.edge.models import IdempotencyKey


@shared_task
def forget_idempotency_keys() -> None:
    IdempotencyKey.objects.filter(created_at__lte=now() - KEPT_FOR).delete()
