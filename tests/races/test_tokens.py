"""Eight competitors over one token: whatever order they come in, the invariants hold and the ended stays ended."""

import itertools
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event as Signal

import pytest

from audit.models import OutboxRow
from config.edge.clock import now
from fleets import membership
from fleets.models import Fleet, Membership, Organization, User
from fleets.scopes import Scope
from tests.factories import events, fleet_member, make_token, operator, owner_of, session
from tests.invariants import Trail, assert_hold
from tests.races.contest import COMPETITORS, START_DEADLINE, codes, contest, winners
from tests.world import World, client_of, door
from tokens import issuance, lifecycle
from tokens.issuance import Issued, Wish
from tokens.lifecycle import Edit
from tokens.models import Token

pytestmark = [pytest.mark.race, pytest.mark.timeout(900)]

OVERLAPS = (timedelta(0), timedelta(hours=1))
READS_MACHINES = Wish(scopes=frozenset({Scope.MACHINES_READ}))
_names = itertools.count(1)


def test_rotations_at_once_leave_one_newest_secret(
    world: World, trail: Trail, many_rounds: int, chance: random.Random
) -> None:
    for _ in range(many_rounds):
        issued = make_token(world.fleet, "machines:read")
        overlap = chance.choice(OVERLAPS)
        stale = [
            rotation(issued, world.manager, overlap, row=present(issued)) for _ in range(COMPETITORS // 2)
        ]
        fresh = [rotation(issued, world.manager, overlap) for _ in range(COMPETITORS // 2)]

        outcomes = contest(*stale, *fresh)

        rotated = sorted(winners(outcomes), key=lambda rotated: rotated.token.version)
        assert rotated
        assert len(winners(outcomes[: len(stale)])) <= 1  # what was read before the start counts once
        assert codes(outcomes) <= {"conflict"}
        answers = {answer(world, one) for one in (issued, *rotated[:-1])}
        assert answer(world, rotated[-1]) == 204
        assert answers == {401} if not overlap else answers <= {204, 401}
        assert present(issued).secrets.live(now()).count() == (2 if overlap else 1)
        assert_hold(trail)


def test_no_call_that_starts_after_the_answer_to_a_revocation_is_accepted(
    world: World, trail: Trail, many_rounds: int
) -> None:
    revoked: dict[str, datetime] = {}
    for _ in range(many_rounds):
        issued = make_token(world.fleet, "machines:read")
        answered = Signal()
        in_use = [Signal() for _ in range(COMPETITORS - 1)]

        outcomes = contest(
            revocation(issued, world.manager, after=in_use, then=answered),
            *(use(world, issued, begun, answered) for begun in in_use),
        )

        revoked[issued.token.pk] = outcomes[0]
        for told in outcomes[1:]:
            assert told[0] == "204", "it worked before"
            assert told[-1] == "401 token_revoked"
            assert told == sorted(told), "refused once, refused for ever"
        assert_hold(trail, revoked=revoked)


def test_who_leaves_while_tokens_are_issued_keeps_none_and_the_fleet_keeps_its_own(
    world: World, trail: Trail, many_rounds: int
) -> None:
    for _ in range(many_rounds):
        leaver = fleet_member(world.fleet, "manager")
        place = Membership.objects.get(user=leaver)
        lasting = make_token(world.fleet, "machines:read")
        of_the_leaver = make_token(leaver, "machines:read")
        owners: tuple[User | Fleet, ...] = (leaver, leaver, leaver, leaver, leaver, world.fleet, world.fleet)

        outcomes = contest(
            departure(place),
            *(issuing(world.organization, owner, leaver) for owner in owners),
        )

        assert outcomes[0] is None
        assert codes(outcomes) <= {"owner_inactive", "forbidden", "exceeds_your_rights"}
        theirs = Token.objects.filter(owner_user=leaver)
        assert set(theirs.values_list("status", "status_reason")) == {("revoked", "owner_left")}
        assert answer(world, of_the_leaver) == 401
        assert answer(world, lasting) == 204
        for issued in winners(outcomes):
            assert issued is None or answer(world, issued) == (204 if issued.token.owner_fleet else 401)
        assert_hold(trail)


def test_disabling_and_enabling_at_once_ends_in_one_of_the_two(
    world: World, trail: Trail, many_rounds: int, chance: random.Random
) -> None:
    for _ in range(many_rounds):
        issued = make_token(world.fleet, "machines:read")
        if chance.random() < 0.5:
            lifecycle.disable(present(issued), by=session(world.manager))
        verbs = chance.sample([lifecycle.disable, lifecycle.enable] * (COMPETITORS // 2), COMPETITORS)

        outcomes = contest(*(moving(issued, world.manager, verb) for verb in verbs))

        assert winners(outcomes)
        assert codes(outcomes) <= {"conflict", "illegal_move"}
        assert answer(world, issued) == (204 if present(issued).status == Token.Status.ACTIVE else 401)
        assert_hold(trail)


def test_what_an_admin_disables_stays_so_whatever_its_own_people_do_meanwhile(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        issued = make_token(world.fleet, "machines:read")
        theirs = [lifecycle.disable] * 2 + [lifecycle.enable] * 5

        outcomes = contest(
            moving(issued, owner_of(world.organization), lifecycle.disable),
            *(moving(issued, world.manager, verb) for verb in theirs),
        )

        assert codes(outcomes) <= {"conflict", "illegal_move", "disabled_by_overseer"}
        if isinstance(outcomes[0], Token):
            assert (present(issued).status, present(issued).status_reason) == ("disabled", "by_overseer")
            assert answer(world, issued) == 401
        assert_hold(trail)


def test_nothing_brings_back_what_is_revoked_meanwhile(
    world: World, trail: Trail, some_rounds: int, chance: random.Random
) -> None:
    for _ in range(some_rounds):
        issued = make_token(world.fleet, "machines:read", "snapshots:read")
        others = [
            rotation(issued, world.manager, chance.choice(OVERLAPS)),
            rotation(issued, world.manager, chance.choice(OVERLAPS)),
            editing(issued, world.manager, Edit(wish=READS_MACHINES)),
            editing(issued, world.manager, Edit(description="edited", expires_at=now() + timedelta(days=1))),
            moving(issued, world.manager, lifecycle.disable),
            moving(issued, world.manager, lifecycle.enable),
        ]
        chance.shuffle(others)
        revoke = moving(issued, world.manager, lifecycle.revoke)

        outcomes = contest(revoke, moving(issued, world.manager, lifecycle.revoke), *others)

        assert len(winners(outcomes[:2])) == 1, "one revocation wins over whatever else goes on, once"
        assert codes(outcomes) <= {"conflict", "illegal_move"}
        assert present(issued).status == Token.Status.REVOKED
        rotated = [outcome for outcome in outcomes[2:] if isinstance(outcome, Issued)]
        assert {answer(world, one) for one in (issued, *rotated)} == {401}
        assert contest(*others[:2], moving(issued, world.manager, lifecycle.enable))
        assert present(issued).status == Token.Status.REVOKED
        assert events(action="token.revoked", target_id=issued.token.pk) == ["token.revoked allowed"]
        assert_hold(trail)


def test_one_token_of_a_name_is_issued(world: World, trail: Trail, some_rounds: int) -> None:
    for _ in range(some_rounds):
        name = f"same-{next(_names)}"
        owners: list[User | Fleet] = [world.fleet] * (COMPETITORS // 2) + [world.manager] * (COMPETITORS // 2)

        outcomes = contest(*(issuing(world.organization, owner, world.manager, name) for owner in owners))

        assert {issued.token.kind for issued in winners(outcomes)} == {"fleet", "personal"}
        assert Token.objects.filter(name=name).count() == len(winners(outcomes)) == 2
        assert codes(outcomes) == {"name_taken"}
        assert_hold(trail)
        assert not OutboxRow.objects.exists()


def present(issued: Issued) -> Token:
    return Token.objects.presented().get(pk=issued.token.pk)


def answer(world: World, issued: Issued) -> int:
    return client_of(issued).get(door(world)).status_code


def use(world: World, issued: Issued, begun: Signal, answered: Signal) -> Callable[[], list[str]]:
    """Call until one call has begun after the answer to the revocation; what each was told."""

    def run() -> list[str]:
        client, told = client_of(issued), []
        while True:
            is_last = answered.is_set()
            response = client.get(door(world))
            told.append(f"{response.status_code} {response.headers.get('X-Token-Denied', '')}".strip())
            begun.set()
            if is_last:
                return told

    return run


def revocation(issued: Issued, by: User, *, after: list[Signal], then: Signal) -> Callable[[], datetime]:
    """Revoke what was read before, while everybody is calling; when the answer was there."""
    row, who = present(issued), session(by)

    def run() -> datetime:
        try:
            for begun in after:
                assert begun.wait(START_DEADLINE)
            lifecycle.revoke(row, by=who)
            return now()
        finally:
            then.set()

    return run


def departure(place: Membership) -> Callable[[], None]:
    return lambda: membership.leave(place, by=operator)


def rotation(
    issued: Issued, by: User, overlap: timedelta, *, row: Token | None = None
) -> Callable[[], Issued]:
    """Rotate what is read now, or was read before."""
    return lambda: lifecycle.rotate(row or present(issued), overlap=overlap, by=session(by))


def moving(issued: Issued, by: User, verb: Callable[..., Token]) -> Callable[[], Token]:
    return lambda: verb(present(issued), by=session(by))


def editing(issued: Issued, by: User, change: Edit) -> Callable[[], Token]:
    return lambda: lifecycle.edit(present(issued), change=change, by=session(by))


def issuing(
    organization: Organization, owner: User | Fleet, by: User, name: str = ""
) -> Callable[[], Issued]:
    return lambda: issuance.issue(
        organization,
        owner=owner,
        name=name or f"raced-{next(_names)}",
        wish=READS_MACHINES,
        by=session(by),
    )
