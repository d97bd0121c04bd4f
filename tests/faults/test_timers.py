"""Timers for real: workers and beats as processes, killed in the middle, delivered twice or never.

Each expiry is recorded once and each window ended once, whatever happens to them; and nobody's call waits for it.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.db.models import F
from redis import Redis

from audit.models import Event
from config.edge import timers
from config.edge.clock import now
from fleets.models import User
from tests import environment, factories
from tests.servers.machinery import Machinery, eventually, kill
from tests.world import World, client_of, door
from tokens import emergency, sweeps
from tokens.issuance import Issued
from tokens.models import EmergencyAccess, Token

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

MANY, VERY_MANY = 2_000, 100_000
MEASURED = 400  # calls, before
FLOOR = 0.03  # seconds: below that a busy machine's own pauses are all that is seen


@pytest.fixture
def machinery(transactional_db: None) -> Iterator[Machinery]:
    with Machinery() as started:
        yield started


@pytest.fixture
def root(transactional_db: None) -> User:
    return factories.make_superuser()


# Expiries


@dataclass
class Calls:
    """How long each call of somebody's took, in seconds."""

    world: World
    issued: Issued

    def measure(self, until: datetime | None = None, count: int = 10**9) -> list[float]:
        client, address = client_of(self.issued), door(self.world)
        taken: list[float] = []
        while len(taken) < count and (until is None or now() < until):
            began = time.perf_counter()
            assert client.get(address).status_code == 204
            taken.append(time.perf_counter() - began)
        return taken


def p99(taken: list[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.99)]


def make_many(world: World, count: int, first: datetime, last: datetime) -> None:
    """Tokens that expire one after the other between two instants, made as fast as the database takes them."""
    robot = factories.make_technical_user(world.organization, "robot")
    factories.make_entry(world.organization, world.fleet.path, "Viewer", user=robot)
    model = factories.make_token(robot, "machines:read").token
    columns = [field.attname for field in Token._meta.concrete_fields if field.attname != "id"]
    same = {name: getattr(model, name) for name in columns}
    Token.objects.bulk_create(
        (
            Token(**same | {"name": f"short-{number}", "expires_at": first + (last - first) * number / count})
            for number in range(count)
        ),
        batch_size=2_000,
    )


def expire_for_real(world: World, machinery: Machinery, count: int, seconds: float) -> tuple[float, float]:
    """p99 of somebody's calls without the sweep and while it works; a worker is killed in the middle of it."""
    calls = Calls(world, factories.make_token(world.fleet, "machines:read"))
    first = now() + timedelta(days=1)
    make_many(world, count, first, first + timedelta(seconds=seconds))
    workers = [machinery.worker(), machinery.worker()]
    machinery.beat()
    machinery.beat()
    machinery.wait_until_it_works(len(workers))
    eventually(lambda: timers.last_heartbeat() is not None, machinery.said)
    before = calls.measure(count=MEASURED)
    begun = now() + timedelta(seconds=1)
    _bring_forward(first - begun)
    half, end = begun + timedelta(seconds=seconds / 2), begun + timedelta(seconds=seconds)
    during = calls.measure(until=half)
    kill(workers[0])
    during += calls.measure(until=end)
    eventually(lambda: not sweeps.expired(now()).exists(), machinery.said)
    return p99(before), p99(during)


def _bring_forward(by: timedelta) -> None:
    """In one statement: tokens that are to expire tomorrow do so from now on."""
    Token.objects.filter(name__startswith="short-").update(expires_at=F("expires_at") - by)


def assert_each_expired_once(count: int) -> None:
    short = Token.objects.filter(name__startswith="short-")
    told = Counter(Event.objects.filter(action="token.expired").values_list("target_id", flat=True))
    assert set(told.values()) == {1}
    assert set(told) == set(short.values_list("pk", flat=True))
    assert len(told) == count
    assert not short.filter(expired_at=None).exists()
    assert set(short.values_list("version", flat=True)) == {2}


@pytest.mark.quiet
def test_each_expiry_is_recorded_once_by_two_beats_though_a_worker_is_killed(
    world: World, machinery: Machinery
) -> None:
    before, during = expire_for_real(world, machinery, MANY, seconds=10)

    assert_each_expired_once(MANY)
    assert during <= max(2 * before, FLOOR), (
        f"p99 {before * 1000:.1f} ms before, {during * 1000:.1f} ms during"
    )
    print(f"p99 {before * 1000:.1f} ms before, {during * 1000:.1f} ms during")


@pytest.mark.soak
@pytest.mark.quiet
def test_a_hundred_thousand_expiries_make_nobody_wait(world: World, machinery: Machinery) -> None:
    if not environment.uses_postgres():
        pytest.skip("as many as that are for PostgreSQL")
    before, during = expire_for_real(world, machinery, VERY_MANY, seconds=60)

    assert_each_expired_once(VERY_MANY)
    assert during <= 2 * before, f"p99 {before * 1000:.1f} ms before, {during * 1000:.1f} ms during"


# Emergency windows


def open_until(world: World, root: User, end: datetime) -> tuple[Issued, EmergencyAccess]:
    """A token that nobody may use from here, but for its window."""
    issued = factories.make_token(world.fleet, "machines:read")
    Token.objects.filter(pk=issued.token.pk).update(allowed_networks=["10.0.0.0/8"])
    token = Token.objects.get(pk=issued.token.pk)
    window = emergency.start(token, hours=1, reason="An outage.", by=factories.fresh_session(root))
    EmergencyAccess.objects.filter(pk=window.pk).update(ends_at=end)
    return issued, EmergencyAccess.objects.get(pk=window.pk)


def answers_around(end: datetime, world: World, issued: Issued) -> tuple[set[int], set[int]]:
    """The answers to calls that ended before an instant, and to those that began after it."""
    client, address = client_of(issued), door(world)
    before: set[int] = set()
    after: set[int] = set()
    while now() < end + timedelta(seconds=1):
        began = now()
        status = client.get(address).status_code
        if now() < end:
            before.add(status)
        elif began >= end:
            after.add(status)
    return before, after


def ends_of(window: EmergencyAccess) -> int:
    return Event.objects.filter(action="emergency.ended", data__emergency=str(window.pk)).count()


def flush_valkey() -> None:
    for url in (settings.REDIS.cache, settings.REDIS.state, settings.REDIS.broker):
        client = Redis.from_url(url)
        client.flushdb()
        client.close()


def test_with_every_worker_and_beat_killed_the_call_right_after_the_end_is_refused(
    world: World, root: User, machinery: Machinery
) -> None:
    machinery.worker()
    machinery.beat()
    machinery.wait_until_it_works(1)
    another = factories.make_token(world.fleet, "machines:read")
    assert client_of(another).get(door(world)).status_code == 204, "the first call of a process takes longest"
    issued, window = open_until(world, root, now() + timedelta(hours=1))
    machinery.kill_all()
    end = now() + timedelta(seconds=2)
    EmergencyAccess.objects.filter(pk=window.pk).update(ends_at=end)

    before, after = answers_around(end, world, issued)

    assert (before, after) == ({204}, {403})
    assert ends_of(window) == 0, "nobody was there to record it"
    machinery.worker()
    machinery.beat()
    eventually(lambda: ends_of(window) == 1, machinery.said)
    window.refresh_from_db()
    assert (window.ended_at, window.ended_by) == (end, None)


def test_a_timer_that_comes_at_its_time_twice_or_never_leaves_one_end(
    world: World, root: User, machinery: Machinery
) -> None:
    end = now() + timedelta(seconds=8)
    _, in_time = open_until(world, root, end)
    _, lost = open_until(world, root, end)
    flush_valkey()  # with it the timers of both
    issued, _ = open_until(world, root, end + timedelta(minutes=5))
    owed = {"emergency": str(in_time.pk), "ends_at": end.isoformat()}
    emergency.ask_for_ends([owed, owed])
    machinery.worker()
    eventually(lambda: ends_of(in_time) > 0, machinery.said)
    assert ends_of(lost) == 0, "no timer, and no beat yet"
    machinery.beat()
    eventually(lambda: ends_of(lost) > 0, machinery.said)
    emergency.ask_for_ends([owed, {**owed, "emergency": str(lost.pk)}])
    waiting = Redis.from_url(settings.REDIS.broker)
    eventually(lambda: waiting.llen("celery") == 0, machinery.said)
    waiting.close()
    time.sleep(2)

    assert (ends_of(in_time), ends_of(lost)) == (1, 1)
    assert client_of(issued).get(door(world)).status_code == 204, "a window is a row, not a key of Valkey"
    in_time.refresh_from_db()
    assert in_time.ended_at == end
