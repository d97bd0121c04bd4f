"""Emergency access over HTTP, on the token's page and on the operator's command line."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client

from config.edge.clock import now
from fleets.models import SignedInSession, User
from tests.factories import (
    API,
    events,
    make_member,
    make_superuser,
    make_token,
    session_client,
    token_client,
)
from tests.pages import browser
from tests.performance.test_query_counts import queries
from tests.tokens.conftest import World
from tokens.issuance import Issued
from tokens.models import EmergencyAccess, Token

pytestmark = pytest.mark.django_db
WHY = "The uplink is down."
HOUR = timedelta(hours=1)


@pytest.fixture
def root() -> User:
    return make_superuser("root")


@pytest.fixture
def issued(world: World) -> Issued:
    issued = make_token(world.edge, "machines:read")
    Token.objects.filter(pk=issued.token.pk).update(allowed_networks=["10.0.0.0/8"])
    return issued


def at(issued: Issued, then: str = "") -> str:
    return f"{API}tokens/{issued.token.pk}/emergency-access/{then}"


def page(issued: Issued, name: str) -> str:
    return f"/admin/tokens/token/{issued.token.pk}/{name}/"


def use(issued: Issued) -> int:
    query = {"organization": "acme", "scope": "machines:read", "path": "/fleets/edge"}
    return token_client(issued).get("/gate/verify", query).status_code


def grow_stale() -> None:
    SignedInSession.objects.update(checked_at=now() - timedelta(minutes=11))


def test_a_window_over_http_from_its_start_to_its_receipt(issued: Issued, root: User, world: World) -> None:
    client, auditor = session_client(root), session_client(world.auditor)
    assert (use(issued), client.get(at(issued)).json()["results"]) == (403, [])

    started = client.post(at(issued), {"hours": 2, "reason": WHY})
    token = client.get(f"{API}tokens/{issued.token.pk}/").json()
    used = [use(issued) for _ in range(3)]
    second = client.post(at(issued), {"hours": 1, "reason": WHY})
    window = auditor.get(at(issued)).json()["results"]
    stopped = client.delete(at(issued), {"reason": "Over."})
    again = client.delete(at(issued))

    assert (started.status_code, started.json()["hours"], started.json()["is_open"]) == (201, 2, True)
    assert started["ETag"] == f'"{issued.token.version + 1}"'
    assert token["emergency_access"]["ends_at"] == started.json()["ends_at"]
    assert used == [204, 204, 204]
    assert (second.status_code, second.json()["code"]) == (409, "emergency_open")
    assert [(row["id"], row["calls"], row["started_by"]) for row in window] == [
        (started.json()["id"], 3, "root")
    ]
    assert (stopped.status_code, again.status_code, use(issued)) == (204, 204, 403)
    assert events(action="emergency.ended") == ["emergency.ended allowed"]
    (ended,) = client.get(at(issued)).json()["results"]
    assert (ended["is_open"], ended["ended_by"], ended["calls"]) == (False, "root", 3)
    assert client.get(f"{API}tokens/{issued.token.pk}/").json()["emergency_access"] is None
    first = auditor.get(at(issued, f"{ended['id']}/calls/"), {"limit": 2}).json()
    rest = auditor.get(first["next"]).json()
    assert [len(first["results"]), len(rest["results"])] == [2, 1]
    assert {call["data"]["emergency"] for call in first["results"] + rest["results"]} == {ended["id"]}


def test_a_start_that_is_sent_again_is_the_answer_of_then_and_starts_nothing(
    issued: Issued, root: User
) -> None:
    client, key = session_client(root), {"Idempotency-Key": "night"}
    first = client.post(at(issued), {"hours": 1, "reason": WHY}, headers=key)
    client.delete(at(issued))

    again = client.post(at(issued), {"hours": 1, "reason": WHY}, headers=key)

    assert (again.status_code, again.json()) == (201, first.json())
    assert again.json()["is_open"], "as it was then"
    assert [row["is_open"] for row in client.get(at(issued)).json()["results"]] == [False]
    assert use(issued) == 403
    assert events(action="emergency.started") == ["emergency.started allowed"]


@pytest.mark.parametrize(
    "body",
    [
        {"hours": hours, "reason": WHY}
        for hours in (0, 9, -1, 0.99, 8.01, 1.0, "8h", "1", True, None, 10**9, [1])
    ]
    + [{"hours": 1}, {"hours": 1, "reason": " "}, {"hours": 1, "reason": "\u200b"}, {"reason": WHY}]
    + [{"hours": 1, "reason": WHY, "ends_at": "2030-01-01T00:00:00Z"}],
)
def test_a_body_that_can_t_be_meant_is_400(body: dict[str, Any], issued: Issued, root: User) -> None:
    answer = session_client(root).post(at(issued), body)

    assert answer.status_code == 400, answer.content
    assert not EmergencyAccess.objects.exists()


def test_nan_and_what_is_too_long_are_400_too(issued: Issued, root: User) -> None:
    client = session_client(root)
    for hours in ("NaN", "1e9", "Infinity", "8.0"):
        text = f'{{"hours": {hours}, "reason": "{WHY}"}}'
        assert client.post(at(issued), text, content_type="application/json").status_code == 400
    assert client.post(at(issued), {"hours": 1, "reason": "a" * 1001}).status_code == 400


def test_who_is_refused_and_who_is_told_that_there_is_nothing(
    issued: Issued, root: User, world: World, other: Any
) -> None:
    make_member(world.acme, "owner", user=root)
    of_root = make_token(root, "tokens:manage", "tokens:read", organization=world.acme)
    body = {"hours": 1, "reason": WHY}
    for client in (session_client(world.owner), session_client(world.manager), token_client(of_root)):
        assert client.post(at(issued), body).status_code == 403
        assert client.delete(at(issued)).status_code == 403
    theirs = session_client(make_member(other.organization, "admin").user)
    assert [theirs.post(at(issued), body).status_code, theirs.get(at(issued)).status_code] == [404, 404]
    grow_stale()
    stale = session_client(root)
    grow_stale()

    answer = stale.post(at(issued), body)

    assert (answer.status_code, answer.json()["code"]) == (403, "fresh_check_needed")
    assert stale.delete(at(issued)).status_code == 204
    assert not EmergencyAccess.objects.exists()
    mine, foreign = make_token(world.edge, "machines:read"), make_token(other, "machines:read")
    session_client(root).post(at(foreign), body)
    window = EmergencyAccess.objects.get()
    assert session_client(root).get(at(mine, f"{window.pk}/calls/")).status_code == 404
    assert session_client(root).get(at(mine, "x/calls/")).status_code == 404


def test_a_fleet_s_token_learns_of_windows_and_not_of_people(
    issued: Issued, root: User, world: World
) -> None:
    session_client(root).post(at(issued), {"hours": 1, "reason": WHY})
    reader = token_client(make_token(world.edge, "machines:read"))

    assert reader.get(at(issued)).status_code == 403
    admin = token_client(make_token(world.admin, "tokens:read", organization=world.acme))
    assert [row["started_by"] for row in admin.get(at(issued)).json()["results"]] == ["root"]


def test_the_list_asks_the_database_as_often_for_three_windows_as_for_one(issued: Issued, root: User) -> None:
    def listed() -> dict[str, int]:
        return queries(lambda: session_client(root).get(at(issued)))

    session_client(root).post(at(issued), {"hours": 1, "reason": WHY})
    listed()
    one = listed()
    for _ in range(2):
        session_client(root).delete(at(issued))
        session_client(root).post(at(issued), {"hours": 1, "reason": WHY})

    assert EmergencyAccess.objects.count() == 3
    assert listed() == one


def test_the_page_of_a_token_has_a_danger_zone_for_superusers(
    issued: Issued, root: User, world: World
) -> None:
    client = browser(root)
    grow_stale()
    start, stop = page(issued, "start-emergency"), page(issued, "stop-emergency")

    asked = client.get(start)
    unseen = client.post(start, {"hours": "1", "reason": WHY})
    assert (asked.status_code, asked["Location"]) == (302, f"/admin/check/?next={start.replace('/', '%2F')}")
    assert unseen["Location"] == asked["Location"]
    assert not EmergencyAccess.objects.exists()
    SignedInSession.objects.update(checked_at=now())
    form = client.get(start)
    too_long = client.post(start, {"hours": "9", "reason": WHY})
    no_reason = client.post(start, {"hours": "1", "reason": " "})
    done = client.post(start, {"hours": "3", "reason": WHY}, follow=True)

    assert "Its scopes, its rate and its expiry hold as before." in form.content.decode()
    assert (too_long.status_code, no_reason.status_code) == (200, 200)
    assert EmergencyAccess.objects.get().hours == 3
    text = done.content.decode()
    assert "Emergency access is open until" in text
    assert stop in text
    assert start not in text
    use(issued)
    told = client.get(page(issued, "change")).content.decode()
    assert "machines:read" in told.partition("Calls that needed the latest window")[2]
    grow_stale()
    assert "Emergency access has ended." in client.post(stop, {}, follow=True).content.decode()
    assert EmergencyAccess.objects.get().ended_by == root

    theirs = Client()
    theirs.force_login(world.owner)
    assert start not in theirs.get(page(issued, "change")).content.decode()
    assert theirs.post(start, {"hours": "1", "reason": WHY}).status_code == 403
    assert theirs.get(start).status_code == 403


def test_the_pages_say_when_a_second_window_is_not_to_be(issued: Issued, root: User) -> None:
    client = browser(root)
    client.post(page(issued, "start-emergency"), {"hours": "8", "reason": WHY})

    answer = client.post(page(issued, "start-emergency"), {"hours": "1", "reason": WHY})

    assert answer.status_code == 409
    assert "Emergency access is open already" in answer.content.decode()


def command(*words: str) -> Any:
    out = StringIO()
    call_command("emergency", *words, "--format", "json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def test_the_operator_starts_and_stops_it_for_a_superuser(issued: Issued, root: User, world: World) -> None:
    key = issued.token.pk
    started = command("start", key, "--hours", "8", "--reason", WHY, "--as", "ROOT")
    used = use(issued)
    stopped = command("stop", key, "--reason", "Over.", "--as", "root")
    again = command("stop", key, "--reason", "Over.", "--as", "root")

    assert (started["hours"], started["started_by"], started["is_open"]) == (8, "root", True)
    assert (used, stopped["calls"], stopped["ended_by"], again) == (204, 1, "root", None)
    refused = [
        (key, "0", WHY, "root"),
        (key, "9", WHY, "root"),
        (key, "1.5", WHY, "root"),
        (key, "1", " ", "root"),
        (key, "1", WHY, world.owner.username),
        (key, "1", WHY, "nobody"),
        ("x" * 16, "1", WHY, "root"),
        ("\x00", "1", WHY, "root"),
    ]
    for token, hours, reason, person in refused:
        with pytest.raises(CommandError):
            command("start", token, "--hours", hours, "--reason", reason, "--as", person)
    assert EmergencyAccess.objects.count() == 1


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("x" * 5000, "reason: Ensure this field has no more than 1000 characters."),
        ("Fire\x00", "reason: Control characters are not allowed."),
        ("Fire\x1b[8m", "reason: Control characters are not allowed."),
        ("\u202eFire", "reason: Control characters are not allowed."),
        ("Fire\udcff", "reason: Control characters are not allowed."),  # a byte that is no UTF-8
    ],
)
def test_a_reason_that_the_api_refuses_the_operator_is_refused_in_the_same_words(
    reason: str, says: str, issued: Issued, root: User
) -> None:
    key = issued.token.pk
    with pytest.raises(CommandError) as refused:
        command("start", key, "--hours", "1", "--reason", reason, "--as", "root")
    assert (str(refused.value), EmergencyAccess.objects.count()) == (says, 0)
    command("start", key, "--hours", "1", "--reason", WHY, "--as", "root")

    with pytest.raises(CommandError) as refused:
        command("stop", key, "--reason", reason, "--as", "root")

    assert str(refused.value) == says
    assert EmergencyAccess.objects.get().ended_at is None


def test_the_operator_may_write_several_lines_and_stop_without_a_word(issued: Issued, root: User) -> None:
    key = issued.token.pk
    command("start", key, "--hours", "1", "--reason", f" {WHY}\nStill. ", "--as", "root")
    command("stop", key, "--as", "root")

    assert EmergencyAccess.objects.get().reason == f"{WHY}\nStill."


def test_the_end_is_exact_to_the_instant_and_waits_for_nobody(issued: Issued, root: User) -> None:
    session_client(root).post(at(issued), {"hours": 1, "reason": WHY})
    ends_at = EmergencyAccess.objects.get().ends_at
    EmergencyAccess.objects.update(ended_at=None)

    for moment, expected in [(-1, 204), (0, 403), (1, 403)]:
        with time_machine.travel(ends_at + timedelta(microseconds=moment), tick=False):
            assert (moment, use(issued)) == (moment, expected)
    assert EmergencyAccess.objects.get().ended_at is None, "nobody recorded it, and nobody needed to"
