"""The outbox's sweep."""

from celery import shared_task

from audit import outbox


@shared_task
def drain_outbox() -> None:
    outbox.drain()
