"""The gate: what a proxy is told, in which form, and what both organizations learn of it."""

from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.models import Event
from fleets import machines as estate
from fleets.models import Fleet
from tests.factories import events, last_event, make_entry, make_machine, make_token, operator
from tests.tokens.conftest import World
from tests.tokens.issuing import present, with_status
from tokens import lifecycle, secret
from tokens.issuance import GrantWish, Issued

GATE = "/gate/verify"
EDGE = "/fleets/edge"
SAID = ("X-Token-Id", "X-Token-Kind", "X-Token-Owner", "X-Token-Organization", "X-Token-Scopes")


def ask(issued: Issued | str | None, method: str = "get", **asked: Any) -> HttpResponse:
    query = {"organization": "acme", "scope": "machines:read", "path": EDGE} | asked
    text = issued.secret.reveal() if isinstance(issued, Issued) else issued
    headers = {"authorization": f"Bearer {text}"} if text is not None else {}
    named = {name: value for name, value in query.items() if value is not None}
    response: HttpResponse = getattr(Client(headers=headers), method)(f"{GATE}?{urlencode(named)}")
    return response


def denial(response: Any) -> tuple[int, str | None]:
    return response.status_code, response.get("X-Token-Denied")


@pytest.fixture
def issued(world: World) -> Issued:
    return make_token(world.edge, "machines:read", "machines:operate", grants=(GrantWish(EDGE, "Operator"),))


@pytest.mark.parametrize("method", ["get", "head", "post"])
def test_a_token_that_may_is_let_in_and_described(issued: Issued, method: str) -> None:
    response = ask(issued, method)

    assert (response.status_code, response.content) == (204, b"")
    assert {name: response[name] for name in SAID} == {
        "X-Token-Id": issued.token.pk,
        "X-Token-Kind": "fleet",
        "X-Token-Owner": "fleet:edge",
        "X-Token-Organization": "acme",
        "X-Token-Scopes": "machines:operate machines:read",
    }
    assert response["X-Request-ID"] == last_event().request_id
    assert response["Cache-Control"] == "no-store"
    assert "X-Token-Denied" not in response
    assert events(actor_type="token") == ["token.used allowed"]
    data = last_event().data
    assert (data["scope"], data["path"], data["method"]) == ("machines:read", EDGE, method.upper())
    assert present(issued).last_used_at is not None


def test_a_persons_token_is_described_by_its_person(world: World) -> None:
    response = ask(make_token(world.manager, "machines:read"))

    assert (response["X-Token-Kind"], response["X-Token-Owner"]) == ("personal", world.manager.username)


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_no_other_method_is_answered(issued: Issued, method: str) -> None:
    response = ask(issued, method)

    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD, POST"
    assert response["Content-Type"] == "application/problem+json"
    assert events(actor_type="token") == []


def test_a_post_needs_no_csrf_token_even_beside_a_cookie(world: World, issued: Issued) -> None:
    client = Client(enforce_csrf_checks=True, headers={"x-auth-token": issued.secret.reveal()})
    client.force_login(world.manager)

    response = client.post(f"{GATE}?organization=acme&scope=machines:read&path={EDGE}")

    assert response.status_code == 204
    assert response["X-Token-Id"] == issued.token.pk


def test_a_session_is_no_credential_here(world: World) -> None:
    client = Client()
    client.force_login(world.owner)

    response = client.get(f"{GATE}?organization=acme&scope=machines:read&path={EDGE}")

    assert denial(response) == (401, "credential_missing")
    assert response["WWW-Authenticate"] == 'Bearer realm="tokenhouse"'


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 204),
        ({"scope": "machines:operate"}, 204),
        ({"path": f"{EDGE}/machines"}, 204),
        ({"scope": "machines:write"}, 403),
        ({"path": "/"}, 403),
        ({"path": "/fleets/core"}, 403),
        ({"path": "/nodes/n1"}, 403),
        ({"path": "/fleets/nowhere"}, 403),
        ({"path": f"{EDGE}/machines/0190a0a0-0000-7000-8000-000000000000"}, 403),
        ({"path": "nonsense"}, 403),
        ({"path": "//"}, 403),
        ({"path": f"{EDGE}/"}, 403),
        ({"path": f"{EDGE}/../core"}, 403),
        ({"path": "/fleets/./edge"}, 403),
        ({"path": "/fleets/EDGE"}, 403),
        ({"path": "/fleets%2Fedge"}, 403),
        ({"path": f"{EDGE};x"}, 403),
        ({"path": f"{EDGE}\n"}, 403),
        ({"path": "/vms/007"}, 403),
        ({"path": "/vms/x"}, 403),
        ({"path": "/vms/1/2"}, 403),
    ],
)
def test_the_scope_has_to_be_held_at_exactly_that_path(
    issued: Issued, asked: dict[str, str], status: int
) -> None:
    response = ask(issued, **asked)

    assert response.status_code == status
    if status == 403:
        assert response["X-Token-Denied"] == "insufficient_scope"
        assert f'scope="{asked.get("scope", "machines:read")}"' in response["WWW-Authenticate"]
        assert not any(name in response for name in SAID)
        assert events(actor_type="token") == ["token.denied denied"]
        event = last_event()
        assert event.reason == "insufficient_scope"
        assert event.data["path"] == asked.get("path", EDGE)


def test_a_malformed_path_is_a_denial_for_who_holds_everything_too(world: World) -> None:
    issued = make_token(world.owner, "machines:read")
    for path in ("nonsense", "//", "/vms/x", "/fleets/nowhere"):
        assert denial(ask(issued, path=path)) == (403, "insufficient_scope")
    assert ask(issued, path="/nodes/n1").status_code == 204


def test_a_vmid_means_the_machine_that_bears_it_now(world: World) -> None:
    machine = make_machine(world.edge, vmid=100)
    make_machine(world.core, vmid=200)
    issued = make_token(world.edge, "machines:read", machines=[machine])
    everything = make_token(world.owner, "machines:read")

    assert ask(issued, path="/vms/100").status_code == 204
    assert last_event().data["path"] == machine.path
    assert ask(issued, path="/vms/200").status_code == 403
    assert ask(issued, path="/vms/300").status_code == 403
    assert ask(everything, path="/vms/300").status_code == 204, "borne by none it is a free path"
    assert last_event().data["path"] == "/vms/300"

    estate.deregister(machine, by=operator)
    assert ask(issued, path="/vms/100").status_code == 403


def test_an_entry_on_a_free_vmid_counts(world: World) -> None:
    make_entry(world.acme, "/vms/300", "Viewer", user=world.manager)
    issued = make_token(world.manager, "machines:read")

    assert ask(issued, path="/vms/300").status_code == 204
    assert ask(issued, path="/vms/301").status_code == 403


@pytest.mark.parametrize("status", ["revoked", "rejected", "pending", "expired", "disabled"])
def test_a_token_that_is_not_live_is_told_why(world: World, status: str) -> None:
    issued = with_status(world.edge, status)

    response = ask(issued)

    assert denial(response) == (401, f"token_{status}")
    assert 'error="invalid_token"' in response["WWW-Authenticate"]
    assert events(actor_type="token") == ["token.denied denied"]


def test_what_is_no_token_is_told_nothing(world: World, issued: Issued) -> None:
    answers = [
        body(ask(text))
        for text in (
            "nonsense",
            "",
            secret.generate("fleet", "0" * 16),
            secret.generate("fleet", issued.token.pk),
        )
    ]

    assert answers == [answers[0]] * 4
    assert answers[0]["code"] == "token_invalid"
    assert events(actor_type="token") == []


def body(response: Any) -> dict[str, Any]:
    said: dict[str, Any] = response.json() | {"request_id": ""}
    return said


def test_an_organization_that_does_not_exist_answers_exactly_as_a_foreign_one(
    issued: Issued, other: Fleet
) -> None:
    foreign, unknown = ask(issued, organization="globex"), ask(issued, organization="nowhere")

    assert denial(foreign) == denial(unknown) == (401, "token_invalid")
    assert body(foreign) == body(unknown) == body(ask(secret.generate("fleet", "0" * 16)))
    headers = [
        {name: value for name, value in response.items() if name != "X-Request-ID"}
        for response in (foreign, unknown)
    ]
    assert headers[0] == headers[1]


def test_a_foreign_token_stands_in_both_trails_and_the_other_learns_nothing_of_it(
    world: World, issued: Issued, other: Fleet
) -> None:
    response = ask(issued, organization="globex")

    own = Event.objects.get(organization_id=world.acme.pk, action="token.denied")
    theirs = Event.objects.get(organization_id=other.organization_id, action="token.denied")
    assert (own.target_id, own.reason, own.actor_type) == (issued.token.pk, "token_invalid", "token")
    assert (theirs.target_id, theirs.reason, theirs.actor_type) == ("", "token_invalid", "anonymous")
    assert own.request_id == theirs.request_id == response["X-Request-ID"]
    known = (issued.token.pk, issued.token.name, issued.token.principal.username, "acme")
    told = repr({field.name: getattr(theirs, field.name) for field in Event._meta.fields})
    assert not [word for word in known if word in told]


@pytest.mark.parametrize("status", ["revoked", "disabled"])
def test_a_foreign_token_that_is_not_live_is_unknown_all_the_same(
    world: World, other: Fleet, status: str
) -> None:
    assert denial(ask(with_status(world.edge, status), organization="globex")) == (401, "token_invalid")


@pytest.mark.parametrize(
    ("asked", "field", "code"),
    [
        ({"organization": None}, "organization", "required"),
        ({"scope": None}, "scope", "required"),
        ({"path": None}, "path", "required"),
        ({"path": ""}, "path", "required"),
        ({"path": "/" + "a" * 300}, "path", "required"),
        ({"scope": "machines:*"}, "scope", "unknown_scope"),
        ({"scope": "Machines:read"}, "scope", "unknown_scope"),
    ],
)
@pytest.mark.parametrize("deny", [None, "403"])
def test_a_question_that_is_none_is_the_askers_fault(
    issued: Issued, asked: dict[str, Any], field: str, code: str, deny: str | None
) -> None:
    response = ask(issued, deny=deny, **asked)

    said = body(response)
    assert response.status_code == said["status"] == (403 if deny else 400)
    assert [(error["field"], error["code"]) for error in said["errors"]] == [(field, code)]
    assert "X-Token-Denied" not in response
    assert events(actor_type="token") == []


@pytest.mark.parametrize(
    ("headers", "deny", "status", "code"),
    [
        ({}, None, 401, "credential_missing"),
        ({}, "403", 401, "credential_missing"),
        ({"authorization": "Bearer x", "x-auth-token": "x"}, None, 400, "multiple_credentials"),
        ({"authorization": "Bearer x", "x-auth-token": "x"}, "403", 403, "multiple_credentials"),
        ({"authorization": "Bearer x", "x-auth-token": "x"}, "404", 400, "multiple_credentials"),
        ({"authorization": "Bearer x"}, "403", 401, "token_invalid"),
    ],
)
def test_for_a_proxy_that_knows_only_401_and_403_everything_else_is_a_403(
    world: World, headers: dict[str, str], deny: str | None, status: int, code: str
) -> None:
    query = f"organization=acme&scope=machines:read&path={EDGE}" + (f"&deny={deny}" if deny else "")

    response = Client(headers=headers).get(f"{GATE}?{query}")

    assert denial(response) == (status, code)
    assert body(response)["status"] == status


def test_what_cannot_be_a_secret_touches_no_store(world: World) -> None:
    for text in ("nonsense", "thf_" + "A" * 55, None):
        with CaptureQueriesContext(connection) as queries:
            assert ask(text).status_code == 401
        assert len(queries) == 0


def test_the_gate_asks_the_database_a_bounded_number_of_times(world: World, issued: Issued) -> None:
    ask(issued)  # proves the pepper, and keeps the last use for a minute
    rows = tuple(GrantWish(make_machine(world.edge).path, "Operator") for _ in range(20))
    large = make_token(world.edge, "machines:read", grants=(GrantWish(EDGE, "Viewer"), *rows))
    ask(large)

    counts = []
    for token in (issued, large):
        with CaptureQueriesContext(connection) as queries:
            assert ask(token).status_code == 204
        counts.append(len(queries))

    assert counts[1] - counts[0] == 1  # the machines that rows name


def test_a_rotated_secret_is_refused_at_once(issued: Issued) -> None:
    fresh = lifecycle.rotate(present(issued), by=operator)

    assert denial(ask(issued)) == (401, "token_invalid")
    assert ask(fresh).status_code == 204
