"""Eight competitors over a token's emergency access: one window, one end, and no call after it that needed it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.models import Event
from config.edge.clock import now
from fleets.access import system
from fleets.models import User
from tests.factories import fresh_session, make_superuser, make_token, operator
from tests.invariants import Trail, assert_hold
from tests.races.contest import COMPETITORS, codes, contest, winners
from tests.world import World, client_of, door
from tokens import emergency, lifecycle
from tokens.issuance import Issued
from tokens.models import EmergencyAccess, Token

pytestmark = [pytest.mark.race, pytest.mark.timeout(900)]


@pytest.fixture
def root(transactional_db: None) -> User:
    return make_superuser()


def restricted(world: World) -> Issued:
    issued = make_token(world.fleet, "machines:read")
    Token.objects.filter(pk=issued.token.pk).update(allowed_networks=["10.0.0.0/8"])
    return issued


def read(issued: Issued) -> Token:
    return Token.objects.select_related("organization", "open_emergency").get(pk=issued.token.pk)


def starting(issued: Issued, root: User) -> Callable[[], Any]:
    token, by = read(issued), fresh_session(root)
    return lambda: emergency.start(token, hours=1, reason="An outage.", by=by)


def stopping(issued: Issued, root: User) -> Callable[[], Any]:
    token, by = read(issued), fresh_session(root)
    return lambda: emergency.stop(token, by=by)


def using(issued: Issued, world: World) -> Callable[[], int]:
    address = door(world)
    return lambda: client_of(issued).get(address).status_code


def stopping_then_using(issued: Issued, root: User, world: World) -> Callable[[], tuple[Any, int]]:
    stop, use = stopping(issued, root), using(issued, world)
    return lambda: (stop(), use())


def ending(window: EmergencyAccess) -> Callable[[], Any]:
    row = EmergencyAccess.objects.get(pk=window.pk)  # each has read its own
    return lambda: emergency.record_end(row, by=system("timers"))


def revoking(issued: Issued) -> Callable[[], Any]:
    token = read(issued)
    return lambda: lifecycle.revoke(token, by=operator)


def told(issued: Issued, action: str) -> int:
    return Event.objects.filter(action=action, target_id=issued.token.pk, outcome="allowed").count()


def test_of_all_who_start_at_once_one_opens_a_window(
    world: World, root: User, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        issued = restricted(world)

        outcomes = contest(*[starting(issued, root) for _ in range(COMPETITORS)])

        assert len(winners(outcomes)) == told(issued, "emergency.started") == 1
        assert codes(outcomes) == {"emergency_open"}
        assert read(issued).open_emergency == winners(outcomes)[0]
        assert_hold(trail)


def test_of_all_who_end_it_at_once_one_does_and_no_call_that_begins_afterwards_is_let_through(
    world: World, root: User, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        issued = restricted(world)
        starting(issued, root)()

        outcomes = contest(
            *[stopping_then_using(issued, root, world) for _ in range(COMPETITORS // 2)],
            *[using(issued, world)] * (COMPETITORS // 2),
        )

        ended, used = outcomes[: COMPETITORS // 2], outcomes[COMPETITORS // 2 :]
        assert [window is not None for window, _ in ended].count(True) == told(issued, "emergency.ended") == 1
        assert {status for _, status in ended} == {403}
        assert set(used) <= {204, 403}
        assert read(issued).open_emergency is None
        assert_hold(trail)


def test_a_start_and_a_revocation_leave_a_revoked_token_whichever_is_first(
    world: World, root: User, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        issued = restricted(world)

        outcomes = contest(
            *[starting(issued, root) for _ in range(COMPETITORS // 2)],
            *[revoking(issued) for _ in range(COMPETITORS // 2)],
        )

        assert codes(outcomes) <= {"emergency_open", "illegal_move", "conflict"}
        assert read(issued).status == "revoked"
        assert told(issued, "token.revoked") == 1
        assert told(issued, "emergency.started") == EmergencyAccess.objects.filter(token=issued.token).count()
        assert client_of(issued).get(door(world)).status_code == 401
        assert_hold(trail)


def test_timers_stops_and_the_next_start_at_once_record_one_end_by_the_clock(
    world: World, root: User, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        issued = restricted(world)
        first = starting(issued, root)()
        past = now() - timedelta(seconds=1)
        EmergencyAccess.objects.filter(pk=first.pk).update(starts_at=past - timedelta(hours=1), ends_at=past)
        window = EmergencyAccess.objects.get(pk=first.pk)

        outcomes = contest(
            *[ending(window) for _ in range(3)],
            *[stopping(issued, root) for _ in range(2)],
            *[starting(issued, root) for _ in range(3)],
        )

        ends = Event.objects.filter(action="emergency.ended", data__emergency=str(first.pk))
        assert [event.data["by_clock"] for event in ends] == [True]
        window.refresh_from_db()
        assert (window.ended_at, window.ended_by) == (past, None)
        assert codes(outcomes) <= {"emergency_open"}
        assert EmergencyAccess.objects.filter(token=issued.token, ended_at=None).count() <= 1
        assert_hold(trail)
