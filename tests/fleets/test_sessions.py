"""Where people are signed in: listed, ended from elsewhere, and refused from then on in the admin and the API alike."""

import hashlib
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from config.edge.clock import at, now
from config.edge.refusals import IllegalMove, Refused
from fleets import sessions, tasks
from fleets.access import PersonAccess
from fleets.models import Organization, SignedInSession, User
from tests.attacks import needles
from tests.factories import (
    API,
    PASSWORD,
    events,
    fleet_member,
    make_fleet,
    make_organization,
    make_token,
    member,
    session_client,
)

pytestmark = pytest.mark.django_db
SESSIONS = "/admin/sessions/"
LINUX, PHONE = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "Mozilla/5.0 (iPhone) Safari/604.1"


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


@pytest.fixture
def noor(acme: Organization) -> User:
    user = member(acme)
    user.set_password(PASSWORD)
    user.save()
    return user


def sign_in(user: User, agent: str = LINUX, address: str = "192.0.2.7") -> Client:
    """A browser with the cookie of a real sign-in."""
    client = Client(REMOTE_ADDR=address, headers={"user-agent": agent})
    answer = client.post("/admin/login/", {"username": user.username, "password": PASSWORD})
    assert answer.status_code == 302
    return client


def is_in(client: Client) -> tuple[bool, bool]:
    """In the admin, and in the API."""
    return client.get("/admin/").status_code == 200, client.get(f"{API}whoami/").status_code == 200


def row_of(client: Client) -> SignedInSession:
    key = client.cookies["sessionid"].value
    return SignedInSession.objects.get(digest=hashlib.sha256(key.encode()).hexdigest())


def test_signing_in_and_out_leaves_a_row_that_knows_the_key_by_digest_alone(noor: User) -> None:
    client = sign_in(noor, LINUX)
    row = row_of(client)

    assert (row.user, row.address, row.user_agent, row.ended_at) == (noor, "192.0.2.7", LINUX, None)
    key = client.cookies["sessionid"].value.encode()
    holding = {name for name, content in needles.database().items() if key in content}
    assert {name for name in holding if name.startswith("table")} == {"table django_session"}

    assert is_in(client) == (True, True)
    client.post("/admin/logout/")
    row.refresh_from_db()
    assert row.ended_at is not None
    assert is_in(client) == (False, False)


def test_one_s_own_sessions_are_listed_and_this_one_is_marked(noor: User, acme: Organization) -> None:
    laptop, _ = sign_in(noor, LINUX), sign_in(noor, PHONE, "198.51.100.3")
    sign_in_other = member(acme)
    Client().force_login(sign_in_other)

    page = laptop.get(SESSIONS)

    text = page.content.decode()
    assert (page.context["here"].user_agent, [row.user_agent for row in page.context["others"]]) == (
        LINUX,
        [PHONE],
    )
    assert text.count("this session") == 1
    assert "198.51.100.3" in text
    assert "Content-Security-Policy" in page.headers
    assert "style=" not in text


def test_a_stranger_is_asked_to_sign_in() -> None:
    for path in (SESSIONS, f"{SESSIONS}end/", f"{SESSIONS}end-others/"):
        assert Client().get(path).status_code == 302
        assert Client().post(path).status_code == 302


def test_a_session_is_ended_from_another_and_refused_at_its_next_request(noor: User) -> None:
    laptop, phone = sign_in(noor, LINUX), sign_in(noor, PHONE)
    row = row_of(phone)

    asked = laptop.get(f"{SESSIONS}end/?session={row.pk}")
    assert is_in(phone) == (True, True), "asking ends nothing"
    done = laptop.post(f"{SESSIONS}end/", {"session": str(row.pk)})

    assert (asked.status_code, done.status_code, done["Location"]) == (200, 302, SESSIONS)
    assert is_in(phone) == (False, False)
    assert is_in(laptop) == (True, True)
    assert events(action="session.ended") == ["session.ended allowed"]
    assert [each.user_agent for each in laptop.get(SESSIONS).context["others"]] == []


def test_an_ended_session_is_refused_by_the_api_alone_too(noor: User) -> None:
    laptop, phone = sign_in(noor), sign_in(noor, PHONE)
    laptop.post(f"{SESSIONS}end/", {"session": str(row_of(phone).pk)})

    answer = phone.get(f"{API}whoami/")

    assert (answer.status_code, answer.json()["code"]) == (401, "credential_missing")
    assert phone.post(f"{API}fleets/", {"slug": "x", "name": "X"}, "application/json").status_code == 401


def test_all_others_end_at_once(noor: User) -> None:
    laptop, *others = (sign_in(noor) for _ in range(4))

    asked = laptop.get(f"{SESSIONS}end-others/")
    done = laptop.post(f"{SESSIONS}end-others/", follow=True)

    assert asked.status_code == 200
    assert "3 other sessions ended." in done.content.decode()
    assert [is_in(each) for each in (laptop, *others)] == [(True, True), *[(False, False)] * 3]
    assert events(action="session.ended") == ["session.ended allowed"]
    laptop.post(f"{SESSIONS}end-others/")
    assert events(action="session.ended") == ["session.ended allowed"], "there was none left to end"


@pytest.mark.parametrize("key", ["theirs", "01a20000-0000-7000-8000-000000000000", "x", "", "\x00"])
def test_somebody_else_s_session_is_not_there(noor: User, acme: Organization, key: str) -> None:
    theirs = Client()
    theirs.force_login(member(acme))
    client = sign_in(noor)
    key = str(row_of(theirs).pk) if key == "theirs" else key

    answers = [
        client.get(f"{SESSIONS}end/", {"session": key}),
        client.post(f"{SESSIONS}end/", {"session": key}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert SignedInSession.objects.live().count() == 2


def test_the_verb_ends_only_one_s_own_and_only_once(noor: User, acme: Organization) -> None:
    row, other = row_of(sign_in(noor)), member(acme)

    with pytest.raises(Refused):
        sessions.end(noor, session=row, by=PersonAccess(other))
    with pytest.raises(Refused):
        sessions.end(other, session=row, by=PersonAccess(other))
    with pytest.raises(Refused):
        sessions.end_others(noor, by=PersonAccess(other))
    sessions.end(noor, session=row, by=PersonAccess(noor))
    with pytest.raises(IllegalMove):
        sessions.end(noor, session=row, by=PersonAccess(noor))

    assert events(action="session.ended").count("session.ended allowed") == 1


def test_a_forged_form_ends_nothing(noor: User) -> None:
    sign_in(noor)
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(noor)

    assert forged.post(f"{SESSIONS}end-others/").status_code == 403
    assert SignedInSession.objects.live().count() == 2


def test_a_new_password_ends_the_others_and_this_session_lives_on_under_its_new_key(noor: User) -> None:
    here, elsewhere = sign_in(noor), sign_in(noor, PHONE)
    mine, other = row_of(here), row_of(elsewhere)
    new = "a rather different one"

    here.post(
        "/admin/password_change/",
        {"old_password": PASSWORD, "new_password1": new, "new_password2": new},
    )

    assert is_in(here) == (True, True)
    assert is_in(elsewhere) == (False, False)
    assert row_of(here).pk == mine.pk
    other.refresh_from_db()
    assert other.ended_at is not None
    assert here.get(SESSIONS).context["here"].pk == mine.pk


def test_who_signs_in_again_in_the_same_browser_has_one_session(noor: User, acme: Organization) -> None:
    client, other = sign_in(noor), member(acme)
    first = row_of(client)

    client.post("/admin/login/", {"username": noor.username, "password": PASSWORD})
    assert SignedInSession.objects.live().get() == row_of(client)
    other.set_password(PASSWORD)
    other.save()
    client.post("/admin/login/", {"username": other.username, "password": PASSWORD})

    assert is_in(client) == (True, True)
    assert [row.user for row in SignedInSession.objects.live()] == [other]
    first.refresh_from_db()
    assert first.ended_at is not None


def test_a_session_without_a_row_is_nobody_s(noor: User) -> None:
    client = sign_in(noor)
    SignedInSession.objects.all().delete()

    assert is_in(client) == (False, False)


def test_when_it_was_last_seen_is_noted_at_most_once_a_minute(noor: User) -> None:
    client = sign_in(noor)
    start = row_of(client).last_seen_at

    client.get("/admin/")
    assert row_of(client).last_seen_at == start
    with at(now() + timedelta(seconds=61)):
        client.get(f"{API}whoami/")
    assert row_of(client).last_seen_at > start + timedelta(seconds=60)


def test_what_has_not_been_seen_for_as_long_as_a_cookie_lives_is_not_listed(noor: User) -> None:
    old = row_of(sign_in(noor))
    SignedInSession.objects.filter(pk=old.pk).update(last_seen_at=now() - timedelta(hours=12))

    assert sign_in(noor).get(SESSIONS).context["others"] == []


def test_old_rows_are_forgotten(noor: User) -> None:
    old, young = row_of(sign_in(noor)), row_of(sign_in(noor))
    SignedInSession.objects.filter(pk=old.pk).update(last_seen_at=now() - timedelta(days=31))

    tasks.forget_sessions()

    assert list(SignedInSession.objects.all()) == [young]


def test_a_request_asks_once_for_its_session_and_a_token_s_never(noor: User, acme: Organization) -> None:
    fleet = make_fleet(acme)
    browser = session_client(fleet_member(fleet))
    program = APIClient(
        headers={"authorization": f"Bearer {make_token(fleet, 'machines:read').secret.reveal()}"}
    )
    counts = {}

    for name, client, path in (
        ("admin", browser, "/admin/"),
        ("api", browser, f"{API}machines/"),
        ("token", program, f"{API}machines/"),
        ("stranger", APIClient(), "/admin/login/"),
    ):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        asked = [each["sql"] for each in queries if re.search(r"fleets_signedinsession", each["sql"])]
        counts[name] = len(asked)

    assert counts == {"admin": 1, "api": 1, "token": 0, "stranger": 0}


def test_the_page_costs_the_same_with_one_session_and_with_thirty(noor: User) -> None:
    client = sign_in(noor)
    client.get(SESSIONS)
    costs = []
    for more in (1, 29):
        for number in range(more):
            SignedInSession.objects.create(user=noor, digest=f"{more}-{number}")
        with CaptureQueriesContext(connection) as queries:
            assert len(client.get(SESSIONS).context["others"]) == SignedInSession.objects.count() - 1
        costs.append(len(queries))

    assert costs[0] == costs[1]


def test_what_a_browser_calls_itself_is_shown_as_text(noor: User) -> None:
    sign_in(noor, "<script>alert(1)</script>\x1b[31m" + "x" * 500)

    text = sign_in(noor).get(SESSIONS).content.decode()

    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text


def test_two_who_end_the_same_session_end_it_once(noor: User) -> None:
    row: Any = row_of(sign_in(noor))
    laptop = sign_in(noor)
    sessions.end(noor, session=row, by=PersonAccess(noor))

    assert laptop.post(f"{SESSIONS}end/", {"session": str(row.pk)}).status_code == 404
    assert events(action="session.ended") == ["session.ended allowed"]
