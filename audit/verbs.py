"""`@verb`: what every change of state has in common, in one place.

Outermost it opens the transaction, so that the change, its version, its event and its outbox rows are one. A refusal
rolls all of it back and is recorded as a denial in a transaction of its own. A deadlock is tried again. After the
commit the effects are carried out; where the new versions can't be published, the request's context says so.
A verb that another verb calls just runs inside it.
"""

import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.db import OperationalError, connection, models, transaction

from audit import deliveries, frames, outbox
from audit.actions import Action, Outcome
from audit.trail import Target, record
from config.edge import context
from config.edge.refusals import DomainError, Refused

P = ParamSpec("P")
R = TypeVar("R")
ATTEMPTS = 3
AGAIN = {"40001", "40P01"}  # PostgreSQL: serialization failure, deadlock


def verb(action: Action) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make `function(row, *, by, …)` a verb whose denials are recorded as `action`, about its first argument."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            if frames.running():
                return function(*args, **kwargs)
            try:
                return _in_transaction(lambda: function(*args, **kwargs), args, kwargs)
            except Refused as refusal:
                _record_denial(action, refusal, args, kwargs)
                raise

        return wrapped

    return decorate


def _in_transaction(call: Callable[[], R], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> R:
    rows = [value for value in (*args, *kwargs.values()) if isinstance(value, models.Model)]
    for attempt in range(1, ATTEMPTS + 1):
        as_they_were = [dict(vars(row)) for row in rows]
        try:
            with frames.opened(kwargs["by"]) as frame:
                with transaction.atomic():
                    key = claim.take() if (claim := context.current().idempotency) else None
                    kwargs["by"].refresh()
                    result = call()
                    if key:
                        key.resource = frame.target_id
                        key.save(update_fields=["resource"])
                if not outbox.settle(frame.owed):
                    context.current().effective_everywhere = False
                elif frame.owes_webhooks:
                    deliveries.ask_for_worker(deliveries.WEBHOOKS_TASK)
                return result
        except BaseException as error:
            for row, was in zip(rows, as_they_were, strict=True):
                vars(row).clear()
                vars(row).update(was)
            if attempt == ATTEMPTS or connection.in_atomic_block or not _is_worth_another_try(error):
                raise
            time.sleep(0.01 * attempt)
    raise AssertionError("unreachable")


def _is_worth_another_try(error: BaseException) -> bool:
    while isinstance(error, DomainError) and error.__cause__ is not None:  # the trail wraps a failed insert
        error = error.__cause__
    return isinstance(error, OperationalError) and getattr(error.__cause__, "sqlstate", None) in AGAIN


def _record_denial(
    action: Action, refusal: Refused, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    about = next((value for value in (*args, *kwargs.values()) if hasattr(value, "audit_target")), None)
    target = about.audit_target() if about is not None else Target("installation", "", "installation")
    data = {"detail": refusal.detail, **refusal.members}
    with transaction.atomic():
        record(action, by=kwargs["by"], target=target, outcome=Outcome.DENIED, reason=refusal.code, data=data)
