"""Notices before an expiry: 30, 7 and 1 days ahead, once each, to whoever answers for the token."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail as outgoing
from django.db import connection

from audit import deliveries
from audit.models import Event, OutboxRow
from config.edge.clock import now
from fleets import organizations
from fleets.models import User
from fleets.organization_policy import policy_of
from tests.factories import (
    application_owner,
    as_stored,
    events,
    last_event,
    make_application,
    make_entry,
    make_fleet,
    make_group,
    make_group_member,
    make_member,
    make_organization,
    make_technical_user,
    make_token,
    operator,
    session_client,
)
from tests.performance.test_query_counts import queries
from tests.tokens.conftest import World
from tokens import lifecycle, notices, sweeps, tasks
from tokens.issuance import Issued
from tokens.kinds import Owner
from tokens.models import ExpiryNotice, Token
from tokens.rules import effective_expiry

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def with_address(user: User, name: str) -> User:
    User.objects.filter(pk=user.pk).update(email=f"{name}@example.org")
    return user


def living_for(owner: Owner, days: float, **options: object) -> Issued:
    """A token of that lifetime, issued now."""
    issued = make_token(owner, "machines:read", **options)  # type: ignore[arg-type]
    token = Token.objects.get(pk=issued.token.pk)
    Token.objects.filter(pk=token.pk).update(expires_at=(token.approved_at or token.created_at) + days * DAY)
    return issued


def announced_after(days: float) -> int:
    with time_machine.travel(now() + days * DAY):
        return notices.announce_expiries()


def test_three_notices_each_once_however_often_the_sweep_runs(world: World) -> None:
    with_address(world.manager, "mia")
    issued = living_for(world.edge, 90)

    counts = [announced_after(days) for days in (59, 60.1, 60.2, 70, 83.1, 83.2, 88, 89.1, 89.2, 90.1, 91)]

    assert counts == [0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0]
    token = issued.token
    assert [row.days for row in ExpiryNotice.objects.filter(token=token).order_by("pk")] == [30, 7, 1]
    assert len(events(action="token.expiry_announced", target_id=token.pk)) == 3
    event = last_event(action="token.expiry_announced")
    assert (event.actor_id, event.data, event.target_label) == ("timers", {"days": 1}, token.name)
    assert [row.payload["days"] for row in OutboxRow.objects.filter(kind="mail").order_by("pk")] == [30, 7, 1]


@pytest.mark.parametrize(("days", "fitting"), [(0.5, []), (1, []), (5, [1]), (7, [1]), (30, [7, 1])])
def test_a_short_life_gets_the_notices_that_fit(days: float, fitting: list[int], world: World) -> None:
    living_for(world.edge, days)

    for passed in (0, days / 4, days / 2, days - 6, days - 0.9, days - 0.1):
        announced_after(max(passed, 0.001))

    assert [row.days for row in ExpiryNotice.objects.order_by("pk")] == fitting


def test_who_was_away_for_long_tells_the_nearest_only(world: World) -> None:
    living_for(world.edge, 90)

    assert announced_after(85) == 1
    assert [row.days for row in ExpiryNotice.objects.all()] == [7]


def test_an_extended_token_is_announced_anew(world: World) -> None:
    issued = living_for(world.edge, 90)
    assert announced_after(60.5) == 1
    token = Token.objects.get(pk=issued.token.pk)
    Token.objects.filter(pk=token.pk).update(expires_at=token.created_at + 120 * DAY)

    assert [announced_after(60.6), announced_after(90.5)] == [0, 1]


def test_what_is_revoked_expired_or_never_expires_is_not_announced(world: World) -> None:
    never, revoked = living_for(world.edge, 90), living_for(world.edge, 90)
    Token.objects.filter(pk=never.token.pk).update(expires_at=None)
    lifecycle.revoke(Token.objects.get(pk=revoked.token.pk), by=operator)
    Token.objects.filter(pk=living_for(world.edge, 90).token.pk).update(expired_at=now())

    assert announced_after(85) == 0
    tasks.announce_expiries()
    assert not ExpiryNotice.objects.exists()


def test_who_leads_the_owner_is_told_and_nobody_else(world: World) -> None:
    with_address(world.owner, "olga")
    with_address(world.auditor, "aude")
    with_address(world.manager, "mia")
    crew, billing = make_group(world.acme, "crew"), make_application(world.acme, "billing")
    make_entry(world.acme, world.edge.path, "GroupAdmin", group=crew)
    make_entry(
        world.acme, world.edge.path, "Viewer", user=(robot := make_technical_user(world.acme, "robot"))
    )
    with_address(make_group_member(crew, "admin").user, "gina")
    with_address(make_group_member(crew, "user").user, "ugo")
    with_address(application_owner(billing), "ada")
    noor = with_address(make_member(world.acme).user, "noor")
    owners: list[tuple[Owner, str]] = [
        (world.edge, "mia"),
        (crew, "gina"),
        (billing, "ada"),
        (noor, "noor"),
        (world.acme, "olga"),
        (robot, "olga"),
    ]
    names = {name: [] for _, name in owners}  # type: dict[str, list[str]]
    for owner, name in owners:
        names[name].append(living_for(owner, 90, organization=world.acme).token.name)

    with time_machine.travel(now() + 61 * DAY):
        assert notices.announce_expiries() == len(owners)
        deliveries.deliver()

    told: dict[str, list[str]] = {}
    for sent in outgoing.outbox:
        told.setdefault(sent.to[0].partition("@")[0], []).append(str(sent.body))
    assert {name: len(bodies) for name, bodies in told.items()} == {
        name: len(tokens) for name, tokens in names.items()
    }
    for name, tokens in names.items():
        assert all(token in "".join(told[name]) for token in tokens)


def test_a_list_that_expires_together_is_one_mail(world: World) -> None:
    with_address(world.manager, "mia")
    issued = [living_for(world.edge, 90) for _ in range(3)]
    with time_machine.travel(now() + 60.5 * DAY):
        notices.announce_expiries()
        Token.objects.filter(pk=issued[0].token.pk).update(expires_at=now() + 200 * DAY)
        deliveries.deliver()

    (sent,) = outgoing.outbox
    assert sent.subject == "2 tokens expire within 30 days"
    assert [token.token.name in str(sent.body) for token in issued] == [False, True, True]


def test_nothing_to_announce_is_two_questions(world: World) -> None:
    living_for(world.edge, 90)

    assert queries(notices.announce_expiries) == {"SELECT": 2}


# Where the organization's policy ends a token sooner


def longest(world: World, days: int | None) -> None:
    organizations.set_policy(world.acme, changes={"maximum_lifetime_days": days}, by=operator)


def without_end(owner: Owner) -> Issued:
    issued = make_token(owner, "machines:read")
    Token.objects.filter(pk=issued.token.pk).update(expires_at=None)
    return issued


def announced(issued: Issued) -> list[int]:
    return [row.days for row in ExpiryNotice.objects.filter(token=issued.token.pk).order_by("pk")]


@pytest.mark.parametrize("own_end", [None, 91, 200, 90.5])
def test_the_end_that_the_policy_brings_is_announced_and_not_the_later_one(
    world: World, own_end: float | None
) -> None:
    with_address(world.manager, "mia")
    issued = without_end(world.edge) if own_end is None else living_for(world.edge, own_end)
    longest(world, 90)

    counts = [
        announced_after(days) for days in (59.9, 60.1, 60.2, 83.1, 83.2, 89.1, 89.2, 90.1, 100, 180, 199.5)
    ]

    assert counts == [0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0]
    assert announced(issued) == [30, 7, 1]
    token = Token.objects.get(pk=issued.token.pk)
    assert token.approved_at is not None
    assert {row.expires_at for row in ExpiryNotice.objects.all()} == {token.approved_at + 90 * DAY}
    told = [event.data for event in Event.objects.filter(action="token.expiry_announced").order_by("id")]
    assert told == [{"days": days, "by_policy": True} for days in (30, 7, 1)]
    with time_machine.travel(now() + 90.2 * DAY):
        sweeps.record_expiries()
    assert events(action="token.expired", target_id=token.pk) == []
    assert Token.objects.get(pk=token.pk).status == "active"


def test_an_own_end_that_comes_first_is_announced_once(world: World) -> None:
    issued = living_for(world.edge, 80)
    longest(world, 90)

    counts = [announced_after(days) for days in (50.5, 60.5, 73.5, 79.5, 83.5, 89.5)]

    assert counts == [1, 0, 1, 1, 0, 0]
    assert announced(issued) == [30, 7, 1]
    assert last_event(action="token.expiry_announced").data == {"days": 1}


def test_a_policy_that_changes_brings_another_end_with_notices_of_its_own(world: World) -> None:
    issued = living_for(world.edge, 200)
    longest(world, 90)
    assert announced_after(60.5) == 1

    longest(world, 65)
    assert [announced_after(60.6), announced_after(60.7)] == [1, 0], "the nearest that fits, of the new end"
    longest(world, None)
    assert [announced_after(days) for days in (66, 89.5, 170.5, 193.5)] == [0, 0, 1, 1], "it lives again"
    assert announced(issued) == [30, 7, 30, 7]


def test_a_policy_counts_for_its_own_organization_and_for_what_lives_longer_than_the_notice(
    world: World,
) -> None:
    elsewhere = make_token(make_fleet(make_organization("globex"), "edge"), "machines:read")
    short = without_end(world.edge)
    Token.objects.filter(pk=elsewhere.token.pk).update(expires_at=None)
    longest(world, 7)

    assert [announced_after(days) for days in (0.01, 1, 6.1)] == [0, 0, 1]
    assert announced(short) == [1]
    assert announced(elsewhere) == []


@pytest.mark.parametrize("days", [0, 30.5, 59.5, 61, 82, 84, 89.5, 90.5, 110.5])
def test_the_query_finds_the_ends_that_the_policy_s_rules_give(world: World, days: float) -> None:
    lives = [1, 29, 31, 60, 89, 90, 91, 120]
    tokens = [living_for(world.edge, life).token.pk for life in lives] + [without_end(world.edge).token.pk]
    longest(world, 90)
    rules = policy_of(as_stored(world.acme))

    with time_machine.travel(now() + days * DAY):
        at = now()
        every: list[Any] = [token for parts in notices.due(at) for rows in parts for token in rows]
        found = {token.pk: (token.ends_at, token.span) for token in every}

    for token in Token.objects.filter(pk__in=tokens):
        end = effective_expiry(token, rules)
        assert end is not None
        assert token.approved_at is not None
        span = next((each for each in (1, 7, 30) if at < end <= at + each * DAY), None)
        fits = span is not None and end > token.approved_at + span * DAY
        assert found.get(token.pk) == ((end, span) if fits else None)


def test_a_maximum_is_two_indexed_questions_more_however_many_tokens_there_are(world: World) -> None:
    longest(world, 90)
    for _ in range(3):
        without_end(world.edge)

        assert queries(notices.announce_expiries) == {"SELECT": 4}

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
    plans = [rows.explain() for parts in notices.due(now()) for rows in parts]
    indexes = ("token_by_coming_expiry", "token_by_", "token_by_approval")
    assert [index in plan for index, plan in zip(indexes, plans, strict=True)] == [True] * 3, plans


def test_the_mail_names_the_end_that_counts_and_who_set_it(world: World) -> None:
    with_address(world.manager, "mia")
    longest(world, 90)
    issued, own = without_end(world.edge), living_for(world.edge, 89.9)
    with time_machine.travel(now() + 60.5 * DAY):
        notices.announce_expiries()
        deliveries.deliver()

    token = Token.objects.get(pk=issued.token.pk)
    assert token.approved_at is not None
    (sent,) = outgoing.outbox
    body = " ".join(str(sent.body).split())
    end = f"{token.approved_at + 90 * DAY:%Y-%m-%d %H:%M}"
    assert sent.subject == "2 tokens expire within 30 days"
    assert f"{token.name} expires at {end} UTC, as long as the organization lets tokens live:" in body
    assert f"{own.token.name} expires at" in body
    assert body.count("lets tokens live:") == 1
    assert "can't be extended" in body


def test_a_policy_that_was_loosened_meanwhile_leaves_nothing_to_tell(world: World) -> None:
    with_address(world.manager, "mia")
    without_end(world.edge)
    longest(world, 90)
    with time_machine.travel(now() + 60.5 * DAY):
        assert notices.announce_expiries() == 1
        longest(world, None)
        deliveries.deliver()

    assert outgoing.outbox == []


def test_the_timeline_says_that_the_policy_ends_it(world: World) -> None:
    issued = without_end(world.edge)
    longest(world, 90)
    announced_after(83.5)

    page = (
        session_client(world.manager).get(f"/admin/tokens/token/{issued.token.pk}/change/").content.decode()
    )

    assert "it expires within 7 days, as long as the organization lets tokens live" in page
