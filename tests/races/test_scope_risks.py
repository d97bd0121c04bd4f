"""A scope gets riskier while tokens are issued, edited and ended: none is stored with less risk than it has."""

import itertools
import random
from collections.abc import Callable

import pytest

from fleets.organization_policy import policy_of
from fleets.scopes import Scope, parse_scopes
from tests.factories import (
    as_stored,
    make_approver,
    make_token,
    need_approvals,
    operator,
    raise_risks,
    session,
)
from tests.invariants import Trail, assert_hold
from tests.races.contest import codes, contest, winners
from tests.world import World
from tokens import issuance, lifecycle
from tokens.changes import Edit
from tokens.issuance import Issued, Wish
from tokens.models import Token
from tokens.risk import risk_of

pytestmark = [pytest.mark.race, pytest.mark.timeout(900)]

READ = Wish(scopes=parse_scopes(["machines:read"]))
MORE = Wish(scopes=parse_scopes(["machines:read", "machines:operate"]))
_names = itertools.count(1)


def test_a_token_is_as_risky_as_its_scopes_however_the_raise_meets_its_issue_and_its_edits(
    world: World, trail: Trail, some_rounds: int, chance: random.Random
) -> None:
    for number in range(some_rounds):
        old = [make_token(world.fleet, "machines:read") for _ in range(4)]
        held = make_token(world.fleet, "machines:read", "machines:operate")
        ending = make_token(world.fleet, "machines:operate")
        others: list[Callable[[], object]] = [
            issuing(world, MORE),
            issuing(world, MORE),
            *(editing(world, issued, Edit(wish=MORE)) for issued in old[:2]),
            editing(world, held, Edit(name=f"renamed-{number}")),
            editing(world, old[2], Edit(name=f"renamed-too-{number}")),
            ending_of(world, ending),
        ]
        raising = raising_to(world, "high" if number % 2 == 0 else None)
        chance.shuffle(others)

        outcomes = contest(raising, *others)

        assert codes(outcomes) <= {"conflict"}
        assert len(winners(outcomes[:1])) == 1, "the policy waits for them, and never loses to them"
        assert wrong(world) == []
        assert_hold(trail)


def test_what_is_issued_while_its_scope_is_raised_waits_or_was_issued_before(
    world: World, trail: Trail, some_rounds: int
) -> None:
    need_approvals_by_others(world)
    for _ in range(some_rounds):
        raise_risks(world.organization, **{"machines:operate": None})

        outcomes = contest(raising_to(world, "high"), *(issuing(world, MORE) for _ in range(6)))

        assert len(winners(outcomes)) == 7
        assert wrong(world) == []
        for issued in winners(outcomes[1:]):
            token = Token.objects.presented().get(pk=issued.token.pk)
            if token.status == "pending":
                assert token.open_request is not None
                assert (token.open_request.risk, token.open_request.needed) == (2, 1)
        assert_hold(trail)


def need_approvals_by_others(world: World) -> None:
    make_approver(world.organization)
    need_approvals(world.organization)


def wrong(world: World) -> list[tuple[str, int]]:
    """The tokens that have not ended of which another risk is stored than their scopes have."""
    rules = policy_of(as_stored(world.organization))
    tokens = Token.objects.not_ended().filter(organization=world.organization).prefetch_related("scope_rows")
    return [
        (token.name, token.risk)
        for token in tokens
        if token.risk != risk_of(map(Scope, token.scopes), rules, privilege_separation=True)
    ]


def issuing(world: World, wish: Wish) -> Callable[[], Issued]:
    name = f"raced-{next(_names)}"
    return lambda: issuance.issue(
        world.organization,
        owner=world.fleet,
        name=name,
        wish=wish,
        reason="raced",
        by=session(world.manager),
    )


def editing(world: World, issued: Issued, change: Edit) -> Callable[[], object]:
    token = Token.objects.presented().get(pk=issued.token.pk)
    return lambda: lifecycle.edit(token, change=change, reason="raced", by=session(world.manager))


def ending_of(world: World, issued: Issued) -> Callable[[], object]:
    token = Token.objects.presented().get(pk=issued.token.pk)
    return lambda: lifecycle.revoke(token, by=operator)


def raising_to(world: World, risk: str | None) -> Callable[[], None]:
    return lambda: raise_risks(world.organization, **{"machines:operate": risk})
