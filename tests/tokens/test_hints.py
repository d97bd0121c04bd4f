"""Posture: which tokens somebody should look at."""

from datetime import timedelta
from typing import Any

import pytest

from config.edge import clock
from config.edge.clock import now
from fleets import machines as estate
from fleets import organizations
from tests.factories import make_token, operator
from tests.tokens.conftest import World
from tests.tokens.issuing import present, with_status
from tokens.admin.words import HINTS
from tokens.hints import Hint, hints_of
from tokens.models import Token
from tokens.rules import Violation

DAY = timedelta(days=1)


def test_each_hint_has_its_words_and_each_finding_its_hint() -> None:
    widened = {f"widened_by_{by}" for by in Token.Widening.values}
    assert HINTS.keys() == set(Hint)
    assert {*Violation, *widened} <= set(Hint)


@pytest.mark.parametrize(
    ("fields", "later", "hints"),
    [
        ({}, timedelta(0), []),
        ({"expires_at": None}, timedelta(0), ["never_expires"]),
        ({"rotate_every": 30 * DAY}, 29 * DAY, []),
        ({"rotate_every": 30 * DAY}, 30 * DAY, ["rotation_overdue"]),
        ({"rotate_every": 30 * DAY, "rotated_at": now() + 10 * DAY}, 30 * DAY, []),
        ({}, 89 * DAY, []),
        ({}, 90 * DAY, ["unused_90_days"]),
        ({"last_used_at": now() + 10 * DAY}, 90 * DAY, []),
        ({"last_used_at": now() - 90 * DAY}, timedelta(0), ["unused_90_days"]),
        (
            {"expires_at": None, "rotate_every": DAY},
            90 * DAY,
            ["never_expires", "rotation_overdue", "unused_90_days"],
        ),
    ],
)
def test_a_hint_names_what_is_odd_about_a_token(
    world: World, fields: dict[str, Any], later: timedelta, hints: list[str]
) -> None:
    issued = make_token(world.edge, "machines:read")
    Token.objects.filter(pk=issued.token.pk).update(**fields)

    with clock.at(now() + later):
        assert hints_of(present(issued)) == hints


def test_a_machine_that_is_gone_is_a_hint(world: World) -> None:
    issued = make_token(world.edge, "machines:read", machines=[world.edge_1, world.edge_2])
    assert hints_of(present(issued)) == []

    estate.deregister(world.edge_1, by=operator)
    assert hints_of(present(issued)) == ["machine_gone"]

    moved = make_token(world.edge, "machines:read", machines=[world.edge_2])
    estate.move(world.edge_2, fleet=world.core, by=operator)
    assert hints_of(present(moved)) == ["machine_gone"]


@pytest.mark.parametrize("status", ["revoked", "rejected"])
def test_what_has_ended_needs_no_look(world: World, status: str) -> None:
    issued = with_status(world.edge, status)
    Token.objects.filter(pk=issued.token.pk).update(expires_at=None, created_at=now() - 100 * DAY)

    assert hints_of(present(issued)) == []


def test_a_token_that_waits_for_its_lifetime_does_expire(world: World) -> None:
    issued = with_status(world.edge, "pending")
    Token.objects.filter(pk=issued.token.pk).update(expires_at=None, lifetime=DAY)

    assert hints_of(present(issued)) == []


def test_who_works_from_everywhere_is_told_so_where_the_risk_is_worth_it(world: World) -> None:
    low, medium = make_token(world.edge, "machines:read"), make_token(world.edge, "machines:operate")
    assert hints_of(present(low)) == []
    assert hints_of(present(medium)) == ["no_network_limit"]

    for networks, hints in ((["10.0.0.0/8"], []), (["10.0.0.0/8", "::/0"], ["open_network"])):
        Token.objects.filter(pk=medium.token.pk).update(allowed_networks=networks)
        assert hints_of(present(medium)) == hints


def test_what_the_policy_does_not_allow_is_a_hint_and_not_said_twice(world: World) -> None:
    theirs = make_token(world.auditor, "audit:read", organization=world.acme)
    Token.objects.filter(pk=theirs.token.pk).update(expires_at=None)
    assert hints_of(present(theirs)) == ["never_expires", "no_network_limit"]

    changes = {
        "allowed_kinds": {"auditor": []},
        "scope_ceilings": {"auditor": []},
        "never_allowed": False,
        "networks_required": {"medium": True},
    }
    organizations.set_policy(world.acme, changes=changes, by=operator)
    assert hints_of(present(theirs)) == [
        "kind_not_allowed",
        "scope_above_ceiling",
        "never_not_allowed",
        "network_required",
    ]
    organizations.set_policy(world.acme, changes={"maximum_lifetime_days": 30}, by=operator)
    assert hints_of(present(theirs))[2] == "lifetime_too_long"
    assert set(hints_of(present(theirs))) <= HINTS.keys()


def test_hints_of_a_row_read_alone_are_those_of_a_list(world: World, django_assert_num_queries: Any) -> None:
    theirs = make_token(world.auditor, "machines:read", organization=world.acme)
    organizations.set_policy(world.acme, changes={"allowed_kinds": {"auditor": []}}, by=operator)
    row = present(theirs)
    with django_assert_num_queries(0):
        assert hints_of(row) == ["kind_not_allowed"]

    assert hints_of(Token.objects.get(pk=theirs.token.pk)) == ["kind_not_allowed"]
