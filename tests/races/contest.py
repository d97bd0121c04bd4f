"""Starts competitors at the same moment, each in a thread with a database connection of its own."""

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections

from config.edge.refusals import DomainError

COMPETITORS = 8
START_DEADLINE = 30.0  # seconds
SWITCH_INTERVAL = 0.0005  # seconds: a tenth of Python's own, so that threads meet in the middle of things


def contest(*competitors: Callable[[], Any]) -> list[Any]:
    """What each returned, or was refused with, in their order. Any other exception fails the test."""
    start = threading.Barrier(len(competitors))

    def run(competitor: Callable[[], Any]) -> Any:
        try:
            connections["default"].ensure_connection()
            start.wait(START_DEADLINE)
            return competitor()
        except DomainError as refusal:
            return refusal
        finally:
            connections.close_all()

    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        with ThreadPoolExecutor(max_workers=len(competitors)) as threads:
            return list(threads.map(run, competitors))
    finally:
        sys.setswitchinterval(usual)


def winners(outcomes: Sequence[Any]) -> list[Any]:
    return [outcome for outcome in outcomes if not isinstance(outcome, DomainError)]


def codes(outcomes: Sequence[Any]) -> set[str]:
    """The codes of the refusals."""
    return {outcome.code for outcome in outcomes if isinstance(outcome, DomainError)}
