"""Competitors in processes of their own, as the processes of a web server are: each with its own connections."""

import multiprocessing
from collections.abc import Callable
from typing import TypeVar

from django.db import connections

from config.edge.redis import breaker
from tests.races.contest import START_DEADLINE, dismiss

T = TypeVar("T")
PROCESSES = 8
_fork = multiprocessing.get_context("fork")


def together(act: Callable[[], list[T]], processes: int = PROCESSES) -> list[T]:
    """What all processes gave, which start at the same moment. Any exception of one fails the test."""
    connections.close_all()  # else the children would share them,
    dismiss()  # and those of the threads
    start, results = _fork.Barrier(processes), _fork.SimpleQueue()

    def run() -> None:
        try:
            breaker.reset()
            connections["default"].ensure_connection()
            start.wait(START_DEADLINE)
            results.put(act())
        except BaseException as error:
            results.put(error)
            raise
        finally:
            connections.close_all()

    children = [_fork.Process(target=run) for _ in range(processes)]
    for child in children:
        child.start()
    given = [results.get() for _ in children]
    for child in children:
        child.join(START_DEADLINE)
    for one in given:
        if isinstance(one, BaseException):
            raise one
    return [each for one in given for each in one]
