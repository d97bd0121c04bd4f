"""Effects outside the database: written as rows in the change's transaction, carried out after the commit.

A kind is registered with a function that carries out a batch of payloads, raising where it can't; it must bear being
called twice with the same payload. What fails stays, and the sweep (`drain`) tries again. What may take long is
registered with `deliveries` instead, and left to the worker.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from audit import deliveries, frames
from audit.models import OutboxRow as OutboxRow
from config.edge.clock import now

log = logging.getLogger("tokenhouse.outbox")
Payload = dict[str, Any]
Publish = Callable[[Sequence[Payload]], None]
BATCH = 500  # rows

_publishers: dict[str, Publish] = {}
_sweepers: dict[str, Publish] = {}


def register(kind: str, publish: Publish, *, in_sweep: Publish | None = None) -> None:
    """`in_sweep`: for what was left owed, where `publish` gives up earlier, because an answer waits for it."""
    _publishers[kind] = publish
    _sweepers[kind] = in_sweep or publish


def add(kind: str, payload: Payload) -> OutboxRow:
    """Owe an effect, in the caller's transaction."""
    at = now()
    row = OutboxRow.objects.create(kind=kind, payload=payload, created_at=at, due_at=at, owed_since=at)
    if frame := frames.running():
        frame.owed.append(row)
    return row


def settle(rows: Sequence[OutboxRow]) -> bool:
    """Carry out the effects of rows that are committed; True when all that can't wait are done. Never raises."""
    left_to_worker = [row for row in rows if row.kind in deliveries.kinds()]
    is_done = _carry_out([row for row in rows if row.kind not in deliveries.kinds()], _publishers)
    if (
        left_to_worker and is_done
    ):  # else Redis is away, and with it the worker's broker: no use to wait for it too
        deliveries.ask_for_worker()
    return is_done


def drain() -> int:
    """Carry out what could not be published, oldest first; how many of the rows looked at are still owed."""
    rows = list(OutboxRow.objects.exclude(kind__in=deliveries.kinds()).order_by("id")[:BATCH])
    if rows:
        _carry_out(rows, _sweepers)
    return OutboxRow.objects.filter(pk__in=[row.pk for row in rows]).count()


def _carry_out(rows: Sequence[OutboxRow], publishers: Mapping[str, Publish]) -> bool:
    done: list[int] = []
    for kind, same in groupby(sorted(rows, key=lambda row: row.kind), key=lambda row: row.kind):
        batch = list(same)
        try:
            publishers[kind]([row.payload for row in batch])
        except Exception as error:  # after the commit nothing can fail the answer
            log.warning(
                "effects stay owed", extra={"kind": kind, "rows": len(batch), "error": type(error).__name__}
            )
        else:
            done += [row.pk for row in batch]
    if not done:
        return not rows
    try:
        OutboxRow.objects.filter(pk__in=done).delete()
    except Exception as error:
        log.warning("effects will be repeated", extra={"rows": len(done), "error": type(error).__name__})
    return len(done) == len(rows)
