"""Effects outside the database: written as rows in the change's transaction, carried out after the commit.

A kind is registered with a function that carries out a batch of payloads, raising where it can't; it must bear being
called twice with the same payload. What fails stays, and the sweep (`drain`) tries again.
"""

import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from audit import frames
from audit.models import OutboxRow
from config.edge.clock import now

log = logging.getLogger("tokenhouse.outbox")
Payload = dict[str, Any]
Publish = Callable[[Sequence[Payload]], None]
BATCH = 500  # rows

_publishers: dict[str, Publish] = {}


def register(kind: str, publish: Publish) -> None:
    _publishers[kind] = publish


def add(kind: str, payload: Payload) -> None:
    """Owe an effect, in the caller's transaction."""
    row = OutboxRow.objects.create(kind=kind, payload=payload, created_at=now())
    if frame := frames.running():
        frame.owed.append(row)


def settle(rows: Sequence[OutboxRow]) -> bool:
    """Carry out the effects of rows that are committed; True when all of them are done. Never raises."""
    done: list[int] = []
    for kind, same in groupby(sorted(rows, key=lambda row: row.kind), key=lambda row: row.kind):
        batch = list(same)
        try:
            _publishers[kind]([row.payload for row in batch])
        except Exception as error:  # after the commit nothing can fail the answer
            log.warning(
                "effects stay owed", extra={"kind": kind, "rows": len(batch), "error": type(error).__name__}
            )
        else:
            done += [row.pk for row in batch]
    try:
        OutboxRow.objects.filter(pk__in=done).delete()
    except Exception as error:
        log.warning("effects will be repeated", extra={"rows": len(done), "error": type(error).__name__})
    return len(done) == len(rows)


def drain() -> int:
    """Carry out what is owed, oldest first; how many rows are still owed of those that were looked at."""
    rows = list(OutboxRow.objects.order_by("id")[:BATCH])
    if rows:
        settle(rows)
    return OutboxRow.objects.filter(pk__in=[row.pk for row in rows]).count()
