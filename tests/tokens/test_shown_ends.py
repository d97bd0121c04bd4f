"""The end of a token that pages show is the one that counts: its own expiry, or the policy's where that is sooner."""

from datetime import timedelta
from typing import Any

import pytest

from config.edge.clock import now
from fleets import organizations
from tests.factories import as_stored, make_token, operator
from tests.pages import browser
from tests.performance.test_query_counts import queries
from tests.tokens.conftest import World
from tests.tokens.issuing import present
from tokens.admin import words
from tokens.admin.marks import end_mark
from tokens.models import Token

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
LIST = "/admin/tokens/token/"


def lay_down(world: World, **changes: Any) -> None:
    organizations.set_policy(as_stored(world.acme), changes=changes, by=operator)


@pytest.mark.parametrize(
    ("expires", "lived", "shown", "own"),
    [
        (90, 0, "{policy} UTC (soon, by policy)", "{own} UTC"),
        (None, 0, "{policy} UTC (soon, by policy)", "Never"),
        (90, 4, "{policy} UTC (past, by policy)", "{own} UTC"),
        (2, 0, "{own} UTC (soon)", ""),
        (2, -90, "{own} UTC (soon)", ""),
    ],
)
def test_the_list_and_the_page_show_the_end_that_counts_and_the_page_its_own_too(
    world: World, expires: int | None, lived: int, shown: str, own: str
) -> None:
    token = make_token(world.edge, "machines:read").token
    own_end = None if expires is None else now() + expires * DAY
    approved_at = now() - lived * DAY
    Token.objects.filter(pk=token.pk).update(expires_at=own_end, approved_at=approved_at)
    ends = {"policy": words.day(approved_at + 3 * DAY), "own": words.day(own_end) if own_end else ""}
    client = browser(world.manager)
    before = "Never" if own_end is None else words.day(own_end)
    assert before in client.get(LIST).content.decode()

    lay_down(world, maximum_lifetime_days=3)

    listed = client.get(LIST).content.decode()
    page = client.get(f"{LIST}{token.pk}/change/").content.decode()
    assert f">{shown.format(**ends)}</span>" in listed
    assert f">{shown.format(**ends)}</span>" in page
    assert "its own expiry" not in listed
    assert ("its own expiry: " in page) == bool(own)
    assert f"its own expiry: {own.format(**ends)}" in page or not own


def test_what_waits_or_is_limited_by_nobody_shows_its_own_end(world: World) -> None:
    waiting, active = (make_token(world.edge, "machines:read") for _ in range(2))
    Token.objects.filter(pk=waiting.token.pk).update(
        status="pending", approved_at=None, expires_at=None, lifetime=90 * DAY
    )
    end = present(active).expires_at
    assert end is not None
    assert end_mark(present(active)) == f'<span class="expiry ">{words.day(end)} UTC</span>'

    lay_down(world, maximum_lifetime_days=30)

    assert end_mark(present(waiting)) == '<span class="expiry ">90 days after its approval</span>'


def test_what_has_ended_shows_no_end_that_the_policy_would_bring(world: World) -> None:
    revoked = make_token(world.edge, "machines:read").token
    Token.objects.filter(pk=revoked.pk).update(status="revoked", status_reason="by_hand", expires_at=None)

    lay_down(world, maximum_lifetime_days=3)

    row = Token.objects.presented().get(pk=revoked.pk)
    assert end_mark(row) == '<span class="expiry ">Never</span>'


def test_the_list_asks_no_more_for_ends_by_the_policy(world: World) -> None:
    client = browser(world.manager)
    make_token(world.edge, "machines:read")
    client.get(LIST)
    free = queries(lambda: client.get(LIST))

    lay_down(world, maximum_lifetime_days=3)
    for _ in range(3):
        make_token(world.edge, "machines:read")

    assert queries(lambda: client.get(LIST)) == free
