"""What the races are run about, and how often."""

import os
from collections.abc import Iterator

import pytest
from django.db import connection

from tests.invariants import Trail
from tests.world import World, make_world


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world()


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
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


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
