"""Floods of refused calls while others write down what was counted: nothing is lost, and nothing counted twice."""

from datetime import datetime, timedelta

import pytest
from django.db.models import QuerySet

from audit.models import Event
from config.edge import clock
from tests.factories import make_token, operator
from tests.races.contest import contest
from tests.world import World, client_of, door
from tokens import lifecycle
from tokens.denials import EACH, record_counted
from tokens.issuance import Issued
from tokens.models import DenialTally, Token

pytestmark = [pytest.mark.race, pytest.mark.timeout(300)]

CALLS = 12  # of each of four callers, whose calls come late: their minute is being written down


def test_whoever_is_refused_is_in_the_trail_once(world: World, rounds: int) -> None:
    for _ in range(rounds):
        issued = make_token(world.fleet, "machines:read")
        lifecycle.disable(Token.objects.get(pk=issued.token.pk), by=operator)
        start = clock.now().replace(second=10)

        def knock(issued: Issued = issued, start: datetime = start) -> None:
            with clock.at(start):
                client = client_of(issued)
                for _ in range(CALLS):
                    assert client.get(door(world)).status_code == 401

        def write_down(start: datetime = start) -> int:
            with clock.at(start + timedelta(minutes=1)):
                return sum(record_counted() for _ in range(8))

        contest(*[knock] * 4, *[write_down] * 2)
        write_down()

        events = denials(issued)
        assert sum(event.data.get("count", 1) for event in events) == 4 * CALLS
        assert all(event.data.get("count", 1) > 0 for event in events)
        assert len(events) >= EACH
        assert not DenialTally.objects.exists()


def denials(issued: Issued) -> QuerySet[Event]:
    return Event.objects.filter(action="token.denied", target_id=issued.token.pk)
