"""The one clock: every comparison with the present asks here, and every id is made by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

_ahead: ContextVar[timedelta] = ContextVar("clock_ahead", default=timedelta(0))


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC) + _ahead.get()


def ahead() -> timedelta:
    """How far this thread's clock is ahead of the machine's: for who takes the time elsewhere."""
    return _ahead.get()


@contextmanager
def at(instant: datetime) -> Iterator[None]:
    """Let this thread's clock show `instant` and run on from there: for the demo's history, and for tests."""
    token = _ahead.set(instant - datetime.now(UTC))
    try:
        yield
    finally:
        _ahead.reset(token)
