"""What time does to tokens, recorded once: expiries, ends of overlaps, tokens that nobody uses, counted denials."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection

from audit.models import OutboxRow
from config.edge.access import Access
from config.edge.clock import now
from config.edge.redis import state
from config.edge.refusals import Refused
from fleets import currency
from fleets.models import Organization
from fleets.scopes import Scope
from tests.factories import events, fresh_session, last_event, make_superuser, make_token, operator, session
from tests.invariants import assert_hold
from tests.performance.test_query_counts import queries
from tests.tokens.conftest import World
from tests.tokens.issuing import with_status
from tokens import emergency, lifecycle, sweeps, tasks
from tokens.changes import Edit
from tokens.issuance import Issued
from tokens.models import EmergencyAccess, Token, TokenSecret
from tokens.restrictions import Restrictions, parse_networks
from tokens.wishes import Wish

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)


@pytest.fixture
def issued(world: World) -> Issued:
    return make_token(world.edge, "machines:read")


def stored(issued: Issued) -> Token:
    return Token.objects.get(pk=issued.token.pk)


def expire(issued: Issued, **changes: Any) -> None:
    Token.objects.filter(pk=issued.token.pk).update(expires_at=now(), **changes)


def limit_unused(world: World, days: int) -> None:
    row = Organization.objects.get(pk=world.acme.pk)
    Organization.objects.filter(pk=row.pk).update(policy=row.policy | {"unused_limit_days": days})


# Expiries


def test_an_expiry_is_recorded_once_and_then_no_clock_revives_the_token(issued: Issued, world: World) -> None:
    expire(issued)
    disabled = make_token(world.edge, "machines:read")
    lifecycle.disable(disabled.token, by=operator)
    expire(disabled)
    other = make_token(world.edge, "machines:read")
    before = stored(issued).version

    assert [sweeps.record_expiries(), sweeps.record_expiries()] == [2, 0]
    tasks.record_expiries()

    token = stored(issued)
    assert (token.version, token.status) == (before + 1, "active")
    event = last_event(action="token.expired", target_id=token.pk)
    assert (event.actor_type, event.actor_id, event.organization_id) == ("system", "timers", world.acme.pk)
    assert event.target_label == token.name
    assert len(events(action="token.expired")) == 2
    assert state().get(currency.key("token", token.pk)) == str(token.version)
    with time_machine.travel(now() - DAY):
        assert (stored(issued).derived_status, stored(other).derived_status) == ("expired", "active")
        assert set(Token.objects.with_status("expired", now())) == {token, stored(disabled)}
    assert_hold()


@pytest.mark.parametrize("status", ["pending", "rejected", "revoked"])
def test_what_is_not_alive_does_not_expire(status: str, world: World) -> None:
    dead = with_status(world.edge, status)
    Token.objects.filter(pk=dead.token.pk).update(expires_at=now())

    assert sweeps.record_expiries() == 0
    assert events(action="token.expired") == []


def test_an_expiry_is_due_at_its_instant(issued: Issued) -> None:
    expires_at = stored(issued).expires_at
    assert expires_at is not None
    with time_machine.travel(expires_at - INSTANT, tick=False):
        assert sweeps.record_expiries() == 0
    with time_machine.travel(expires_at, tick=False):
        assert sweeps.record_expiries() == 1


def test_more_than_a_batch_is_recorded_in_several(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sweeps.BATCH, connection.vendor, 2)
    tokens = [make_token(world.edge, "machines:read") for _ in range(5)]
    for issued in tokens:
        expire(issued)

    assert sweeps.record_expiries() == 5
    assert len(events(action="token.expired")) == 5
    owed = [row.payload for row in OutboxRow.objects.filter(kind="versions")]
    assert owed == []


# Overlaps


def test_the_end_of_an_overlap_is_recorded_once(issued: Issued) -> None:
    at = now()
    with time_machine.travel(at - 3 * timedelta(hours=1)):
        lifecycle.rotate(stored(issued), overlap=timedelta(hours=1), by=operator)
    at_once = lifecycle.rotate(stored(issued), by=operator)
    running = lifecycle.rotate(stored(issued), overlap=timedelta(hours=1), by=operator)

    assert sweeps.record_overlap_ends() > 0
    assert sweeps.record_overlap_ends() == 0

    assert events(action="token.overlap_ended") == ["token.overlap_ended allowed"]
    event = last_event(action="token.overlap_ended")
    assert (event.target_id, event.data["generation"]) == (issued.token.pk, 1)
    left = TokenSecret.objects.filter(ended_at=None).order_by("generation")
    assert [row.valid_until is None for row in left] == [False, True], "the overlap that runs, and the newest"
    assert at_once.previous_valid_until is None
    assert running.previous_valid_until is not None
    assert_hold()


def test_nothing_is_said_of_the_secrets_of_an_ended_token(issued: Issued) -> None:
    with time_machine.travel(now() - DAY):
        lifecycle.rotate(stored(issued), overlap=timedelta(hours=1), by=operator)
    lifecycle.revoke(stored(issued), by=operator)

    assert sweeps.record_overlap_ends() == 1
    assert events(action="token.overlap_ended") == []


# Emergency windows


def test_windows_whose_timer_was_lost_are_ended_by_the_sweep(issued: Issued, world: World) -> None:
    root = make_superuser()
    emergency.start(stored(issued), hours=1, reason="An outage.", by=fresh_session(root))
    late = make_token(world.edge, "machines:read")
    with time_machine.travel(now() - DAY):
        window = emergency.start(stored(late), hours=8, reason="An outage.", by=fresh_session(root))

    tasks.end_emergency(str(window.pk))
    tasks.end_emergency(str(window.pk))
    assert sweeps.record_emergency_ends() == 0
    with time_machine.travel(now() + timedelta(hours=1)):
        assert [sweeps.record_emergency_ends(), sweeps.record_emergency_ends()] == [1, 0]

    assert events(action="emergency.ended") == ["emergency.ended allowed"] * 2
    assert not EmergencyAccess.objects.filter(ended_at=None).exists()
    assert not Token.objects.exclude(open_emergency=None).exists()
    assert_hold()


def test_a_window_that_can_not_be_recorded_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    boss = fresh_session(make_superuser())
    tokens = [make_token(world.edge, "machines:read").token for _ in range(2)]
    windows = [emergency.start(token, hours=1, reason="An outage.", by=boss) for token in tokens]
    record_end = emergency.record_end

    def fails_once(window: EmergencyAccess, *, by: Access) -> bool:
        if window.pk == windows[0].pk:
            raise LookupError("words that stay here")
        return record_end(window, by=by)

    monkeypatch.setattr(emergency, "record_end", fails_once)
    with time_machine.travel(now() + timedelta(hours=1)):
        assert sweeps.record_emergency_ends() == 1

    assert EmergencyAccess.objects.get(ended_at=None) == windows[0]
    assert "words" not in caplog.text


# Unused tokens


def test_tokens_that_nobody_uses_are_disabled_where_the_policy_says_so(world: World, other: Any) -> None:
    limit_unused(world, 30)
    at = now()
    with time_machine.travel(at - 31 * DAY):
        never, used, enabled = (make_token(world.edge, "machines:read") for _ in range(3))
        foreign, off = make_token(other, "machines:read"), make_token(world.edge, "machines:read")
        lifecycle.disable(off.token, by=operator)
        lifecycle.disable(stored(enabled), by=operator)
    with time_machine.travel(at - 29 * DAY):
        young = make_token(world.edge, "machines:read")
        lifecycle.enable(stored(enabled), by=operator)
    long_ago = make_token(world.edge, "machines:read")
    Token.objects.filter(pk=used.token.pk).update(last_used_at=at - 29 * DAY)
    Token.objects.filter(pk=long_ago.token.pk).update(last_used_at=at - 31 * DAY)

    assert [sweeps.disable_unused(), sweeps.disable_unused()] == [2, 0]

    off_now = {never.token.pk, long_ago.token.pk, off.token.pk}
    assert set(Token.objects.filter(status="disabled").values_list("pk", flat=True)) == off_now
    assert {stored(token).status for token in (used, enabled, young, foreign)} == {"active"}
    event = last_event(action="token.disabled", target_id=never.token.pk)
    assert (event.actor_type, event.actor_id) == ("system", "timers")
    assert "30 days" in event.reason
    lifecycle.enable(stored(never), by=operator)
    assert sweeps.disable_unused() == 0, "whoever enabled it wants it"
    with time_machine.travel(at + 31 * DAY):
        assert sweeps.disable_unused() >= 1
        assert stored(never).status == "disabled"
    assert_hold()


def emergency_over(issued: Issued, world: World) -> None:
    emergency.start(stored(issued), hours=1, reason="Incident", by=fresh_session(make_superuser()))


DEALT_WITH: dict[str, Callable[[Issued, World], object]] = {
    "enabled": lambda issued, _: (
        lifecycle.disable(stored(issued), by=operator),
        lifecycle.enable(stored(issued), by=operator),
    ),
    "rotated": lambda issued, _: lifecycle.rotate(stored(issued), by=operator),
    "extended": lambda issued, _: lifecycle.edit(
        stored(issued), change=Edit(expires_at=now() + 400 * DAY), by=operator
    ),
    "widened": lambda issued, _: lifecycle.edit(
        stored(issued),
        change=Edit(wish=Wish(scopes=frozenset({Scope.MACHINES_READ, Scope.SNAPSHOTS_READ}))),
        by=operator,
    ),
    "let in": emergency_over,
}


@pytest.mark.parametrize("done", DEALT_WITH)
def test_what_somebody_has_just_given_something_is_wanted(done: str, world: World) -> None:
    limit_unused(world, 30)
    at = now()
    with time_machine.travel(at - 40 * DAY):
        issued = make_token(
            world.edge, "machines:read", restrictions=Restrictions(networks=parse_networks(["10.0.0.0/8"]))
        )
    DEALT_WITH[done](issued, world)

    assert sweeps.disable_unused() == 0
    with time_machine.travel(at + 31 * DAY):
        assert sweeps.disable_unused() == 1


def test_what_was_only_asked_for_or_taken_away_keeps_no_unused_token(world: World) -> None:
    limit_unused(world, 30)
    with time_machine.travel(now() - 40 * DAY):
        issued = make_token(world.edge, "machines:read", "snapshots:read")
    lifecycle.edit(
        stored(issued), change=Edit(wish=Wish(scopes=frozenset({Scope.MACHINES_READ}))), by=operator
    )
    with pytest.raises(Refused):
        lifecycle.rotate(stored(issued), by=session(world.auditor))
    assert last_event(action="token.rotated").outcome == "denied"

    assert sweeps.disable_unused() == 1


def test_as_many_unused_tokens_as_there_are_are_disabled_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "BATCH", {"sqlite": 2, "postgresql": 2})
    limit_unused(world, 30)
    with time_machine.travel(now() - 40 * DAY):
        for _ in range(5):
            make_token(world.edge, "machines:read")

    assert sweeps.disable_unused() == 5


# Nothing to do


SWEEPS: list[tuple[Callable[[], int], int, str]] = [
    (sweeps.record_expiries, 1, "token_by_coming_expiry"),
    (sweeps.record_overlap_ends, 1, "secret_by_end"),
    (sweeps.record_emergency_ends, 1, "emergency_by_end"),
    (sweeps.disable_unused, 2, "token_by_last_use"),
]


def make_many_that_are_used(token: Token) -> None:
    columns = [field.attname for field in Token._meta.concrete_fields if field.attname != "id"]
    same = {name: getattr(token, name) for name in columns} | {"last_used_at": now()}
    Token.objects.bulk_create(Token(**same | {"name": f"used-{number}"}) for number in range(2000))


@pytest.mark.parametrize(("sweep", "count", "index"), SWEEPS)
def test_an_idle_sweep_asks_one_indexed_question_and_takes_no_lock(
    sweep: Callable[[], int], count: int, index: str, issued: Issued, world: World
) -> None:
    limit_unused(world, 30)
    rows = {
        "token_by_coming_expiry": sweeps.expired(now()),
        "secret_by_end": sweeps.ended_overlaps(now()),
        "emergency_by_end": emergency.due(now()),
        "token_by_last_use": sweeps.unused(world.acme, now() - DAY),
    }[index]
    asked = queries(sweep)

    assert asked == {"SELECT": count}
    make_many_that_are_used(issued.token)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE tokens_token")  # as autovacuum does; a planner without statistics guesses
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
    assert index in rows.explain()
