"""Valkey stopped, or hanging: everything still answers and says the truth, and the outbox makes up for it later."""

import itertools
import time
from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from redis import RedisError

from audit import outbox
from audit.models import OutboxRow
from config.edge import context
from config.edge.context import RequestContext
from config.edge.redis import FAILURES, state
from config.edge.tasks import heartbeat
from fleets import currency
from tests.factories import make_token, operator
from tests.faults.commands import COMMANDS, CREATING, UNPUBLISHED, Command
from tests.invariants import Trail, assert_hold
from tests.servers.valkey import Valkey
from tests.world import World, client_of, door
from tokens import lifecycle, revocation
from tokens.models import Token

pytestmark = pytest.mark.fault

LONGEST = 1.0  # seconds that a call may take more than it does with Valkey there
CREATE = {prepare.__name__ for prepare in CREATING}


@pytest.fixture(params=["stopped", "hanging"])
def fault(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def take_away(valkey: Valkey, fault: str) -> Callable[[], None]:
    """Stop it, or let it hang; and see that nobody reaches it any more."""

    def now() -> None:
        valkey.stop() if fault == "stopped" else valkey.pause()
        with pytest.raises(RedisError):
            currency.reachable()

    return now


@pytest.fixture
def bring_back(valkey: Valkey, fault: str) -> Callable[[], object]:
    return valkey.start if fault == "stopped" else valkey.resume


@pytest.mark.quiet
def test_every_command_answers_the_truth_and_the_outbox_makes_up_for_it(
    world: World, fault: str, take_away: Callable[[], None], bring_back: Callable[[], object]
) -> None:
    sends = {command: command.prepare(world) for command in COMMANDS}
    trail = Trail()
    assert_hold(trail)
    take_away()

    answers, slow = {}, {}
    for command, send in sends.items():
        started = time.monotonic()
        answers[command] = send()
        if (took := time.monotonic() - started) > LONGEST:
            slow[command.name] = took

    assert {command.name: answer.status_code for command, answer in answers.items()} == {
        command.name: with_valkey_away(command) for command in COMMANDS
    }
    said = {command.name for command, answer in answers.items() if answer.status_code == 202}
    assert {
        command.name
        for command, answer in answers.items()
        if answer.content and answer.json().get("effective_everywhere") is False
    } == said
    assert slow == {}
    owed = {key for row in OutboxRow.objects.all() for key in currency.versions_in(row.payload)}
    assert len(owed) > 10

    bring_back()
    assert_hold(trail, valkey_lost_its_data=fault == "stopped")
    assert outbox.drain() == 0
    assert not OutboxRow.objects.exists()
    assert_hold(trail, valkey_lost_its_data=fault == "stopped")
    assert all(state().mget(sorted(owed)))


def with_valkey_away(command: Command) -> int:
    """What is new or only gives needs no publishing; what takes says 202 where others may not know of it yet."""
    return command.status if command.name in CREATE | UNPUBLISHED | {"enable", "resume"} else 202


def test_verification_works_and_a_revocation_holds_at_once(
    world: World, take_away: Callable[[], None]
) -> None:
    issued = make_token(world.fleet, "machines:read")
    client = client_of(issued)
    take_away()

    before = client.get(door(world))
    lifecycle.revoke(issued.token, by=operator)
    after = client.get(door(world))

    assert (before.status_code, after.status_code) == (204, 401)
    assert after.headers["X-Token-Denied"] == "token_revoked"


def test_readiness_says_degraded_and_the_house_stays_open(
    world: World, take_away: Callable[[], None]
) -> None:
    heartbeat()  # of the worker
    assert Client().get("/readyz").json()["status"] == "ready"
    take_away()

    answer = Client().get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


def took(verb: Callable[[], object]) -> float:
    started = time.monotonic()
    verb()
    return time.monotonic() - started


@pytest.mark.quiet
def test_a_verb_waits_for_one_that_hangs_once_and_the_next_ones_do_not_wait(
    world: World, valkey: Valkey
) -> None:
    tokens = [make_token(world.fleet, "machines:read").token for _ in range(4)]
    verbs = itertools.cycle((lifecycle.disable, lifecycle.enable))

    def change(times: int) -> float:
        """Seconds that verbs take, one after the other."""
        return took(lambda: [next(verbs)(tokens[0], by=operator) for _ in range(times)])

    usual = change(2 * FAILURES) / (2 * FAILURES)
    valkey.pause()

    waited = change(FAILURES) - FAILURES * usual
    more = change(2 * FAILURES) - 2 * FAILURES * usual
    with context.bound(RequestContext()) as bound:
        of_many = took(
            lambda: revocation.revoke_all(world.organization, owner=world.fleet, reason="Gone", by=operator)
        )

    timeout = settings.REDIS_TIMEOUT
    assert 0.9 * FAILURES * timeout < waited < 2 * FAILURES * timeout, "one timeout each"
    assert more < FAILURES * timeout, "it is left alone"
    assert of_many < 3 * timeout
    assert not bound.effective_everywhere
    keys = [currency.key("token", token.pk) for token in tokens]
    owed = {key for row in OutboxRow.objects.all() for key in currency.versions_in(row.payload)}
    assert set(keys) <= owed

    valkey.resume()
    assert outbox.drain() == 0, "the sweep asks also whom others leave alone"
    versions = dict(Token.objects.values_list("pk", "version"))
    assert state().mget(keys) == [str(versions[token.pk]) for token in tokens]


def test_the_first_change_after_it_is_back_is_published_at_once(
    world: World, take_away: Callable[[], None], bring_back: Callable[[], object]
) -> None:
    issued = make_token(world.fleet, "machines:read")
    lifecycle.disable(issued.token, by=operator)  # a connection is in the pool, a script in the server
    take_away()
    lifecycle.enable(issued.token, by=operator)
    assert OutboxRow.objects.count() == 1
    bring_back()

    lifecycle.disable(issued.token, by=operator)

    assert OutboxRow.objects.count() == 1, "only what was owed before"
    key = currency.key("token", issued.token.pk)
    assert state().get(key) == str(issued.token.version)
