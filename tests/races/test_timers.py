"""Eight workers take the same slot of a timer at once: one runs."""

from datetime import timedelta

import pytest
import time_machine

from config.edge import timers
from config.edge.clock import now
from tests.races.contest import COMPETITORS, contest

pytestmark = pytest.mark.race
SLOT = timedelta(seconds=30)


def test_of_all_who_take_a_slot_at_once_one_gets_it(transactional_db: None, rounds: int) -> None:
    at = now()
    for number in range(rounds):  # the first one also makes the row
        with time_machine.travel(at + number * SLOT):
            taken = contest(*[lambda: timers.take("sweep", SLOT)] * COMPETITORS)

        assert taken.count(True) == 1
