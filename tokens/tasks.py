"""What the worker does about tokens. Every sweep bears being asked for twice, and being cut off in the middle."""

from uuid import UUID

from celery import shared_task

from config.edge import timers
from tokens import denials, emergency, notices, sweeps


@shared_task
def end_emergency(window_id: str) -> None:
    emergency.end_if_due(UUID(window_id))


@shared_task
@timers.once("emergency ends")
def record_emergency_ends() -> None:
    sweeps.record_emergency_ends()


@shared_task
@timers.once("expiries")
def record_expiries() -> None:
    sweeps.record_expiries()


@shared_task
@timers.once("overlap ends")
def record_overlap_ends() -> None:
    sweeps.record_overlap_ends()


@shared_task
@timers.once("expiry notices")
def announce_expiries() -> None:
    notices.announce_expiries()


@shared_task
@timers.once("unused tokens")
def disable_unused() -> None:
    sweeps.disable_unused()


@shared_task
@timers.once("denial tallies")
def record_counted_denials() -> None:
    denials.record_counted()
