"""Starts competitors at the same moment, each in a thread with a database connection of its own.

The threads and their connections last until `dismiss`, as those of a web server do: to open eight for each contest
takes longer than most contests.
"""

import functools
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import Context
from typing import Any

from django.db import close_old_connections, connection, connections

from config.edge.refusals import DomainError

COMPETITORS = 8
START_DEADLINE = 30.0  # seconds
SWITCH_INTERVAL = 0.0005  # seconds: a tenth of Python's own, so that threads meet in the middle of things


def contest(*competitors: Callable[[], Any]) -> list[Any]:
    """What each returned, or was refused with, in their order. Any other exception fails the test."""
    start = threading.Barrier(len(competitors))

    def run(competitor: Callable[[], Any]) -> Any:
        try:
            _connect()
            start.wait(START_DEADLINE)
            return Context().run(competitor)
        except DomainError as refusal:
            return refusal
        except BaseException:
            connections.close_all()  # it may be in the middle of something
            raise

    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        running = [_threads().submit(run, competitor) for competitor in competitors]
        wait(running)
    finally:
        sys.setswitchinterval(usual)
    return [one.result() for one in running]


def in_each_thread(act: Callable[[], object]) -> None:
    """Let each of the threads do it once, where there are any."""
    if not _threads.cache_info().currsize:
        return
    everybody = threading.Barrier(COMPETITORS)  # who waits for the others takes no second turn

    def take_turn() -> None:
        everybody.wait(START_DEADLINE)
        act()

    for turn in [_threads().submit(take_turn) for _ in range(COMPETITORS)]:
        turn.result()


def dismiss() -> None:
    """Close the connections and end the threads. The next contest has others."""
    in_each_thread(connections.close_all)
    _threads().shutdown()
    _threads.cache_clear()


def winners(outcomes: Sequence[Any]) -> list[Any]:
    return [outcome for outcome in outcomes if not isinstance(outcome, DomainError)]


def codes(outcomes: Sequence[Any]) -> set[str]:
    """The codes of the refusals."""
    return {outcome.code for outcome in outcomes if isinstance(outcome, DomainError)}


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(COMPETITORS, "competitor")


def _connect() -> None:
    """Open this thread's connection where there is none that works."""
    close_old_connections()
    connection.ensure_connection()
    connection.close_at = None  # kept however long CONN_MAX_AGE is, which is no time on SQLite
