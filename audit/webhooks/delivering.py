"""What the worker does for webhooks: the events of each endpoint one after the other, by one worker at a time.

The first that an endpoint is owed is the only one that is tried; while it waits, the others wait behind it. Endpoints
do not wait for each other: a few threads beside the worker's own carry them out, each endpoint for a short turn. A
message may come twice, with the same id: where a worker dies between sending and noting it.
"""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from audit import deliveries
from audit.actions import Action
from audit.models import WebhookDelivery, WebhookEndpoint
from audit.trail import record
from audit.webhooks import messages
from config.edge import outgoing
from config.edge.clock import now
from config.edge.refusals import Unavailable

log = logging.getLogger("tokenhouse.webhooks")
AT_ONCE = 8  # endpoints
TURN = 5.0  # seconds after which a turn begins nothing new, and the others come first
LEASE = timedelta(seconds=60)  # renewed before each message: several times what one can take
WAITS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
)  # the last again and again
GIVEN_UP_AFTER = timedelta(days=3)
KEPT = timedelta(days=7)  # what was delivered
DEAD_KEPT = timedelta(days=90)  # what was given up
BATCH = 1000  # rows forgotten at once
GONE = 410


def due(at: datetime) -> QuerySet[Any]:
    """The endpoints whose first message is due, with `head_due`; the longest waiting first."""
    first = WebhookDelivery.objects.pending().filter(endpoint=OuterRef("pk")).order_by("pk")
    rows: QuerySet[Any] = WebhookEndpoint.objects.present().filter(enabled=True)
    rows = rows.annotate(head_due=Subquery(first.values("due_at")[:1]))
    return rows.filter(head_due__lte=at).order_by("head_due", "pk")


def oldest_due() -> datetime | None:
    """Since when the oldest of what should have been sent by now waits; retries that are not due yet do not count."""
    oldest: datetime | None = due(now()).values_list("head_due", flat=True).first()
    return oldest


def begin() -> None:
    """A turn of each endpoint that is due, by threads of this process; returns at once."""
    for key in due_and_free():
        _begin(key)


def due_and_free() -> list[UUID]:
    """The endpoints that are due and no worker's, the longest waiting first."""
    at = now()
    free = due(at).filter(Q(leased_until=None) | Q(leased_until__lte=at))
    return list(free.values_list("pk", flat=True))


def stop() -> None:
    """Begin nothing more in this process: what waits is taken up by the next one."""
    _ending.set()
    _pool().shutdown(wait=False, cancel_futures=True)


def turn(key: UUID) -> int:
    """Send what this endpoint is owed, until something fails or the turn is over; how many messages were taken."""
    taken, end = 0, time.monotonic() + TURN
    lease = _leased(key, None)
    try:
        while lease and time.monotonic() < end and not _ending.is_set():
            endpoint = WebhookEndpoint.objects.present().filter(pk=key, enabled=True).first()
            delivery = endpoint and endpoint.deliveries.pending().order_by("pk").first()
            if not endpoint or not delivery or delivery.due_at > now() or not _attempt(endpoint, delivery):
                break
            taken += 1
            lease = _leased(key, lease)
    finally:
        WebhookEndpoint.objects.filter(pk=key, leased_until=lease).update(leased_until=None)
    return taken


def forget() -> None:
    """Delete what was delivered a week ago, and what was given up long since and nobody looked after."""
    state = WebhookDelivery.State
    for of_state, kept in ((state.DELIVERED, KEPT), (state.DEAD, DEAD_KEPT)):
        old = WebhookDelivery.objects.filter(state=of_state, created_at__lt=now() - kept)
        while keys := list(old.values_list("pk", flat=True)[:BATCH]):
            WebhookDelivery.objects.filter(pk__in=keys).delete()
    removed = WebhookDelivery.objects.pending().exclude(endpoint__removed_at=None)
    while keys := list(removed.values_list("pk", flat=True)[:BATCH]):
        WebhookDelivery.objects.filter(pk__in=keys).delete()


# One message


def _attempt(endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> bool:
    """Send one message and note how it went; whether it was taken."""
    try:
        outcome = messages.send(endpoint, delivery)
    except Unavailable as refusal:  # the key can't be made here
        _put_off(endpoint, delivery, refusal.detail)
        return False
    except Exception as error:  # of which only its kind is kept: it may repeat what it read
        _put_off(endpoint, delivery, f"The message could not be made or sent ({type(error).__name__}).")
        return False
    if isinstance(outcome, outgoing.Failure):
        _put_off(endpoint, delivery, outcome.detail)
    elif 200 <= outcome < 300:
        _note(delivery, state=WebhookDelivery.State.DELIVERED, delivered_at=now(), last_error="")
        return True
    elif outcome == GONE:
        _disable(endpoint, delivery)
    else:
        redirect = ": redirects are not followed" if 300 <= outcome < 400 else ""
        _put_off(endpoint, delivery, f"It answered {outcome}{redirect}.")
    return False


def _put_off(endpoint: WebhookEndpoint, delivery: WebhookDelivery, error: str) -> None:
    at = now()
    last = delivery.owed_since + GIVEN_UP_AFTER
    log.warning("a webhook was not taken", extra={"endpoint": str(endpoint.pk), "delivery": delivery.pk})
    wait = WAITS[min(delivery.attempts, len(WAITS) - 1)]
    if at < last:
        _note(delivery, due_at=min(at + wait, last), last_error=error[:200])
    else:
        _give_up(endpoint, delivery, error[:200], go_on_at=at + wait)


def _give_up(endpoint: WebhookEndpoint, delivery: WebhookDelivery, error: str, *, go_on_at: datetime) -> None:
    """The first, and with it whatever has been owed as long. The next waits as the first would have: an endpoint that
    does not answer costs one try a wait, however much it is owed."""
    dead = {"state": WebhookDelivery.State.DEAD, "last_error": error}
    with transaction.atomic():
        if not _note(delivery, **dead):
            return
        others = endpoint.deliveries.pending().filter(owed_since__lte=now() - GIVEN_UP_AFTER).update(**dead)
        following = endpoint.deliveries.pending().order_by("pk").values("pk")[:1]
        endpoint.deliveries.pending().filter(pk__in=Subquery(following)).update(due_at=go_on_at)
        data = {
            "event": str(delivery.event_id),
            "action": delivery.action,
            "error": error,
            "others": others,
        }
        record(Action.DELIVERY_GIVEN_UP, by=deliveries.WORKER, target=endpoint, data=data)


def _disable(endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> None:
    """The receiver says that it is gone for good (410). What it is owed waits, should somebody enable it again."""
    reason = "It answered 410 Gone."
    with transaction.atomic():
        _note(delivery, due_at=now() + WAITS[0], last_error=reason)
        here = WebhookEndpoint.objects.present().filter(pk=endpoint.pk, enabled=True)
        if here.update(enabled=False, disabled_reason=reason, version=F("version") + 1):
            record(Action.WEBHOOK_DISABLED, by=deliveries.WORKER, target=endpoint, reason=reason)


def _note(delivery: WebhookDelivery, **changes: Any) -> bool:
    """False where somebody has dropped it, or had it sent again, meanwhile."""
    here = WebhookDelivery.objects.pending().filter(pk=delivery.pk)
    if changes.get("state") != WebhookDelivery.State.DELIVERED:
        here = here.filter(attempts=delivery.attempts, owed_since=delivery.owed_since)
    return bool(here.update(attempts=F("attempts") + 1, **changes))


# Turns


def _leased(key: UUID, held: datetime | None) -> datetime | None:
    """Take the endpoint, or go on holding it: until when; None where another worker has it."""
    at = now()
    until = at + LEASE
    free = Q(leased_until=held) if held else Q(leased_until=None) | Q(leased_until__lte=at)
    return until if WebhookEndpoint.objects.filter(free, pk=key).update(leased_until=until) else None


_under_way: set[UUID] = set()
_lock = threading.Lock()
_ending = threading.Event()


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhooks")


def _begin(key: UUID) -> None:
    with _lock:
        if key in _under_way or _ending.is_set():
            return
        _under_way.add(key)
    _pool().submit(_turn_aside, key)


def _turn_aside(key: UUID) -> None:
    is_left = False
    try:
        is_left = bool(turn(key)) and due(now()).filter(pk=key).exists()
    except Exception as error:  # of which only its kind is told: it may repeat what it read
        log.error("a turn of webhooks failed", extra={"error": type(error).__name__})
    finally:
        with _lock:
            _under_way.discard(key)
        connections.close_all()
    if is_left:
        _begin(key)
