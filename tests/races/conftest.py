"""What the races are run about, and how often."""

import os
from collections.abc import Iterator

import pytest
from django.db import connection

from tests.invariants import Trail
from tests.races.contest import dismiss, in_each_thread
from tests.world import World, make_world

REPORTS_WHEN_ASKED = 150000  # PostgreSQL 15; an older backend reports what it has counted when it ends


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world()


@pytest.fixture(scope="session", autouse=True)
def _dismissed_before_the_database_goes(django_db_setup: None) -> Iterator[None]:
    yield
    dismiss()


@pytest.fixture(autouse=True)
def _no_deadlock(transactional_db: None) -> Iterator[None]:
    """Verbs are tried again after one, but it costs its victim a second: locks go in one order instead."""
    before = deadlocks()
    yield
    assert deadlocks() == before


def deadlocks() -> int:
    """How many PostgreSQL has seen in this database; SQLite has one lock and none."""
    if connection.vendor != "postgresql":
        return 0
    in_each_thread(report)
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def report() -> None:
    """Let this thread's backend add what it has counted, at once."""
    with connection.cursor() as cursor:
        if cursor.connection.info.server_version >= REPORTS_WHEN_ASKED:
            cursor.execute("SELECT pg_stat_force_next_flush()")
        else:
            connection.close()


@pytest.fixture
def trail(transactional_db: None) -> Trail:
    return Trail()


@pytest.fixture(scope="session")
def many_rounds(rounds: int) -> int:
    """For the races that the product promises to win: 50 times in `make test` already."""
    return 4 * rounds if "SOAK_ROUNDS" in os.environ else 50


@pytest.fixture(scope="session")
def some_rounds(rounds: int) -> int:
    return rounds if "SOAK_ROUNDS" in os.environ else 8
