"""What the races are run with: competitors that meet, each with a connection of its own, which lasts."""

import threading
from contextvars import ContextVar

import pytest
from django.db import OperationalError, connection, transaction

from fleets.models import Organization
from tests.factories import make_organization
from tests.races.conftest import deadlocks
from tests.races.contest import COMPETITORS, START_DEADLINE, contest, dismiss

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]

left_behind: ContextVar[str] = ContextVar("left_behind", default="nothing")


@pytest.fixture
def _no_deadlock() -> None:
    """Replaces the fixture of that name: a test here makes one."""


def mine() -> tuple[int, int]:
    return threading.get_ident(), id(connection.connection)


def commits() -> bool:
    return connection.get_autocommit()


def competing() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("competitor")]


def test_each_has_a_thread_and_a_connection_of_its_own_which_the_next_contest_finds_again() -> None:
    first, second = (set(contest(*[mine] * COMPETITORS)) for _ in range(2))

    assert len({thread for thread, _ in first}) == len({there for _, there in first}) == COMPETITORS
    assert second == first


def test_a_connection_that_was_in_the_middle_of_something_is_not_used_again() -> None:
    def fail() -> None:
        connection.set_autocommit(False)
        Organization.objects.exists()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        contest(fail)

    assert contest(*[commits] * COMPETITORS) == [True] * COMPETITORS


def test_nobody_finds_the_context_of_the_contest_before() -> None:
    def leave() -> str:
        found = left_behind.get()
        left_behind.set("something")
        return found

    assert [contest(*[leave] * COMPETITORS) for _ in range(2)] == [["nothing"] * COMPETITORS] * 2


def test_after_their_dismissal_others_take_their_place() -> None:
    assert contest(lambda: 1) == [1]
    assert competing()
    dismiss()
    assert not competing()
    assert contest(lambda: 2) == [2]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one lock")
def test_a_deadlock_of_two_competitors_is_counted_when_the_contest_is_over() -> None:
    one, other = make_organization(), make_organization()
    both = threading.Barrier(2)
    before = deadlocks()

    def lock(first: Organization, second: Organization) -> bool:
        try:
            with transaction.atomic():
                Organization.objects.select_for_update().get(pk=first.pk)
                both.wait(START_DEADLINE)
                Organization.objects.select_for_update().get(pk=second.pk)
        except OperationalError:
            return False
        return True

    outcomes = contest(lambda: lock(one, other), lambda: lock(other, one))

    assert sorted(outcomes) == [False, True]
    assert deadlocks() == before + 1
