"""Eight competitors over one way in: an invitation is accepted once, whatever else happens to it at the same time."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from fleets import invitations, membership
from fleets.access import PersonAccess
from fleets.models import Invitation, Membership, User
from tests.factories import operator
from tests.invariants import Trail, assert_hold
from tests.races.contest import COMPETITORS, codes, contest, winners
from tests.world import World

pytestmark = [pytest.mark.race, pytest.mark.timeout(900)]

_numbers = itertools.count(1)


def invite(world: World) -> Invitation:
    number = next(_numbers)
    email = f"invited-{number}@example.org"
    row = membership.invite(
        world.organization, username=f"invited-{number}", name="", email=email, role="member", by=operator
    )
    return row.user.invitations.get()


def read(invitation: Invitation) -> Invitation:
    return Invitation.objects.select_related("user", "organization").get(pk=invitation.pk)


def accepting(invitation: Invitation, password: str) -> Callable[[], str]:
    mine = read(invitation)

    def act() -> str:
        invitations.accept(mine, password=password, by=PersonAccess(mine.user))
        return password

    return act


def resending(invitation: Invitation) -> Callable[[], Any]:
    mine = read(invitation)
    return lambda: invitations.resend(mine, by=operator)


def withdrawing(invitation: Invitation) -> Callable[[], Any]:
    mine = read(invitation)
    return lambda: invitations.withdraw(mine, by=operator)


def leaving(invitation: Invitation) -> Callable[[], Any]:
    place = Membership.objects.select_related("user", "organization").get(user=invitation.user_id)
    return lambda: membership.leave(place, by=operator)


def test_of_all_who_accept_at_once_one_chooses_the_password(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        invitation = invite(world)

        outcomes = contest(
            *(accepting(invitation, f"a password of some length {n}") for n in range(COMPETITORS))
        )

        [chosen] = winners(outcomes)
        assert codes(outcomes) <= {"conflict", "illegal_move"}
        assert User.objects.get(pk=invitation.user_id).check_password(chosen)
        assert_hold(trail)


def test_who_leaves_leaves_whatever_happens_to_the_invitation(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        invitation = invite(world)

        outcomes = contest(
            leaving(invitation),
            accepting(invitation, "a password of some length"),
            *(resending(invitation) for _ in range(3)),
            *(withdrawing(invitation) for _ in range(2)),
        )

        assert outcomes[0] is None
        assert codes(outcomes) <= {"conflict", "illegal_move"}
        assert not Invitation.objects.waiting().filter(pk=invitation.pk).exists()
        ended = Invitation.objects.get(pk=invitation.pk)
        assert (ended.accepted_at is None) != (ended.withdrawn_at is None)
        assert User.objects.get(pk=invitation.user_id).has_usable_password() == bool(ended.accepted_at)
        assert_hold(trail)
