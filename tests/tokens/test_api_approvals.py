"""The whole way over HTTP: a risky token is asked for, waits, is decided by somebody else, and works."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from rest_framework.test import APIClient

from audit.models import Event
from config.edge.clock import now
from fleets.models import User
from tests.factories import (
    API,
    acting,
    make_entry,
    make_superuser,
    make_technical_user,
    make_token,
    session,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import present
from tokens import lifecycle
from tokens.issuance import GrantWish, Issued
from tokens.models import Token
from tokens.restrictions import Restrictions, parse_networks

TOKENS = f"{API}tokens/"
EDGE = "/fleets/edge"
DAY = timedelta(days=1)
ASKED = {
    "kind": "fleet",
    "owner": "edge",
    "name": "repair",
    "scopes": ["commands:execute", "machines:read"],
    "expires_in": "7d",
}


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def secret_client(secret: str) -> APIClient:
    return APIClient(headers={"authorization": f"Bearer {secret}"})


def whoami(secret: str) -> Any:
    return secret_client(secret).get(f"{API}whoami/")


def decide(by: APIClient, approval: str, verb: str = "approve", **said: Any) -> Any:
    digest = said.pop("diff_digest", None) or by.get(f"{API}approvals/{approval}/").json()["diff_digest"]
    return by.post(f"{API}approvals/{approval}/{verb}/", {"diff_digest": digest, **said}, format="json")


def test_a_risky_token_from_its_first_refusal_to_its_first_call(world: World, approver: User) -> None:
    boss = make_superuser()
    clients = {person: session_client(person) for person in (world.owner, boss, approver)}

    unreasoned = clients[boss].post(TOKENS, {**ASKED, "organization": "acme"}, format="json")
    assert unreasoned.status_code == 400
    assert [(error["field"], error["code"]) for error in unreasoned.json()["errors"]] == [
        ("reason", "required")
    ]
    for blank in (" ", "\u200b\u00ad", "\n"):
        blankly = {**ASKED, "organization": "acme", "reason": blank}
        assert clients[boss].post(TOKENS, blankly, format="json").status_code == 400
    assert not Token.objects.exists()

    issued = clients[world.owner].post(TOKENS, {**ASKED, "reason": "Nightly repair"}, format="json")
    body = issued.json()
    assert (issued.status_code, body["status"], body["risk"]) == (201, "pending", "high")
    assert (body["approved_at"], body["expires_at"]) == (None, None)
    approval, secret, one = body["approval"], body["secret"], f"{TOKENS}{body['id']}/"
    assert code(whoami(secret)) == (401, "token_pending")
    digest = clients[approver].get(f"{API}approvals/{approval}/").json()["diff_digest"]

    deciding = make_token(world.owner, "approvals:decide", "tokens:read")
    for client in (clients[world.owner], token_client(deciding)):
        assert code(decide(client, approval, diff_digest=digest)) == (403, "own_request")
    assert code(decide(secret_client(secret), approval, diff_digest=digest)) == (401, "token_pending")

    seen = clients[approver].get(f"{API}approvals/{approval}/").json()
    assert seen["diff_words"] == [
        f"may use commands:execute on {EDGE}",
        f"may use machines:read on {EDGE}",
        "works for 7d from its approval",
        "works from any network",
    ]
    assert (seen["reason"], seen["decisions"]) == ("Nightly repair", [])
    with time_machine.travel(now() + 2 * DAY):
        approved = decide(session_client(approver), approval, comment="For a week")
        assert approved.status_code == 200
        assert whoami(secret).status_code == 200
        token = Token.objects.get(name="repair")
    assert token.expires_at is not None
    assert token.approved_at is not None
    assert token.expires_at - token.approved_at == 7 * DAY
    assert token.approved_at - token.created_at >= 2 * DAY
    shown = clients[world.owner].get(one).json()
    assert (shown["status"], shown["approval"]) == ("active", None)

    history = clients[world.owner].get(f"{one}history/").json()["results"]
    told = [(row["action"], row["actor"]["label"], row["reason"]) for row in reversed(history)]
    assert told == [
        ("token.issued", world.owner.username, "Nightly repair"),
        ("approval.requested", world.owner.username, "Nightly repair"),
        ("approval.granted", approver.username, "For a week"),
        ("token.activated", approver.username, "Nightly repair"),
    ]


def test_a_superuser_and_who_acts_through_a_technical_user_decide_on_nothing_of_their_own(
    world: World, approver: User
) -> None:
    boss, bot = make_superuser(), make_technical_user(world.acme)
    for path in ("/", EDGE):
        make_entry(world.acme, path, "Administrator", user=bot)
    of_boss = session_client(boss).post(
        TOKENS, {**ASKED, "organization": "acme", "reason": "why"}, format="json"
    )
    assert code(decide(session_client(boss), of_boss.json()["approval"])) == (403, "own_request")

    made = make_token(bot, "tokens:manage", "commands:execute", "machines:read")
    known = lifecycle.rotate(present(made), by=session(world.owner))
    through = token_client(known).post(TOKENS, {**ASKED, "name": "other", "reason": "why"}, format="json")
    assert (through.status_code, through.json()["status"]) == (201, "pending")
    assert code(decide(session_client(world.owner), through.json()["approval"])) == (403, "own_request")

    for answer in (of_boss, through):
        assert decide(session_client(approver), answer.json()["approval"]).status_code == 200
        assert whoami(answer.json()["secret"]).status_code == 200


def widening(body: dict[str, Any]) -> Any:
    return lambda client, issued: client.patch(
        f"{TOKENS}{issued.token.pk}/", {"reason": "more", **body}, format="json"
    )


def a_row(client: APIClient, issued: Issued) -> Any:
    body = {"path": f"{EDGE}/machines", "role": None, "reason": "more"}
    return client.post(f"{TOKENS}{issued.token.pk}/grants/", body, format="json")


def a_refusal_less(client: APIClient, issued: Issued) -> Any:
    return client.delete(f"{TOKENS}{issued.token.pk}/grants/2/", {"reason": "more"}, format="json")


def no_networks(client: APIClient, issued: Issued) -> Any:
    body = {"allowed_networks": None, "rate_limit": None, "access_windows": None, "reason": "more"}
    return client.put(f"{TOKENS}{issued.token.pk}/restrictions/", body, format="json")


WIDENINGS = {
    "a scope": widening({"scopes": ["commands:execute", "machines:read", "machines:write"]}),
    "a later end": widening({"expires_at": None}),
    "a row": a_row,
    "a refusal less": a_refusal_less,
    "no networks": no_networks,
}


@pytest.mark.parametrize("what", WIDENINGS)
def test_what_widens_answers_202_and_waits_while_the_old_rights_live(
    world: World, approver: User, what: str
) -> None:
    home = Restrictions(networks=parse_networks(["127.0.0.0/8"]))
    issued = make_token(
        world.edge,
        "commands:execute",
        "machines:read",
        restrictions=home,
        grants=(GrantWish(world.edge_1.path, ""), GrantWish(world.edge_2.path, "NoAccess")),
    )
    if what == "a refusal less":
        Token.objects.get().grants.filter(number=1).update(path=EDGE)
    client = session_client(world.manager)
    before = client.get(f"{TOKENS}{issued.token.pk}/")

    answer = WIDENINGS[what](client, issued)

    body = answer.json()
    assert (answer.status_code, body["id"]) == (202, issued.token.pk)
    after = client.get(f"{TOKENS}{issued.token.pk}/")
    assert after.json() == {**before.json(), "approval": body["approval"]} == body
    assert (after["ETag"], answer["ETag"]) == (before["ETag"], before["ETag"])
    assert acting_here(issued) == {"commands:execute", "machines:read"}

    assert decide(session_client(approver), body["approval"]).status_code == 200
    done = client.get(f"{TOKENS}{issued.token.pk}/").json()
    assert done["approval"] is None
    assert {name for name in done if done[name] != before.json()[name]} >= CHANGED[what]


SAME: dict[str, Callable[[APIClient, str, Any], Any]] = {  # edits that leave the token as it is stored
    "what it says itself": lambda client, one, it: client.patch(
        one, {name: it[name] for name in ("name", "scopes", "expires_at")}, format="json"
    ),
    "a reason alone": lambda client, one, _: client.patch(one, {"reason": "why not"}, format="json"),
    "its restrictions": lambda client, one, _: client.put(
        f"{one}restrictions/",
        {"allowed_networks": ["127.0.0.0/8"], "rate_limit": None, "access_windows": None, "reason": "again"},
        format="json",
    ),
}


@pytest.mark.parametrize("same", SAME)
def test_an_edit_of_nothing_beside_what_waits_answers_200_and_leaves_it_alone(
    world: World, approver: User, same: str
) -> None:
    home = Restrictions(networks=parse_networks(["127.0.0.0/8"]))
    issued = make_token(world.edge, "machines:read", restrictions=home)
    client, one = session_client(world.manager), f"{TOKENS}{issued.token.pk}/"
    wider = {"scopes": ["machines:read", "commands:execute"], "reason": "more"}
    waits = client.patch(one, wider, format="json")
    before, told = client.get(one), Event.objects.count()
    request = client.get(f"{API}approvals/{waits.json()['approval']}/").json()

    answer = SAME[same](client, one, before.json())

    assert (waits.status_code, answer.status_code) == (202, 200)
    assert (answer.json(), answer["ETag"]) == (before.json(), before["ETag"])
    assert client.get(f"{API}approvals/{request['id']}/").json() == request
    assert Event.objects.count() == told
    # what is asked for a second time is another request, which takes the place of the first
    again = client.patch(one, wider, format="json")
    assert again.status_code == 202
    assert again.json()["approval"] != request["id"]


def acting_here(issued: Issued) -> set[str]:
    answer = token_client(issued).get(f"{API}token/permissions/")
    assert answer.status_code == 200, answer.content
    return set(present(issued).scopes)


CHANGED = {
    "a scope": {"scopes"},
    "a later end": {"expires_at"},
    "a row": {"grants"},
    "a refusal less": {"grants"},
    "no networks": {"restrictions"},
}


def test_an_edit_between_the_view_and_the_decision_is_a_409(world: World, approver: User) -> None:
    client, judge = session_client(world.manager), session_client(approver)
    pending = client.post(TOKENS, {**ASKED, "reason": "why"}, format="json").json()
    seen = judge.get(f"{API}approvals/{pending['approval']}/").json()["diff_digest"]

    edited = client.patch(f"{TOKENS}{pending['id']}/", {"name": "other", "reason": "why"}, format="json")

    assert (edited.status_code, edited.json()["approval"]) == (200, pending["approval"])
    assert code(decide(judge, pending["approval"], diff_digest=seen)) == (409, "diff_changed")
    assert decide(judge, pending["approval"]).status_code == 200
    assert code(decide(judge, pending["approval"])) == (409, "illegal_move")


def test_less_is_approved_in_the_words_of_an_edit(world: World, approver: User) -> None:
    client, judge = session_client(world.manager), session_client(approver)
    pending = client.post(TOKENS, {**ASKED, "reason": "why"}, format="json").json()

    more = decide(judge, pending["approval"], narrowed={"scopes": ["machines:write"]})
    assert (more.status_code, more.json()["errors"][0]["code"]) == (400, "not_narrower")
    unknown = decide(judge, pending["approval"], narrowed={"owner": "core"})
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (400, "narrowed.owner")
    less = decide(
        judge, pending["approval"], narrowed={"scopes": ["commands:execute"], "rate_limit": "9/hour"}
    )

    assert less.status_code == 200
    token = client.get(f"{TOKENS}{pending['id']}/").json()
    assert (token["status"], token["scopes"], token["restrictions"]["rate_limit"]) == (
        "active",
        ["commands:execute"],
        "9/hour",
    )


def test_what_leaves_nothing_is_refused_by_one_code(world: World, approver: User) -> None:
    issued = make_token(world.edge, "machines:read")
    client, one = session_client(world.manager), f"{TOKENS}{issued.token.pk}/"
    waits = client.patch(
        one, {"scopes": ["machines:read", "commands:execute"], "reason": "more"}, format="json"
    )
    approval = waits.json()["approval"]

    answers = [
        client.patch(one, {"scopes": []}, format="json"),
        token_client(issued).patch(f"{API}token/", {"scopes": []}, format="json"),
        decide(session_client(approver), approval, narrowed={"scopes": []}),
        decide(session_client(approver), approval, narrowed={"scopes": ["machines:read"]}),
    ]

    refused = [
        (answer.status_code, [error["code"] for error in answer.json()["errors"]]) for answer in answers
    ]
    assert refused == [(400, ["nothing_left"])] * 4
    assert present(issued).scopes == ["machines:read"]
    assert present(issued).has_waiting_change


def test_a_token_narrows_itself_at_once_whatever_its_risk(world: World, approver: User) -> None:
    issued = make_token(world.edge, "commands:execute", "machines:read")

    answer = token_client(issued).patch(f"{API}token/", {"scopes": ["commands:execute"]}, format="json")

    assert (answer.status_code, answer.json()["approval"]) == (200, None)
    assert acting(issued).rights(world.acme.pk).anywhere == {"commands:execute"}


def test_restrictions_of_a_new_token_are_stored_and_shown(world: World) -> None:
    asked = {
        **ASKED,
        "scopes": ["machines:read"],
        "allowed_networks": ["10.0.0.0/8", "2001:db8::1"],
        "rate_limit": "3/second",
        "access_windows": [{"days": ["fri"], "start": "22:00", "end": "06:00"}],
    }

    answer = session_client(world.manager).post(TOKENS, asked, format="json")

    assert answer.status_code == 201
    assert answer.json()["restrictions"] == {
        "allowed_networks": ["10.0.0.0/8", "2001:db8::1/128"],
        "rate_limit": "3/second",
        "access_windows": [{"days": ["fri"], "start": "22:00", "end": "06:00"}],
    }
