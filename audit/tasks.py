"""The outbox's sweep, and what only the worker carries out."""

from celery import shared_task

from audit import deliveries, outbox


@shared_task
def drain_outbox() -> None:
    outbox.drain()


@shared_task
def deliver() -> None:
    deliveries.deliver()
