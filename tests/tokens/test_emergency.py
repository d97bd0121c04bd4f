"""Emergency access: who starts it, for how long, what it lifts and what it does not, and the receipt at its end."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core import mail as outgoing
from redis import Redis

from audit import deliveries, outbox
from audit.models import Event, OutboxRow
from config.edge.clock import now
from config.edge.refusals import Conflict, DomainError, IllegalMove, Invalid, Refused
from fleets import organizations
from fleets.access import operator as operator_for
from fleets.access import system
from fleets.models import User
from tests.factories import (
    acting,
    as_stored,
    events,
    fresh_session,
    last_event,
    make_member,
    make_organization,
    make_person,
    make_superuser,
    make_token,
    operator,
    session,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import with_status
from tokens import emergency, lifecycle, receipts
from tokens.issuance import Issued
from tokens.models import EmergencyAccess, Token
from tokens.restrictions import Restrictions, parse_networks, parse_rate

pytestmark = pytest.mark.django_db
WHY = "The uplink is down and the on-call laptop is abroad."
START = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)


@pytest.fixture
def root() -> User:
    return make_superuser("root")


@pytest.fixture
def issued(world: World) -> Issued:
    return make_token(world.edge, "machines:read")


def stored(issued: Issued) -> Token:
    return Token.objects.select_related("open_emergency", "organization").get(pk=issued.token.pk)


def start(issued: Issued, root: User, hours: int = 1) -> EmergencyAccess:
    return emergency.start(stored(issued), hours=hours, reason=WHY, by=fresh_session(root))


def asked_of_the_worker() -> list[dict[str, Any]]:
    """The messages that wait in the broker."""
    client: Any = Redis.from_url(settings.REDIS.broker)
    try:
        return [json.loads(message) for message in client.lrange("celery", 0, -1)]
    finally:
        client.close()


def broken() -> Any:
    raise ConnectionError("the broker is away")


def stop(issued: Issued, root: User) -> EmergencyAccess | None:
    return emergency.stop(stored(issued), reason="Over.", by=fresh_session(root))


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(DomainError) as caught:
        act()
    return caught.value.code


def test_a_superuser_lifts_it_for_whole_hours_and_the_trail_says_why(issued: Issued, root: User) -> None:
    before = stored(issued).version

    with time_machine.travel(START, tick=False):
        window = start(issued, root, 2)

    token = stored(issued)
    assert (window.starts_at, window.ends_at, window.ended_at) == (START, START + 2 * HOUR, None)
    assert (token.open_emergency, token.version) == (window, before + 1)
    event = last_event(action="emergency.started")
    assert (event.actor_id, event.reason, event.target_id) == (str(root.pk), WHY, token.pk)
    assert (event.data["emergency"], event.data["hours"]) == (str(window.pk), 2)
    (asked,) = [task for task in asked_of_the_worker() if task["headers"]["task"] == emergency.END_TASK]
    assert asked["headers"]["eta"] == (START + 2 * HOUR).isoformat()
    assert asked["headers"]["argsrepr"] == f"['{window.pk}']"
    assert not OutboxRow.objects.filter(kind="emergency_end").exists()


def test_a_broker_that_is_away_at_the_start_is_asked_again(
    issued: Issued, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setattr("config.edge.broker.producer", broken)
        window = start(issued, root)

    owed = OutboxRow.objects.get(kind="emergency_end")
    assert owed.payload == {"emergency": str(window.pk), "ends_at": window.ends_at.isoformat()}
    outbox.drain()
    assert emergency.END_TASK in [task["headers"]["task"] for task in asked_of_the_worker()]
    assert not OutboxRow.objects.filter(kind="emergency_end").exists()


@pytest.mark.parametrize("hours", [0, 9, -1, 0.99, 8.01, math.nan, "8h", "8", True, 1e9, 10**9, None, [1]])
def test_only_whole_hours_from_one_to_eight(hours: Any, issued: Issued, root: User) -> None:
    with pytest.raises(Invalid) as caught:
        emergency.start(stored(issued), hours=hours, reason=WHY, by=fresh_session(root))

    assert [error.field for error in caught.value.errors] == ["hours"]
    assert not EmergencyAccess.objects.exists()


@pytest.mark.parametrize("reason", ["", "  ", "\u200b", "\n"])
def test_it_says_why(reason: str, issued: Issued, root: User) -> None:
    with pytest.raises(Invalid) as caught:
        emergency.start(stored(issued), hours=1, reason=reason, by=fresh_session(root))

    assert [error.field for error in caught.value.errors] == ["reason"]
    assert events(action="emergency.started") == []


def test_nobody_else_starts_or_stops_it(issued: Issued, root: User, world: World) -> None:
    make_member(world.acme, "owner", user=root)
    theirs = make_token(root, "tokens:manage", organization=world.acme, privilege_separation=False)
    start(issued, root)
    others = [
        fresh_session(world.owner),
        fresh_session(world.manager),
        acting(theirs),
        operator,
        system("timers"),
        operator_for("root@host", on_behalf_of=world.owner),
    ]
    for by in others:
        with pytest.raises(Refused):
            emergency.start(stored(issued), hours=1, reason=WHY, by=by)
        with pytest.raises(Refused):
            emergency.stop(stored(issued), reason=WHY, by=by)
    inactive = make_superuser("gone", is_active=False)
    with pytest.raises(Refused):
        emergency.stop(stored(issued), reason=WHY, by=fresh_session(inactive))

    assert events(action="emergency.started") == ["emergency.started allowed"] + [
        "emergency.started denied"
    ] * len(others)
    assert EmergencyAccess.objects.filter(ended_at=None).count() == 1


def test_a_superuser_who_left_their_session_open_is_asked_again(issued: Issued, root: User) -> None:
    stale = session(root)

    assert (
        refusal(lambda: emergency.start(stored(issued), hours=1, reason=WHY, by=stale))
        == "fresh_check_needed"
    )
    assert not EmergencyAccess.objects.exists()
    start(issued, root)
    assert emergency.stop(stored(issued), by=stale) is not None, "what ends it waits for no password"


def test_the_operator_does_it_for_a_superuser(issued: Issued, root: User) -> None:
    by = operator_for("ada@host", on_behalf_of=root)

    window = emergency.start(stored(issued), hours=1, reason=WHY, by=by)

    assert window.started_by == root
    event = last_event(action="emergency.started")
    assert (event.actor_id, event.on_behalf_of_id) == ("operator", str(root.pk))


@pytest.mark.parametrize("status", ["pending", "rejected", "revoked", "expired"])
def test_only_what_is_alive_has_something_to_lift(status: str, world: World, root: User) -> None:
    dead = with_status(world.edge, status)

    with pytest.raises(IllegalMove):
        start(dead, root)
    start(with_status(world.edge, "disabled"), root)
    assert events(action="emergency.started") == ["emergency.started allowed"]


@pytest.mark.parametrize("status", ["active", "disabled"])
def test_what_the_policy_has_ended_has_nothing_to_lift(status: str, world: World, root: User) -> None:
    ended = with_status(world.edge, status)
    day = {"maximum_lifetime_days": 1}
    organizations.set_policy(as_stored(world.acme), changes=day, by=operator)
    approved_at = stored(ended).approved_at
    assert approved_at
    last = approved_at + timedelta(days=1)

    with time_machine.travel(last, tick=False):
        assert not emergency.has_to_lift(stored(ended))
        with pytest.raises(IllegalMove) as refused:
            start(ended, root)
        assert "as long as" in refused.value.detail
        assert stored(ended).open_emergency is None
    with time_machine.travel(last - INSTANT, tick=False):
        assert emergency.has_to_lift(stored(ended))
        start(ended, root)
    assert events(action="emergency.started", outcome="allowed") == ["emergency.started allowed"]


def test_what_a_policy_has_ended_that_was_laid_down_meanwhile_has_nothing_to_lift(
    world: World, root: User
) -> None:
    with time_machine.travel(now() - timedelta(days=2)):
        issued = make_token(world.edge, "machines:read")
    read_before = Token.objects.presented().get(pk=issued.token.pk)
    organizations.set_policy(as_stored(world.acme), changes={"maximum_lifetime_days": 1}, by=operator)

    with pytest.raises(IllegalMove):
        emergency.start(read_before, hours=1, reason="Incident", by=fresh_session(root))


def test_one_window_at_a_time_and_a_second_stop_changes_nothing(issued: Issued, root: User) -> None:
    window = start(issued, root)
    assert refusal(lambda: start(issued, root)) == "emergency_open"

    assert stop(issued, root) == window
    version = stored(issued).version
    assert stop(issued, root) is None
    assert stop(issued, root) is None

    token = stored(issued)
    assert (token.open_emergency, token.version) == (None, version)
    assert events(action="emergency.ended") == ["emergency.ended allowed"]
    event = last_event(action="emergency.ended")
    assert (event.actor_id, event.reason) == (str(root.pk), "Over.")
    assert event.data == {"emergency": str(window.pk), "by_clock": False, "calls": 0}
    assert start(issued, root).pk != window.pk


def test_an_end_by_the_clock_is_recorded_once_by_whoever_comes_first(issued: Issued, root: User) -> None:
    by = system("timers")
    with time_machine.travel(START, tick=False):
        window = start(issued, root)
    with time_machine.travel(START + HOUR - INSTANT, tick=False):
        assert emergency.open_window(stored(issued)) == window
        assert not emergency.record_end(window, by=by)
    with time_machine.travel(START + HOUR, tick=False):
        assert emergency.open_window(stored(issued)) is None
        assert [emergency.record_end(window, by=by) for _ in range(3)] == [True, False, False]
        emergency.end_if_due(window.pk)
        assert stop(issued, root) is None

    window.refresh_from_db()
    assert (window.ended_at, window.ended_by) == (START + HOUR, None)
    assert events(action="emergency.ended") == ["emergency.ended allowed"]
    event = last_event(action="emergency.ended")
    assert (event.actor_type, event.actor_id, event.data["by_clock"]) == ("system", "timers", True)


@pytest.mark.parametrize("who", ["start", "stop"])
def test_an_end_that_nobody_recorded_counts_all_the_same(who: str, issued: Issued, root: User) -> None:
    with time_machine.travel(START, tick=False):
        first = start(issued, root)
    with time_machine.travel(START + 5 * HOUR, tick=False):
        outcome = start(issued, root) if who == "start" else stop(issued, root)

    first.refresh_from_db()
    assert (first.ended_at, first.ended_by) == (START + HOUR, None)
    ended = last_event(action="emergency.ended")
    assert (ended.actor_id, ended.data["by_clock"]) == ("timers", True)
    assert events(action="emergency.ended") == ["emergency.ended allowed"]
    token = stored(issued)
    assert token.open_emergency == (outcome if who == "start" else None)
    assert token.version == 1 + len(events(action__startswith="emergency."))


def test_never_more_than_eight_hours_within_a_day(issued: Issued, root: User) -> None:
    def try_at(moment: timedelta, hours: int) -> str:
        with time_machine.travel(START + moment, tick=False):
            try:
                start(issued, root, hours)
            except Conflict as refused:
                return refused.code
            return "open"

    def stop_at(moment: timedelta) -> None:
        with time_machine.travel(START + moment, tick=False):
            stop(issued, root)

    assert try_at(0 * HOUR, 8) == "open"
    stop_at(2 * HOUR)  # two hours were used, however many were asked for
    assert try_at(2 * HOUR, 7) == "emergency_used_up"
    assert try_at(2 * HOUR, 6) == "open"
    assert try_at(8 * HOUR, 1) == "emergency_used_up"
    assert try_at(23 * HOUR - INSTANT, 1) == "emergency_used_up"
    assert try_at(23 * HOUR, 1) == "emergency_used_up", "the day before its end still holds all eight"
    assert try_at(24 * HOUR, 1) == "open", "the first hour is more than a day before its end"
    assert try_at(25 * HOUR, 8) == "emergency_used_up"
    assert try_at(25 * HOUR, 3) == "open", "what is older falls out as it goes on"


def test_another_token_has_hours_of_its_own(issued: Issued, root: User, world: World) -> None:
    start(issued, root, 8)

    start(make_token(world.edge, "machines:read"), root, 8)

    assert events(action="emergency.started") == ["emergency.started allowed"] * 2


# What it lifts


def restricted(world: World, **limits: Any) -> Issued:
    issued = make_token(world.edge, "machines:read")
    values = Restrictions(networks=limits.get("networks"), rate=limits.get("rate"), windows=None)
    Token.objects.filter(pk=issued.token.pk).update(
        allowed_networks=values.as_json()["allowed_networks"], rate_limit=values.as_json()["rate_limit"] or ""
    )
    return issued


def ask(issued: Issued, scope: str = "machines:read") -> tuple[int, str | None]:
    query = {"organization": "acme", "scope": scope, "path": "/fleets/edge"}
    answer = token_client(issued).get("/gate/verify", query)
    return answer.status_code, answer.headers.get("X-Token-Denied")


def test_it_lifts_the_network_and_each_call_that_needed_it_is_on_the_receipt(
    world: World, root: User
) -> None:
    issued = restricted(world, networks=parse_networks(["10.0.0.0/8"]))
    assert ask(issued) == (403, "network_not_allowed")
    window = start(issued, root)

    assert ask(issued) == (204, None)
    assert ask(issued, "machines:operate") == (403, "insufficient_scope")
    free = make_token(world.edge, "machines:read")
    start(free, root)
    assert ask(free) == (204, None)
    ended = stop(issued, root)

    assert ask(issued) == (403, "network_not_allowed")
    assert ended is not None
    calls = receipts.calls_of(ended)
    assert [(call.action, call.data["emergency"], call.data["bypassed"]) for call in calls] == [
        ("token.denied", str(window.pk), ["network"]),
        ("token.used", str(window.pk), ["network"]),
    ]
    assert last_event(action="emergency.ended").data["calls"] == 2
    assert not Event.objects.filter(target_id=free.token.pk, data__has_key="emergency", action="token.used")


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"status": "disabled"}, (401, "token_disabled")),
        ({"status": "revoked", "status_reason": "by_hand"}, (401, "token_revoked")),
        ({"expires_at": START}, (401, "token_expired")),
        ({"expired_at": START}, (401, "token_expired")),
    ],
)
def test_it_lifts_nothing_else(
    change: dict[str, Any], answer: tuple[int, str], world: World, root: User
) -> None:
    issued = restricted(world, networks=parse_networks(["10.0.0.0/8"]))
    start(issued, root)
    assert ask(issued) == (204, None)

    Token.objects.filter(pk=issued.token.pk).update(**change)

    assert ask(issued) == answer


def test_the_rate_holds_as_before(world: World, root: User) -> None:
    issued = restricted(world, networks=parse_networks(["10.0.0.0/8"]), rate=parse_rate("2/hour"))
    start(issued, root)

    assert [ask(issued)[0] for _ in range(4)] == [204, 204, 429, 429]


def test_what_ends_a_token_leaves_its_window_to_the_clock(issued: Issued, root: User) -> None:
    with time_machine.travel(START, tick=False):
        window = start(issued, root)
        lifecycle.revoke(stored(issued), by=operator)
    with time_machine.travel(START + HOUR, tick=False):
        assert emergency.record_end(window, by=system("timers"))

    assert stored(issued).open_emergency is None
    assert ask(issued) == (401, "token_revoked")


# Mail


def test_owners_and_admins_and_who_leads_its_owner_are_told_at_both_ends(world: World, root: User) -> None:
    for person, address in [(world.owner, "olga"), (world.admin, "adam"), (world.manager, "mia")]:
        User.objects.filter(pk=person.pk).update(email=f"{address}@example.org")
    User.objects.filter(pk=world.auditor.pk).update(email="aude@example.org")
    make_member(make_organization(), "admin", user=make_person("else", email="else@example.org"))
    issued = restricted(world, networks=parse_networks(["10.0.0.0/8"]))

    start(issued, root)
    deliveries.deliver()
    first = {sent.to[0]: sent for sent in outgoing.outbox}
    outgoing.outbox.clear()
    for _ in range(52):
        ask(issued)
    stop(issued, root)
    deliveries.deliver()
    second = {sent.to[0]: sent for sent in outgoing.outbox}

    told = {f"{name}@example.org" for name in ("olga", "adam", "mia")}
    assert (set(first), set(second)) == (told, told)
    assert issued.token.name in first["mia@example.org"].subject
    body = str(first["mia@example.org"].body)
    assert WHY in body
    assert "for 1 hour:" in body
    receipt = str(second["olga@example.org"].body)
    assert "52 calls" in second["olga@example.org"].subject
    assert receipt.count("- ") == 50
    assert "machines:read on /fleets/edge (allowed; lifted: network)" in receipt
    assert "and 2 more" in receipt
    assert not OutboxRow.objects.filter(kind="mail").exists()


def test_a_person_s_own_token_is_theirs_to_hear_of(world: World, root: User) -> None:
    noor = make_person("noor", email="noor@example.org")
    make_member(world.acme, user=noor)
    start(make_token(noor, "machines:read", organization=world.acme), root)

    assert [row.payload["person"] for row in OutboxRow.objects.filter(kind="mail")] == [str(noor.pk)]
