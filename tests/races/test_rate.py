"""How many of many simultaneous calls a rate admits: over eight processes, counted by Valkey or by the database."""

import time
from collections import Counter
from functools import partial

import pytest
from django.test import Client

from config.edge import rate
from config.edge.models import RateCounter
from tests.factories import events, make_token
from tests.races.processes import PROCESSES, together
from tests.servers.valkey import Valkey
from tests.world import World, client_of, door
from tokens.restrictions import Restrictions, parse_rate

pytestmark = pytest.mark.timeout(300)

EACH = 25  # calls of a process
AT_THE_GATE = 6  # which takes longer
Asked = tuple[rate.Usage, float, float]  # with when it was asked, and answered


@pytest.fixture
def stopped(valkey: Valkey) -> None:
    valkey.stop()


def admit_three_of_two_hundred() -> None:
    answers = together(partial(asked, "minute", 60))

    assert Counter(usage.allowed for usage, _, _ in answers) == {True: 3, False: PROCESSES * EACH - 3}
    assert {usage.remaining for usage, _, _ in answers if not usage.allowed} == {0}
    assert {usage.retry_after for usage, _, _ in answers if not usage.allowed} <= {*range(30, 61)}


def admit_three_a_second() -> None:
    """However long a busy machine takes for two hundred calls: never four within a second."""
    answers = together(partial(asked, "second", 1))

    admitted = sorted((since, until) for usage, since, until in answers if usage.allowed)
    for (since, _), (_, until) in zip(admitted, admitted[3:], strict=False):
        assert until - since >= 1
    took = max(until for _, _, until in answers) - min(since for _, since, _ in answers)
    assert 3 <= len(admitted) <= 3 * (1 + int(took))
    assert {usage.retry_after for usage, _, _ in answers if not usage.allowed} == {1}


def asked(key: str, seconds: int) -> list[Asked]:
    found = []
    for _ in range(EACH):
        since = time.monotonic()
        found.append((rate.consume(key, 3, seconds), since, time.monotonic()))
    return found


def admit_three_at_the_gate(world: World) -> None:
    """A minute, not a second: a call takes the gate so long, on a busy machine, that a second could pass between the
    first and the last, and more than three would rightly be admitted."""
    issued = make_token(world.fleet, "machines:read", restrictions=Restrictions(rate=parse_rate("3/minute")))

    def call() -> list[tuple[int, str | None, str | None, str]]:
        client: Client = client_of(issued)
        found = []
        for _ in range(AT_THE_GATE):
            answer = client.get(door(world))
            says = answer.headers
            found.append(
                (
                    answer.status_code,
                    says.get("X-Token-Denied"),
                    says.get("Retry-After"),
                    says["RateLimit-Policy"],
                )
            )
        return found

    answers = together(call)

    assert Counter(status for status, *_ in answers) == {204: 3, 429: PROCESSES * AT_THE_GATE - 3}
    refused = [answer for answer in answers if answer[0] == 429]
    assert {(code, policy) for _, code, _, policy in refused} == {("rate_limited", '"token";q=3;w=60')}
    assert all(wait is not None and 1 <= int(wait) <= 60 for _, _, wait, _ in refused)
    assert Counter(events(actor_type="token")) == {
        "token.used allowed": 3,
        "token.denied denied": PROCESSES * AT_THE_GATE - 3,
    }


@pytest.mark.race
def test_of_two_hundred_simultaneous_calls_three_are_admitted(world: World) -> None:
    admit_three_of_two_hundred()
    admit_three_a_second()
    admit_three_at_the_gate(world)

    assert not RateCounter.objects.exists()


@pytest.mark.fault
def test_of_two_hundred_simultaneous_calls_three_are_admitted_with_valkey_stopped(
    world: World, stopped: None
) -> None:
    admit_three_of_two_hundred()
    admit_three_a_second()
    admit_three_at_the_gate(world)

    assert RateCounter.objects.exists()


@pytest.mark.fault
@pytest.mark.quiet
def test_a_hanging_valkey_costs_a_process_three_waits_and_then_nothing(world: World, valkey: Valkey) -> None:
    """Also while it hangs no call too many is admitted."""
    valkey.pause()

    def call() -> list[tuple[bool, float]]:
        found = []
        for _ in range(12):
            started = time.monotonic()
            found.append((rate.consume("one", 3, 60).allowed, time.monotonic() - started))
        return found

    (*waited,) = together(call, processes=1)

    assert [took > 0.2 for _, took in waited] == [True] * 3 + [False] * 9
    assert max(took for _, took in waited) < 1.0
    assert [is_admitted for is_admitted, _ in waited] == [True] * 3 + [False] * 9
