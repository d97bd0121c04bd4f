"""What a timer does row by row: one that fails is told of, and holds up no other, however many of them there are."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db.models import Model, QuerySet

from config.edge.refusals import Conflict

log = logging.getLogger("tokenhouse.timers")
M = TypeVar("M", bound=Model)
ROUND = 50.0  # seconds after which the rest is left to the next one


def each(rows: QuerySet[M], act: Callable[[M], object], *, what: str, most: int | None = None) -> int:
    """Act on the rows in their order until `most` were moved on (None: all), or a round is over; how many were: what
    `act` answers with False was not. Each is read when it is its turn; `what` it is, for the log."""
    done, end = 0, time.monotonic() + ROUND
    for key in list(rows.values_list("pk", flat=True)):
        if done == most or time.monotonic() >= end:
            break
        row = rows.filter(pk=key).first()
        done += row is not None and _is_moved_on(row, act, what)
    return done


def _is_moved_on(row: M, act: Callable[[M], object], what: str) -> bool:
    told = {what: str(row.pk)}
    try:
        return act(row) is not False
    except Conflict as refusal:  # somebody was faster
        log.info("a %s had moved on", what, extra={**told, "code": refusal.code})
    except Exception as error:  # of which only its kind is told: it may repeat what it read
        log.error("a %s could not be moved on", what, extra={**told, "error": type(error).__name__})
    return False
