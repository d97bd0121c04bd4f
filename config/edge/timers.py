"""Periodic tasks: of several beats, and of a task that is delivered twice, one run a slot. When each last ran.

Nothing that decides waits for them: they record, announce and repair, and all of them bear being run twice.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import ParamSpec

from django.db.models import Q

from config.edge.clock import now
from config.edge.models import Timer
from config.edge.schedule import EVERY

P = ParamSpec("P")
HEARTBEAT = "heartbeat"
EARLY = 0.8  # of a slot: deliveries are late by some seconds, and the next one must not be taken for the same


def once(name: str) -> Callable[[Callable[P, object]], Callable[P, None]]:
    """Run a task of the schedule once in its slot, however often it is asked for. Goes under `@shared_task`.

    Who takes a slot and dies in it leaves the next slot free. A run that outlasts its slot may meet the next one.
    """

    def decorate(function: Callable[P, object]) -> Callable[P, None]:
        slot = timedelta(seconds=EVERY[f"{function.__module__}.{function.__name__}"])

        @wraps(function)
        def run_once(*args: P.args, **kwargs: P.kwargs) -> None:
            if not take(name, slot):
                return
            function(*args, **kwargs)
            Timer.objects.filter(name=name).update(done_at=now())

        return run_once

    return decorate


def take(name: str, slot: timedelta) -> bool:
    """Take the present slot, by compare-and-set; False where somebody has it."""
    at = now()
    # one that was taken in the future was taken before the clock was set back
    is_free = Q(taken_at=None) | Q(taken_at__lte=at - slot * EARLY) | Q(taken_at__gt=at + slot)
    free = Timer.objects.filter(is_free, name=name)
    if free.update(taken_at=at):
        return True
    Timer.objects.bulk_create([Timer(name=name)], ignore_conflicts=True)
    return bool(Timer.objects.filter(name=name, taken_at=None).update(taken_at=at))


def last_heartbeat() -> datetime | None:
    """When a worker last carried out what a beat asked for: without both of them nothing periodic runs."""
    return Timer.objects.filter(name=HEARTBEAT).values_list("done_at", flat=True).first()
