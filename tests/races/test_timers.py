"""Eight workers at once: one takes a slot of a timer, and of sweeps that overlap each row is recorded by one."""

from datetime import timedelta

import pytest
import time_machine

from audit.models import Event
from config.edge import timers
from config.edge.clock import now
from tests.factories import make_token
from tests.invariants import Trail, assert_hold
from tests.races.contest import COMPETITORS, contest
from tests.world import World
from tokens import sweeps
from tokens.models import Token

pytestmark = pytest.mark.race
SLOT = timedelta(seconds=30)


def test_of_all_who_take_a_slot_at_once_one_gets_it(transactional_db: None, rounds: int) -> None:
    at = now()
    for number in range(rounds):  # the first one also makes the row
        with time_machine.travel(at + number * SLOT):
            taken = contest(*[lambda: timers.take("sweep", SLOT)] * COMPETITORS)

        assert taken.count(True) == 1


def test_sweeps_that_overlap_record_each_expiry_once(
    world: World, trail: Trail, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "BATCH", dict.fromkeys(sweeps.BATCH, 3))
    for _ in range(rounds):
        due = [make_token(world.fleet, "machines:read").token.pk for _ in range(12)]
        Token.objects.filter(pk__in=due).update(expires_at=now())

        recorded = contest(*[sweeps.record_expiries] * COMPETITORS)

        assert sum(recorded) == len(due)
        told = Event.objects.filter(action="token.expired", target_id__in=due)
        assert sorted(told.values_list("target_id", flat=True)) == sorted(due)
        assert_hold(trail)
