"""Home: what needs somebody now, and nothing that does not."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from config.edge.clock import now
from fleets import organizations
from fleets.models import User
from tests.factories import (
    as_stored,
    make_entry,
    make_member,
    make_organization,
    make_person,
    make_superuser,
    make_token,
    member,
    operator,
    session,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import issue, outcome, wish
from tokens.models import Token

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def home(user: User) -> str:
    client = Client()
    client.force_login(user)
    response = client.get("/admin/")
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_who_has_nothing_to_do_is_told_nothing(world: World) -> None:
    for user in (world.owner, world.auditor, world.manager):
        assert "What needs you now" not in home(user)


def test_who_may_decide_sees_how_many_wait_and_the_newest(world: World) -> None:
    decider = member(world.acme, "approver")
    organizations.set_policy(world.acme, changes={"approvals_needed": {"high": 1}}, by=operator)
    names = [issue(session(world.manager), world.edge, wish("commands:execute")).token.name for _ in range(4)]

    shown = home(decider)

    assert "4 requests wait for your decision." in shown
    assert [name in shown for name in names] == [False, True, True, True]
    assert "/admin/approvals/approvalrequest/" in shown
    assert "4 requests wait" in home(world.owner)
    for user in (world.manager, world.auditor, world.admin):
        assert "your decision" not in home(user)


def test_my_tokens_that_end_within_a_week_are_named_and_no_others(world: World) -> None:
    mine = [make_token(world.auditor, "audit:read", organization=world.acme).token for _ in range(4)]
    theirs = make_token(world.owner, "audit:read", organization=world.acme).token
    for token, days in ((mine[0], 6), (mine[1], 8), (mine[2], -1), (theirs, 1)):
        Token.objects.filter(pk=token.pk).update(expires_at=now() + days * DAY)
    Token.objects.filter(pk=mine[3].pk).update(expires_at=now() + DAY, status="disabled")

    shown = home(world.auditor)

    assert "1 token of yours ends within 7 days." in shown
    assert [token.name in shown for token in (*mine, theirs)] == [True, False, False, False, False]


def test_my_tokens_that_the_policy_ends_within_a_week_are_named_with_that_end(world: World) -> None:
    other = make_organization("other")
    make_member(other, "auditor", user=world.auditor)
    limited, also_limited, endless, own_end, ended, waiting = (
        make_token(world.auditor, "audit:read", organization=world.acme).token for _ in range(6)
    )
    elsewhere = make_token(world.auditor, "audit:read", organization=other).token
    changes: list[tuple[Token, dict[str, Any]]] = [
        (limited, {"approved_at": now() - 27 * DAY}),
        (also_limited, {"approved_at": now() - 22 * DAY}),  # in eight days
        (endless, {"approved_at": now() - 26 * DAY, "expires_at": None}),
        (own_end, {"approved_at": now() - 25 * DAY, "expires_at": now() + 2 * DAY}),
        (ended, {"approved_at": now() - 30 * DAY}),
        (waiting, {"approved_at": None, "status": "pending"}),
        (elsewhere, {"approved_at": now() - 27 * DAY}),
    ]
    for token, fields in changes:
        Token.objects.filter(pk=token.pk).update(**fields)
    assert "within 7 days" not in home(world.owner)
    assert "1 token of yours ends within 7 days." in home(world.auditor), "by itself"

    lay_down = {"maximum_lifetime_days": 30}
    organizations.set_policy(as_stored(world.acme), changes=lay_down, by=operator)

    shown = home(world.auditor)
    assert "3 tokens of yours end within 7 days." in shown
    named = [shown.find(f"{token.name}, ") for token in (own_end, limited, endless)]
    assert -1 not in named
    assert named == sorted(named), "the first to end comes first"
    for token in (limited, endless):
        end = Token.objects.get(pk=token.pk).approved_at
        assert end is not None
        assert f"{token.name}, {end + 30 * DAY:%Y-%m-%d %H:%M} UTC by the organization’s policy" in shown
    for token in (also_limited, ended, waiting, elsewhere):
        assert f"{token.name}, " not in shown


def test_approvals_are_offered_to_owners_once_somebody_else_could_give_them(world: World) -> None:
    link = f"/admin/fleets/organization/{world.acme.pk}/policy/"
    assert link not in home(world.owner)
    decider = member(world.acme, "approver")

    assert link in home(world.owner)
    for user in (decider, world.admin, world.manager):
        assert link not in home(user)
    organizations.set_policy(world.acme, changes={"approvals_needed": {"high": 1}}, by=operator)
    assert link not in home(world.owner)


def suspended(world: World) -> None:
    make_member(world.acme, "approver", user=make_person())
    world.acme.memberships.filter(role="approver").update(suspended_at=now())


def denied(world: World) -> None:
    make_entry(world.acme, "/", "NoAccess", user=member(world.acme, "approver"))


def not_named_by_the_policy(world: World) -> None:
    member(world.acme, "approver")
    organizations.set_policy(world.acme, changes={"deciders": ["owner"]}, by=operator)


def named_by_the_policy(world: World) -> None:
    not_named_by_the_policy(world)
    member(world.acme, "owner")


SECOND_DECIDERS: dict[str, tuple[Callable[[World], object], bool]] = {
    "nobody": (lambda _: None, False),
    "an approver": (lambda world: member(world.acme, "approver"), True),
    "an inactive one": (
        lambda world: make_member(world.acme, "approver", user=make_person(is_active=False)),
        False,
    ),
    "a suspended one": (suspended, False),
    "one who is denied it": (denied, False),
    "one whom the policy does not name": (not_named_by_the_policy, False),
    "one whom the policy names": (named_by_the_policy, True),
    "a superuser who is a member": (lambda world: make_member(world.acme, user=make_superuser()), True),
    "a superuser who is none": (lambda _: make_superuser(), False),
}


@pytest.mark.parametrize("second", SECOND_DECIDERS)
def test_approvals_are_offered_exactly_where_the_policy_could_ask_for_one(world: World, second: str) -> None:
    come, is_offered = SECOND_DECIDERS[second]
    come(world)

    assert ("let the policy ask for one" in home(world.owner)) == is_offered
    asked = outcome(
        organizations.set_policy,
        world.acme,
        changes={"approvals_needed": {"high": 1}},
        by=session(world.owner),
    )
    assert asked == ("done" if is_offered else "approvers_missing")


def test_home_takes_few_queries_however_much_there_is(world: World) -> None:
    member(world.acme, "approver")
    organizations.set_policy(world.acme, changes={"approvals_needed": {"medium": 1}}, by=operator)
    for number in range(3):
        issue(session(world.manager), world.edge, wish("machines:operate"))
        Token.objects.filter(
            pk=make_token(world.owner, "audit:read", organization=world.acme).token.pk
        ).update(expires_at=now() + DAY)
        if not number:
            client = Client()
            client.force_login(world.owner)
            client.get("/admin/")
        with CaptureQueriesContext(connection) as captured:
            shown = client.get("/admin/").content.decode()
        assert ("your decision" in shown, "within 7 days" in shown) == (True, True)
        assert len(captured) <= 15, [query["sql"][:90] for query in captured]
