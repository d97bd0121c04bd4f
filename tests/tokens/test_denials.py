"""Floods of refused calls: the trail keeps the first of each minute, and how many more there were."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from audit.models import Event
from config.edge import clock
from fleets.models import Fleet
from tests.factories import make_token, operator
from tests.tokens.conftest import World
from tests.tokens.issuing import present
from tokens import lifecycle
from tokens.denials import EACH, record_counted
from tokens.issuance import Issued
from tokens.models import DenialTally
from tokens.restrictions import Restrictions, parse_rate

GATE = "/gate/verify?organization=acme&scope=machines:read&path=/fleets/edge"
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def disabled(world: World) -> Issued:
    with clock.at(NOON - timedelta(days=1)):
        issued = make_token(world.edge, "machines:read")
        lifecycle.disable(present(issued), by=operator)
    return issued


def knock(issued: Issued, times: int, *, peer: str = "192.0.2.1", door: str = GATE) -> Any:
    client = Client(headers={"authorization": f"Bearer {issued.secret.reveal()}"}, REMOTE_ADDR=peer)
    return [client.get(door) for _ in range(times)][-1]


def denials(**fields: Any) -> Counter[tuple[str | None, str, int]]:
    """By address and reason: how many calls the events stand for."""
    found: Counter[tuple[str | None, str, int]] = Counter()
    for event in Event.objects.filter(action="token.denied", **fields):
        found[(event.address, event.reason, event.data.get("count", 0))] += 1
    return found


def test_of_a_flood_the_first_twenty_a_minute_are_events_and_the_others_one(disabled: Issued) -> None:
    with clock.at(NOON):
        answer = knock(disabled, EACH + 5)
        knock(disabled, 2, peer="2001:db8::1")
        assert record_counted() == 0, "the minute is not over"
        assert answer.json()["code"] == "token_disabled"
        assert denials() == {
            ("192.0.2.1", "token_disabled", 0): EACH,
            ("2001:db8::1", "token_disabled", 0): 2,
        }
    with clock.at(NOON + MINUTE):
        knock(disabled, 1)
        assert record_counted() == 1
        assert record_counted() == 0

    assert denials() == {
        ("192.0.2.1", "token_disabled", 0): EACH + 1,
        ("192.0.2.1", "token_disabled", 5): 1,
        ("2001:db8::1", "token_disabled", 0): 2,
    }
    counted = Event.objects.get(action="token.denied", data__has_key="count")
    assert counted.data == {
        "count": 5,
        "since": "2026-03-04T12:00:00+00:00",
        "until": "2026-03-04T12:01:00+00:00",
    }
    assert (counted.actor_type, counted.actor_id, counted.target_id, counted.outcome) == (
        "token",
        disabled.token.pk,
        disabled.token.pk,
        "denied",
    )
    assert counted.organization_id == disabled.token.organization_id
    assert [row.minute for row in DenialTally.objects.all()] == [NOON + MINUTE]


def test_the_addresses_of_one_network_of_ipv6_are_counted_as_one_and_events_name_them(
    disabled: Issued,
) -> None:
    with clock.at(NOON):
        for number in range(EACH + 3):
            knock(disabled, 1, peer=f"2001:db8:0:1::{number:x}")
        knock(disabled, 1, peer="2001:db8:0:2::1")
        assert sum(denials().values()) == EACH + 1
        assert denials()[("2001:db8:0:1::5", "token_disabled", 0)] == 1
        assert denials()[("2001:db8:0:2::1", "token_disabled", 0)] == 1
    with clock.at(NOON + MINUTE):
        assert record_counted() == 1

    counted = Event.objects.get(action="token.denied", data__has_key="count")
    assert (counted.address, counted.data["network"], counted.data["count"]) == (None, "2001:db8:0:1::/64", 3)


def test_another_reason_is_counted_for_itself(disabled: Issued) -> None:
    with clock.at(NOON):
        knock(disabled, EACH)
        lifecycle.rotate(present(disabled), by=operator)
        knock(disabled, EACH)

    assert denials() == {
        ("192.0.2.1", "token_disabled", 0): EACH,
        ("192.0.2.1", "token_invalid", 0): EACH,
    }


def test_the_trail_says_which_check_refused_what_callers_are_told_no_more_of(disabled: Issued) -> None:
    pve = f"PVEAPIToken=somebody!else={disabled.secret.reveal()}"
    with clock.at(NOON):
        answers = [
            Client(headers={"authorization": pve}).get(GATE),
            knock(disabled, 1, door=GATE.replace("acme", "nowhere")),
        ]
        lifecycle.rotate(present(disabled), by=operator)
        answers.append(knock(disabled, 1))

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(401, "token_invalid")}
    denied = Event.objects.filter(action="token.denied").order_by("id")
    assert [event.data["check"] for event in denied] == ["named_otherwise", "organization", "rotated_away"]
    assert all("check" not in answer.json() for answer in answers)


def test_from_the_rate_on_each_refusal_is_an_event(world: World) -> None:
    issued = make_token(world.edge, "machines:read", restrictions=Restrictions(rate=parse_rate("22/hour")))
    lacking = GATE.replace("machines:read", "machines:operate")

    knock(issued, EACH + 2, door=lacking)
    knock(issued, EACH + 2)

    assert denials() == {
        ("192.0.2.1", "insufficient_scope", 0): EACH + 2,
        ("192.0.2.1", "rate_limited", 0): EACH + 2,
    }
    assert not DenialTally.objects.exists()


def test_a_flood_at_the_door_of_another_organization_is_told_to_both(world: World, other: Fleet) -> None:
    with clock.at(NOON):
        issued = make_token(world.edge, "machines:read")
        knock(issued, EACH + 3, door=GATE.replace("acme", "globex"))
        knock(issued, 1)
    with clock.at(NOON + MINUTE):
        assert record_counted() == 1

    each = {("192.0.2.1", "token_invalid", 0): EACH, ("192.0.2.1", "token_invalid", 3): 1}
    assert denials(organization_id=world.acme.pk) == each
    assert denials(organization_id=other.organization_id) == each
    foreign = Event.objects.filter(organization_id=other.organization_id, action="token.denied")
    assert {(event.actor_type, event.target_id) for event in foreign} == {("anonymous", "")}
