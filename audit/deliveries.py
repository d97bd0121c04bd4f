"""Effects that may take long, such as mail: no verb waits for them, only the worker carries them out.

They are rows of the outbox like the others. The verb asks the worker to look, and the worker looks by itself now and
then. A payload that fails is tried again, later each time, and holds up no other; after GIVEN_UP_AFTER it is dropped.
A worker that dies in between may carry out a payload twice.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from audit.models import OutboxRow
from config.edge import broker
from config.edge.clock import now

log = logging.getLogger("tokenhouse.outbox")
Deliver = Callable[[dict[str, Any]], None]  # raises where it can't
TASK = "audit.tasks.deliver"
BATCH = 100  # rows
ROUND = 60.0  # seconds after which a round begins nothing new
LEASE = timedelta(minutes=5)  # how long a row is somebody's who does not come back
SHORTEST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(days=3)

_deliverers: dict[str, Deliver] = {}
_at_work = threading.Lock()


def register(kind: str, deliver: Deliver) -> None:
    _deliverers[kind] = deliver


def kinds() -> frozenset[str]:
    return frozenset(_deliverers)


def ask_for_worker() -> None:
    """Let the worker look now. Never raises: it also looks by itself."""
    try:
        broker.producer().send_task(TASK, ignore_result=True, retry=False, expires=60)
    except Exception as error:
        log.warning("the worker could not be asked", extra={"error": type(error).__name__})


def deliver() -> int:
    """Carry out what is due, oldest first; how many are done. One thread of a process does so at a time, so that a
    slow server leaves the others free."""
    if not _at_work.acquire(blocking=False):
        return 0
    try:
        end = time.monotonic() + ROUND
        due = OutboxRow.objects.filter(kind__in=kinds(), due_at__lte=now()).order_by("due_at", "id")
        return sum(_delivered(row) for row in due[:BATCH] if time.monotonic() < end)
    finally:
        _at_work.release()


def _delivered(row: OutboxRow) -> bool:
    if not _claimed(row):
        return False
    try:
        _deliverers[row.kind](row.payload)
    except Exception as error:
        _put_off(row, error)
        return False
    OutboxRow.objects.filter(pk=row.pk).delete()
    return True


def _claimed(row: OutboxRow) -> bool:
    """Of several workers, one gets the row."""
    here = OutboxRow.objects.filter(pk=row.pk, due_at=row.due_at)
    return bool(here.update(due_at=now() + LEASE))


def _put_off(row: OutboxRow, error: Exception) -> None:
    """Wait as long again as it has been owed."""
    age = now() - row.created_at
    told = {"kind": row.kind, "row": row.pk, "error": type(error).__name__}
    if age >= GIVEN_UP_AFTER:
        OutboxRow.objects.filter(pk=row.pk).delete()
        log.error("an effect is given up", extra=told)
        return
    wait = min(max(age, SHORTEST_WAIT), LONGEST_WAIT)
    OutboxRow.objects.filter(pk=row.pk).update(due_at=now() + wait)
    log.warning("an effect stays owed", extra=told)
