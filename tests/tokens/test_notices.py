"""Notices before an expiry: 30, 7 and 1 days ahead, once each, to whoever answers for the token."""

from datetime import timedelta

import pytest
import time_machine
from django.core import mail as outgoing

from audit import deliveries
from audit.models import OutboxRow
from config.edge.clock import now
from fleets.models import User
from tests.factories import (
    application_owner,
    events,
    last_event,
    make_application,
    make_entry,
    make_group,
    make_group_member,
    make_member,
    make_technical_user,
    make_token,
    operator,
)
from tests.performance.test_query_counts import queries
from tests.tokens.conftest import World
from tokens import lifecycle, notices, tasks
from tokens.issuance import Issued
from tokens.kinds import Owner
from tokens.models import ExpiryNotice, Token

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


def test_nothing_to_announce_is_three_questions(world: World) -> None:
    living_for(world.edge, 90)

    assert queries(notices.announce_expiries) == {"SELECT": 3}
