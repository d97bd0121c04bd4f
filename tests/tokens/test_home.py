"""Home: what needs somebody now, and nothing that does not."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from config.edge.clock import now
from fleets import organizations
from fleets.models import User
from tests.factories import make_member, make_person, make_token, member, operator, session
from tests.tokens.conftest import World
from tests.tokens.issuing import issue, wish
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


def test_approvals_are_offered_to_owners_once_somebody_else_could_give_them(world: World) -> None:
    link = f"/admin/fleets/organization/{world.acme.pk}/policy/"
    assert link not in home(world.owner)
    decider = member(world.acme, "approver")

    assert link in home(world.owner)
    for user in (decider, world.admin, world.manager):
        assert link not in home(user)
    organizations.set_policy(world.acme, changes={"approvals_needed": {"high": 1}}, by=operator)
    assert link not in home(world.owner)


def test_somebody_who_could_not_decide_is_no_reason_for_the_offer(world: World) -> None:
    make_member(world.acme, "approver", user=make_person(is_active=False))

    assert "What needs you now" not in home(world.owner)


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
