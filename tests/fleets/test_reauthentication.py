"""Who sits in a session proves again that it is still them: by password, for ten minutes, not by guessing."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from config.edge.clock import now
from fleets.access import PersonAccess
from fleets.models import Organization, SignedInSession, User
from fleets.reauthentication import MOST_FAILURES, TooManyChecks, reauthenticate
from tests.factories import (
    API,
    PASSWORD,
    events,
    fleet_member,
    last_event,
    make_fleet,
    make_member,
    make_organization,
    make_person,
    make_token,
    session,
    token_client,
)

pytestmark = pytest.mark.django_db
CHECK = "/admin/check/"
AGAIN = f"{API}reauthenticate/"
ELEVEN_MINUTES = timedelta(minutes=11)


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


@pytest.fixture
def noor(acme: Organization, settings: Any) -> User:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # guessing takes its time
    user = make_person("noor")
    user.set_password(PASSWORD)
    user.save()
    make_member(acme, user=user)
    return user


@pytest.fixture
def browser(noor: User) -> Client:
    """Where she signed in a good while ago."""
    client = Client()
    client.force_login(noor)
    SignedInSession.objects.update(checked_at=now() - ELEVEN_MINUTES)
    return client


def is_fresh() -> bool:
    row = SignedInSession.objects.get()
    return PersonAccess(row.user, row.pk, row.checked_at).is_fresh


def send(client: Any, password: object) -> Any:
    return client.post(AGAIN, {"password": password}, content_type="application/json")


def test_a_sign_in_counts_for_ten_minutes(noor: User) -> None:
    Client().force_login(noor)
    at = SignedInSession.objects.get().checked_at

    for seconds, expected in [(0, True), (600, True), (601, False)]:
        with time_machine.travel(at + timedelta(seconds=seconds), tick=False):
            assert (seconds, is_fresh()) == (seconds, expected)
    with time_machine.travel(at - timedelta(hours=1)):
        assert not is_fresh(), "the clock was set back"
    assert not PersonAccess(noor).is_fresh, "who did not come by a session has proven nothing"


def test_the_password_makes_the_session_fresh_and_only_this_one(browser: Client, noor: User) -> None:
    Client().force_login(noor)
    SignedInSession.objects.update(checked_at=now() - ELEVEN_MINUTES)

    answer = send(browser, PASSWORD)

    assert (answer.status_code, answer.content) == (204, b"")
    fresh = [now() - row.checked_at < timedelta(minutes=1) for row in SignedInSession.objects.all()]
    assert sorted(fresh) == [False, True]
    assert events(action="session.checked") == ["session.checked allowed"]


def test_a_wrong_password_leaves_it_as_it_was_and_is_recorded(browser: Client, acme: Organization) -> None:
    answer = send(browser, PASSWORD + " ")

    assert (answer.status_code, answer.json()["code"]) == (403, "fresh_check_needed")
    assert not is_fresh()
    event = last_event(action="session.checked")
    assert (event.outcome, event.reason, event.organization_id) == ("failed", "bad_credentials", acme.pk)
    assert PASSWORD not in str(vars(event))


def test_passwords_are_not_guessed(browser: Client, noor: User) -> None:
    for _ in range(MOST_FAILURES):
        assert send(browser, "a guess").status_code == 403

    right = send(browser, PASSWORD)

    assert (right.status_code, right.json()["code"], right["Retry-After"]) == (429, "rate_limited", "900")
    assert not is_fresh()
    assert browser.post(CHECK, {"password": PASSWORD}).status_code == 429
    assert len(events(action="session.checked")) == MOST_FAILURES
    with time_machine.travel(now() + timedelta(minutes=16)):
        assert send(browser, PASSWORD).status_code == 204
    with pytest.raises(TooManyChecks):
        reauthenticate(noor, password=PASSWORD, by=PersonAccess(noor, SignedInSession.objects.get().pk))


@pytest.mark.parametrize(
    "body", [{}, {"password": 12345}, {"password": None}, {"password": ""}, {"password": "x", "user": "y"}]
)
def test_a_malformed_body_is_400_and_no_failure(browser: Client, body: dict[str, Any]) -> None:
    answer = browser.post(AGAIN, body, content_type="application/json")

    assert answer.status_code == 400
    assert events(action="session.checked") == []


def test_tokens_strangers_and_forged_forms_prove_nothing(acme: Organization, noor: User) -> None:
    manager = fleet_member(make_fleet(acme, "edge"), "manager")
    by_token = token_client(make_token(manager, "machines:read")).post(AGAIN, {"password": PASSWORD})
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(noor)

    assert (by_token.status_code, by_token.json()["code"]) == (403, "session_needed")
    assert Client().post(AGAIN, {"password": PASSWORD}, content_type="application/json").status_code == 401
    assert send(forged, PASSWORD).status_code == 403
    assert forged.post(CHECK, {"password": PASSWORD}).status_code == 403
    assert Client().get(CHECK).status_code == 302
    assert not session(noor).is_fresh
    assert events(action="session.checked") == []


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [
        ("/admin/tokens/token/", "/admin/tokens/token/"),
        ("/admin/tokens/token/?status=active", "/admin/tokens/token/?status=active"),
        ("", "/admin/"),
        ("//evil.example/admin/", "/admin/"),
        ("https://evil.example/admin/", "/admin/"),
        ("/\\evil.example", "/admin/"),
        ("/admin/\r\nSet-Cookie: a=b", "/admin/"),
        ("/%09/evil.example", "/admin/"),
        ("/api/v1/tokens/", "/admin/"),
        ("javascript:alert(1)", "/admin/"),
    ],
)
def test_the_page_leads_back_to_a_page_of_ours_only(browser: Client, asked: str, leads_to: str) -> None:
    page = browser.get(CHECK, {"next": asked})
    wrong = browser.post(f"{CHECK}?{page.request['QUERY_STRING']}", {"password": "x"})
    right = browser.post(f"{CHECK}?{page.request['QUERY_STRING']}", {"password": PASSWORD})

    assert (page.status_code, wrong.status_code) == (200, 403)
    assert "That is not your password." in wrong.content.decode()
    assert (right.status_code, right["Location"]) == (302, leads_to)
    assert is_fresh()
