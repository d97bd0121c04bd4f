"""`PUT tokens/{id}/restrictions/`, and the same three at the issue of a token."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from approvals.models import ApprovalRequest
from tests.factories import (
    API,
    events,
    last_event,
    make_approver,
    make_token,
    member,
    need_approvals,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import present
from tokens.issuance import Issued
from tokens.models import Token
from tokens.restrictions import UNRESTRICTED, Restrictions, parse_networks, parse_rate

NIGHT = {"days": ["fri"], "start": "22:00", "end": "06:00"}
BODY = {
    "allowed_networks": ["10.0.0.0/8", "192.0.2.7", "::ffff:198.51.100.0/120"],
    "rate_limit": "3/second",
    "access_windows": [NIGHT, {"days": ["sun", "mon"], "start": "00:00", "end": "24:00"}],
    "reason": "Only from the office",
}
STORED = {
    "allowed_networks": ["10.0.0.0/8", "192.0.2.7/32", "198.51.100.0/24"],
    "rate_limit": "3/second",
    "access_windows": [NIGHT, {"days": ["mon", "sun"], "start": "00:00", "end": "24:00"}],
}
NOTHING = {"allowed_networks": None, "rate_limit": None, "access_windows": None}


@pytest.fixture
def issued(world: World) -> Issued:
    return make_token(world.edge, "machines:read")


def put(client: APIClient, issued: Issued, body: Any, **extra: str) -> Any:
    return client.put(f"{API}tokens/{issued.token.pk}/restrictions/", body, headers=extra)


def test_a_token_is_restricted_and_set_free_again(world: World, issued: Issued) -> None:
    client = session_client(world.manager)

    answer = put(client, issued, BODY)

    assert (answer.status_code, answer.json()["restrictions"]) == (200, STORED)
    token = present(issued)
    assert (token.restrictions.as_json(), answer["ETag"]) == (STORED, f'"{token.version}"')
    assert answer.json()["approval"] is None
    event = last_event(target_id=issued.token.pk)
    assert (event.action, event.reason) == ("token.edited", "Only from the office")
    before = {**NOTHING, "rate_limit": ""}
    assert event.data["changes"] == {name: [before[name], STORED[name]] for name in STORED}
    assert client.get(f"{API}tokens/{issued.token.pk}/").json()["restrictions"] == STORED

    freed = put(client, issued, {**NOTHING, "reason": "It moves about"})

    assert (freed.status_code, freed.json()["restrictions"]) == (200, NOTHING)
    assert present(issued).restrictions == UNRESTRICTED


@pytest.mark.parametrize("missing", BODY)
def test_nothing_is_lifted_by_being_forgotten(world: World, issued: Issued, missing: str) -> None:
    body = {name: value for name, value in BODY.items() if name != missing}

    answer = put(session_client(world.manager), issued, body)

    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (400, [missing])
    assert present(issued).version == issued.token.version


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("reason", "", "blank"),
        ("reason", " \u200b ", "ontrol characters"),
        ("reason", None, "null"),
        ("allowed_networks", [], "null is no restriction"),
        ("allowed_networks", ["10.0.0.1/8"], "The network is 10.0.0.0/8"),
        ("allowed_networks", [167772161], "is a text"),
        ("allowed_networks", "10.0.0.0/8", "A list"),
        ("allowed_networks", {"a": 1}, "A list"),
        ("rate_limit", "0/hour", "N from 1"),
        ("rate_limit", "", "N from 1"),
        ("rate_limit", 5, "N from 1"),
        ("access_windows", [], "null is no restriction"),
        ("access_windows", [{**NIGHT, "end": "22:00"}], "is empty"),
        ("access_windows", [{**NIGHT, "zone": "CET"}], "exactly"),
        ("access_windows", [{**NIGHT, "days": ["fri", "fri"]}], "twice"),
        ("access_windows", [{**NIGHT, "start": "22:00+02:00"}], "HH:MM"),
        ("hours", 1, "no such field"),
    ],
)
def test_what_can_not_be_meant_is_refused_at_its_field(
    world: World, issued: Issued, field: str, value: Any, words: str
) -> None:
    answer = put(session_client(world.manager), issued, {**BODY, field: value})

    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert words in error["detail"]
    assert present(issued).version == issued.token.version


def test_whoever_has_read_something_older_is_told_so(world: World, issued: Issued) -> None:
    client = session_client(world.manager)

    assert put(client, issued, BODY, **{"if-match": '"99"'}).status_code == 412
    assert present(issued).restrictions == UNRESTRICTED
    assert put(client, issued, BODY, **{"if-match": f'"{issued.token.version}"'}).status_code == 200


def test_who_may_not_manage_it_restricts_nothing(world: World, issued: Issued) -> None:
    assert put(session_client(world.auditor), issued, BODY).status_code == 403
    assert put(session_client(member(world.acme, "member")), issued, BODY).status_code == 404
    assert put(APIClient(), issued, BODY).status_code == 401
    assert put(token_client(make_token(world.manager, "tokens:read")), issued, BODY).status_code == 403
    assert present(issued).restrictions == UNRESTRICTED


def test_what_is_loosened_waits_for_approval_and_what_is_tightened_does_not(world: World) -> None:
    make_approver(world.acme)
    need_approvals(world.acme)
    issued = make_token(
        world.edge, "commands:execute", restrictions=Restrictions(parse_networks(["10.0.0.0/8"]))
    )
    client = session_client(world.manager)
    wider = {**NOTHING, "allowed_networks": ["10.0.0.0/7"], "reason": "A second site"}

    waiting = put(client, issued, wider)

    request = ApprovalRequest.objects.get()
    assert (waiting.status_code, waiting.json()["approval"]) == (202, str(request.pk))
    assert present(issued).restrictions.as_json()["allowed_networks"] == ["10.0.0.0/8"]
    assert any("10.0.0.0/7" in words for words in request.diff_words)
    assert "token.edited allowed" not in events(target_id=issued.token.pk)

    tighter = {**NOTHING, "allowed_networks": ["10.1.0.0/16"], "rate_limit": "3/second", "reason": "Less"}
    assert put(client, issued, tighter).status_code == 200
    assert present(issued).restrictions.as_json()["allowed_networks"] == ["10.1.0.0/16"]


def test_a_token_is_issued_restricted(world: World) -> None:
    body = {"kind": "fleet", "owner": "edge", "name": "office", "scopes": ["machines:read"], **BODY}

    answer = session_client(world.manager).post(f"{API}tokens/", body)

    assert (answer.status_code, answer.json()["restrictions"]) == (201, STORED)
    assert last_event(action="token.issued").data["restrictions"] == STORED
    assert Token.objects.get(name="office").restrictions.as_json() == STORED


def test_a_child_is_restricted_as_its_parent_and_never_less(world: World) -> None:
    home = Restrictions(parse_networks(["127.0.0.0/8"]), parse_rate("100/minute"))
    parent = make_token(world.manager, "tokens:manage", "machines:read", restrictions=home)
    program = token_client(parent)
    body = {"kind": "fleet", "owner": "edge", "scopes": ["machines:read"], "reason": "A helper"}

    child = program.post(f"{API}tokens/", {**body, "name": "child", "rate_limit": "10/minute"})
    looser = program.post(f"{API}tokens/", {**body, "name": "other", "allowed_networks": ["0.0.0.0/0"]})

    assert child.status_code == 201
    assert child.json()["restrictions"] == {
        "allowed_networks": ["127.0.0.0/8"],
        "rate_limit": "10/minute",
        "access_windows": None,
    }
    assert (looser.status_code, looser.json()["code"]) == (403, "looser_than_issuer")
    assert not Token.objects.filter(name="other").exists()


def test_a_token_restricts_itself_and_never_sets_itself_free(world: World) -> None:
    issued = make_token(world.manager, "tokens:manage", "machines:read")
    program = token_client(issued)
    home = {**NOTHING, "allowed_networks": ["127.0.0.0/8"], "reason": "Only from here"}

    assert put(program, issued, home).status_code == 200
    refused = put(program, issued, {**NOTHING, "reason": "Everywhere"})

    assert (refused.status_code, refused.json()["code"]) == (403, "widens_itself")
    assert present(issued).restrictions.as_json()["allowed_networks"] == ["127.0.0.0/8"]
