"""The outbox's sweep, and what only the worker carries out."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down

from audit import deliveries, outbox
from audit.webhooks import delivering
from config.edge import timers


@shared_task
def drain_outbox() -> None:
    outbox.drain()


@shared_task
def deliver() -> None:
    deliveries.deliver()


@shared_task
def deliver_webhooks() -> None:
    delivering.begin()


@shared_task
@timers.once("forget webhook deliveries")
def forget_deliveries() -> None:
    delivering.forget()


@worker_shutting_down.connect
def _begin_no_more_webhooks(**_signal: Any) -> None:
    delivering.stop()
