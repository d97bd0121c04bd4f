"""What one address may try: passwords, links, requests without a token, and what is no token at all."""

import time
from types import SimpleNamespace
from typing import Any

import django_ratelimit.core
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from config.edge import context
from config.edge.context import RequestContext
from config.edge.ids import uuid7
from config.edge.models import RateCounter
from config.edge.throttling import Guard, TooManyAttempts, attempt, require
from config.environment import env
from fleets.models import User
from tests.factories import (
    PASSWORD,
    make_approver,
    make_fleet,
    make_member,
    make_organization,
    make_request,
    make_token,
    need_approvals,
    operator,
    owner_of,
    session_client,
)
from tests.servers.valkey import Valkey
from tokens import lifecycle, secret
from tokens.issuance import Issued
from tokens.models import Token

pytestmark = pytest.mark.django_db

WHOAMI = "/api/v1/whoami/"
GATE = "/gate/verify?organization=acme&scope=machines:read&path=/fleets/edge"
SIGN_IN = "/admin/login/"


@pytest.fixture
def issued() -> Issued:
    return make_token(make_fleet(make_organization("acme"), "edge"), "machines:read")


@pytest.fixture
def limited(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two a minute, of which none ends during the test: where minutes begin is fixed, and the next one counts anew."""
    settings.LIMITS = dict.fromkeys(Guard, (2, 60))
    moment = time.time()
    monkeypatch.setattr(django_ratelimit.core, "time", SimpleNamespace(time=lambda: moment))


def call(text: str, path: str = WHOAMI, peer: str = "192.0.2.1") -> Any:
    return Client(headers={"authorization": f"Bearer {text}"}, REMOTE_ADDR=peer).get(path)


def admitted(guard: Guard, address: str | None, times: int = 1) -> bool:
    with context.bound(RequestContext(address=address)):
        return all(attempt(guard) is None for _ in range(times))


@pytest.mark.usefixtures("limited")
def test_an_address_is_counted_exactly_and_a_network_of_ipv6_as_one() -> None:
    assert admitted(Guard.LINKS, "192.0.2.1", 2)
    assert not admitted(Guard.LINKS, "192.0.2.1")
    assert admitted(Guard.LINKS, "192.0.2.2", 2)
    assert not admitted(Guard.LINKS, "::ffff:192.0.2.2")
    assert admitted(Guard.LINKS, "2001:db8:1:2::1")
    assert admitted(Guard.LINKS, "2001:db8:1:2:ffff::1")
    assert not admitted(Guard.LINKS, "2001:db8:1:2::3")
    assert admitted(Guard.LINKS, "2001:db8:1:3::1")
    assert admitted(Guard.LINKS, None, 2)
    assert not admitted(Guard.LINKS, "")
    assert admitted(Guard.API, "192.0.2.1", 2), "each guard counts for itself"


@pytest.mark.usefixtures("limited")
def test_credentials_that_are_none_are_a_429_and_tokens_are_told_the_truth(issued: Issued) -> None:
    unknown = secret.generate("fleet", secret.generate_id())
    wrong = secret.generate("fleet", issued.token.pk)
    answers = [call(text) for text in (unknown, "garbage", wrong, unknown)]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (401, "token_invalid"),
        (401, "token_invalid"),
        (429, "too_many_attempts"),
        (429, "too_many_attempts"),
    ]
    assert 1 <= int(answers[2]["Retry-After"]) <= 60
    at_the_gate = call(wrong, f"{GATE}&deny=403")
    assert (at_the_gate.status_code, at_the_gate["X-Token-Denied"]) == (403, "too_many_attempts")
    assert at_the_gate["Retry-After"]
    assert call(unknown, GATE).status_code == 429
    # a secret that verifies is let in, and one whose token ended is told so
    assert call(issued.secret.reveal()).status_code == 200
    assert call(issued.secret.reveal(), GATE).status_code == 204
    lifecycle.revoke(Token.objects.get(pk=issued.token.pk), by=operator)
    assert call(issued.secret.reveal()).json()["code"] == "token_revoked"
    assert call(issued.secret.reveal(), GATE)["X-Token-Denied"] == "token_revoked"
    # and another address is another address
    assert call(unknown, peer="192.0.2.2").json()["code"] == "token_invalid"


@pytest.mark.usefixtures("limited")
def test_a_secret_of_another_organization_or_of_before_is_counted_as_any_text(issued: Issued) -> None:
    rotated = lifecycle.rotate(Token.objects.get(pk=issued.token.pk), by=operator)

    codes = [call(issued.secret.reveal()).json()["code"] for _ in range(3)]
    foreign = call(rotated.secret.reveal(), GATE.replace("acme", "globex"))

    assert codes == ["token_invalid", "token_invalid", "too_many_attempts"]
    assert foreign["X-Token-Denied"] == "too_many_attempts"
    assert call(rotated.secret.reveal()).status_code == 200


@pytest.mark.usefixtures("limited")
def test_the_api_counts_people_by_themselves_and_strangers_by_address(issued: Issued) -> None:
    organization = issued.token.organization
    person, other = session_client(owner_of(organization)), session_client(make_member(organization).user)
    stranger = Client()

    assert [stranger.get(WHOAMI).status_code for _ in range(3)] == [401, 401, 429]
    assert [person.get(WHOAMI).status_code for _ in range(3)] == [200, 200, 429]
    again = session_client(owner_of(organization))
    for client, words in ((again, "Too many requests of this account."), (stranger, "from this address.")):
        answer = client.get(WHOAMI, REMOTE_ADDR="127.0.0.1")
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_attempts")
        assert words in answer.json()["detail"]
        assert 1 <= int(answer["Retry-After"]) <= 60
    assert again.get(WHOAMI, REMOTE_ADDR="192.0.2.9").status_code == 429, "wherever the person is"
    assert [other.get(WHOAMI).status_code for _ in range(3)] == [200, 200, 429]
    assert [call(issued.secret.reveal(), peer="127.0.0.1").status_code for _ in range(4)] == [200] * 4


@pytest.mark.usefixtures("limited")
def test_passwords_are_tried_only_so_often_and_the_page_can_always_be_seen() -> None:
    person = owner_of(make_organization("acme"))
    person.set_password(PASSWORD)
    person.save()
    client = Client()
    wrong = {"username": person.username, "password": "wrong"}

    assert [client.post(SIGN_IN, wrong).status_code for _ in range(3)] == [200, 200, 429]
    refused = client.post(SIGN_IN, {"username": person.username, "password": PASSWORD})
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) >= 1
    assert "text/html" in refused["Content-Type"]
    assert client.get(SIGN_IN).status_code == 200
    elsewhere = Client(REMOTE_ADDR="192.0.2.9")
    assert elsewhere.post(SIGN_IN, {"username": person.username, "password": PASSWORD}).status_code == 302


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("link", ["/admin/invitation/guess/", "/admin/password-reset/guess/"])
def test_links_are_guessed_only_so_often(link: str) -> None:
    assert [Client().get(link).status_code for _ in range(3)] == [404, 404, 429]
    assert Client(REMOTE_ADDR="192.0.2.9").get(link).status_code == 404


def page_of(key: object, verb: str = "change") -> str:
    return f"/admin/approvals/approvalrequest/{key}/{verb}/"


def visit(path: str, user: User | None = None, peer: str = "192.0.2.1") -> Any:
    client = Client(REMOTE_ADDR=peer)
    if user is not None:
        client.force_login(user)
    return client.get(path)


@pytest.mark.usefixtures("limited")
def test_a_stranger_tries_links_to_approvals_only_so_often_whether_they_exist_or_not() -> None:
    acme = make_organization("acme")
    approver = make_approver(acme)
    need_approvals(acme)
    request = make_request(acme, by=owner_of(acme))
    links = [page_of(request.pk), page_of(uuid7()), page_of(request.pk, "approve"), page_of("x")]

    answers = [visit(link) for link in links]

    assert [answer.status_code for answer in answers] == [302, 302, 429, 429]
    assert 1 <= int(answers[2]["Retry-After"]) <= 60
    assert "text/html" in answers[2]["Content-Type"]
    assert visit(links[0], peer="192.0.2.9").status_code == 302
    assert visit(page_of("guess").replace("guess/change/", "")).status_code == 302, "the list names none"
    # who is signed in and sees it is not counted, and not held up by who tries from the same address
    assert [visit(links[0], approver).status_code for _ in range(4)] == [200] * 4


@pytest.mark.usefixtures("limited")
def test_approvals_that_are_not_shown_to_somebody_are_probed_only_so_often() -> None:
    acme = make_organization("acme")
    approver, stranger = make_approver(acme), owner_of(make_organization("globex"))
    need_approvals(acme)
    request = make_request(acme, by=owner_of(acme))

    probes = [page_of(request.pk), page_of(uuid7(), "withdraw"), page_of(request.pk), page_of("x")]

    assert [visit(probe, stranger).status_code for probe in probes] == [404, 404, 429, 429]
    assert visit(probes[0], stranger, "192.0.2.9").status_code == 404
    assert visit(probes[0], approver).status_code == 200
    assert visit(page_of(uuid7()), approver).status_code == 429


@pytest.mark.fault
@pytest.mark.usefixtures("limited")
def test_with_valkey_stopped_the_database_counts_links_to_approvals(valkey: Valkey) -> None:
    valkey.stop()
    somebody = owner_of(make_organization("acme"))

    assert [visit(page_of(uuid7())).status_code for _ in range(3)] == [302, 302, 429]
    assert [visit(page_of(uuid7()), somebody, "192.0.2.9").status_code for _ in range(3)] == [404, 404, 429]
    assert {row.key for row in RateCounter.objects.all()} == {
        "address:links:192.0.2.1",
        "address:links:192.0.2.9",
    }


@pytest.mark.fault
@pytest.mark.usefixtures("limited")
def test_with_valkey_stopped_the_database_counts(valkey: Valkey, issued: Issued) -> None:
    valkey.stop()
    unknown = secret.generate("fleet", secret.generate_id())

    codes = [call(unknown).json()["code"] for _ in range(4)]

    assert codes == ["token_invalid", "token_invalid", "too_many_attempts", "too_many_attempts"]
    assert call(issued.secret.reveal()).status_code == 200
    assert [row.key for row in RateCounter.objects.all()] == ["address:credentials:192.0.2.1"]
    with context.bound(RequestContext(address="192.0.2.1")), pytest.raises(TooManyAttempts):
        require(Guard.CREDENTIALS)


def test_a_limit_that_is_none_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMIT_API", "many")
    with pytest.raises(ImproperlyConfigured, match="LIMIT_API must read N/second"):
        env.rate("LIMIT_API")

    monkeypatch.setenv("LIMIT_API", "10/hour")
    assert env.rate("LIMIT_API") == (10, 3600)
