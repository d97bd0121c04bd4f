"""Everything that can happen to a list while all of it ends: what was there before works for nobody afterwards."""

import itertools
import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from audit.models import Event
from fleets import membership
from fleets.models import Membership, User
from fleets.scopes import Scope
from tests.factories import (
    make_entry,
    make_fleet,
    make_group,
    make_token,
    member,
    operator,
    owner_of,
    session,
)
from tests.invariants import Trail, assert_hold
from tests.races.contest import COMPETITORS, codes, contest, winners
from tests.world import World, client_of, door
from tokens import issuance, lifecycle, revocation
from tokens.issuance import Issued, Wish
from tokens.kinds import Owner
from tokens.lifecycle import Edit
from tokens.models import Token
from tokens.revocation import Batch

pytestmark = [pytest.mark.race, pytest.mark.timeout(900)]

KINDS = ("personal", "fleet", "group", "organization")
READS = Wish(scopes=frozenset({Scope.MACHINES_READ}))
# what a technical user needs the larger of its owner's roles for
WRITES = Wish(scopes=frozenset({Scope.MACHINES_READ, Scope.SNAPSHOTS_WRITE}))
_names = itertools.count(1)


def owner_of_kind(world: World, kind: str) -> Owner:
    """A new one, but for the organization, which has no list but one."""
    if kind == "personal":
        return member(world.organization, "admin")
    if kind == "fleet":
        return make_fleet(world.organization)
    if kind == "group":
        group = make_group(world.organization)
        make_entry(world.organization, world.fleet.path, "GroupAdmin", group=group)
        return group
    return world.organization


def by_whom(world: World, owner: Owner) -> User:
    return owner if isinstance(owner, User) else owner_of(world.organization)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_issued_afterwards_survives(
    world: World, trail: Trail, some_rounds: int, kind: str
) -> None:
    for _ in range(some_rounds):
        owner = owner_of_kind(world, kind)
        before = [make_token(owner, "machines:read") for _ in range(2)]

        outcomes = contest(
            revoking_all(world, owner), *(issuing(world, owner) for _ in range(COMPETITORS - 1))
        )

        assert codes(outcomes) == set()
        batch, *issued = outcomes
        ended = Event.objects.filter(action="token.revoked", data__batch=str(batch.id))
        assert ended.count() == batch.revoked >= len(before)
        assert {status(one) for one in before} == {"revoked"}
        last = ended.latest("id").pk
        for one in issued:
            born = Event.objects.get(action="token.issued", target_id=one.token.pk).pk
            assert (status(one) == "active") == (born > last), "it is younger than the end of the list"
        assert_hold(trail)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_is_done_to_the_list_meanwhile_keeps_one_of_it(
    world: World, trail: Trail, some_rounds: int, kind: str, chance: random.Random
) -> None:
    for _ in range(some_rounds):
        owner = owner_of_kind(world, kind)
        issued = [make_token(owner, "machines:read") for _ in range(3)]
        lifecycle.disable(present(issued[2]), by=operator)
        by = by_whom(world, owner)
        others: list[Callable[[], object]] = [
            rotation(issued[0], by, timedelta(0)),
            rotation(issued[1], by, timedelta(hours=1)),
            edit(issued[0], by, Edit(wish=WRITES)),
            edit(issued[1], by, Edit(description="edited", wish=WRITES)),
            moving(issued[1], by, lifecycle.disable),
            moving(issued[2], by, lifecycle.enable),
            moving(issued[0], by, lifecycle.revoke),
        ]
        chance.shuffle(others)

        outcomes = contest(revoking_all(world, owner), *others)

        assert isinstance(outcomes[0], Batch)
        assert codes(outcomes) <= {"conflict", "illegal_move"}
        assert {status(one) for one in issued} == {"revoked"}
        rotated = [outcome for outcome in outcomes if isinstance(outcome, Issued)]
        assert {client_of(one).get(door(world)).status_code for one in (*issued, *rotated)} == {401}
        revoked = Event.objects.filter(action="token.revoked", target_id__in=[one.token.pk for one in issued])
        assert revoked.count() == len(issued), "each ended once"
        assert_hold(trail)


def test_of_many_at_once_one_ends_the_list_and_the_others_find_nothing_left(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        owner = make_fleet(world.organization)
        for _ in range(3):
            make_token(owner, "machines:read")

        outcomes = contest(*(revoking_all(world, owner) for _ in range(COMPETITORS)))

        assert sorted(batch.revoked for batch in outcomes) == [0] * (COMPETITORS - 1) + [3]
        assert_hold(trail)


def test_a_departure_and_the_end_of_the_list_at_once_end_each_token_once(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        leaver = member(world.organization, "admin")
        place = Membership.objects.get(user=leaver)
        issued = [make_token(leaver, "machines:read") for _ in range(3)]

        outcomes = contest(
            lambda place=place: membership.leave(place, by=operator),  # type: ignore[misc]
            *(revoking_all(world, leaver, owner_of(world.organization)) for _ in range(COMPETITORS - 1)),
        )

        assert len(winners(outcomes)) == len(outcomes)
        assert {status(one) for one in issued} == {"revoked"}
        assert_hold(trail)


def status(issued: Issued) -> str:
    return Token.objects.values_list("status", flat=True).get(pk=issued.token.pk)


def present(issued: Issued) -> Token:
    return Token.objects.presented().get(pk=issued.token.pk)


def revoking_all(world: World, owner: Owner, by: User | None = None) -> Callable[[], Batch]:
    person = by or by_whom(world, owner)
    return lambda: revocation.revoke_all(
        world.organization, owner=owner, reason="They leaked", by=session(person)
    )


def issuing(world: World, owner: Owner) -> Callable[[], Issued]:
    person = by_whom(world, owner)
    return lambda: issuance.issue(
        world.organization, owner=owner, name=f"raced-{next(_names)}", wish=READS, by=session(person)
    )


def rotation(issued: Issued, by: User, overlap: timedelta) -> Callable[[], Issued]:
    return lambda: lifecycle.rotate(present(issued), overlap=overlap, by=session(by))


def moving(issued: Issued, by: User, verb: Callable[..., Token]) -> Callable[[], Token]:
    return lambda: verb(present(issued), by=session(by))


def edit(issued: Issued, by: User, change: Edit) -> Callable[[], Token]:
    return lambda: lifecycle.edit(present(issued), change=change, reason="because", by=session(by))
