"""`/api/v1/token/` and `/api/v1/whoami/`: the calling token about itself, and whoever calls."""

from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from audit import outbox
from audit.models import Event
from config.edge.clock import now
from fleets.models import Fleet
from tests.factories import (
    API,
    events,
    last_event,
    make_member,
    make_superuser,
    make_token,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import present
from tests.tokens.test_api import FIELDS, code, errors
from tokens.issuance import GrantWish
from tokens.models import Token, TokenSecret

TOKEN = f"{API}token/"
ROTATE = f"{API}token/rotate/"
PERMISSIONS = f"{API}token/permissions/"
WHOAMI = f"{API}whoami/"


def test_a_token_reads_itself_without_any_scope(world: World) -> None:
    issued = make_token(world.edge, "machines:read", grants=())

    response = token_client(issued).get(TOKEN)

    assert (response.status_code, response["ETag"], response["Cache-Control"]) == (200, '"1"', "no-store")
    assert set(response.json()) == FIELDS
    assert response.json()["id"] == issued.token.pk


def test_a_fleets_token_learns_nothing_of_people(world: World) -> None:
    names = (world.manager.username, world.manager.name, world.owner.username)
    session_client(world.manager).post(
        f"{API}tokens/", {"kind": "fleet", "owner": "edge", "name": "ci", "scopes": ["machines:read"]}
    )
    token = Token.objects.get(name="ci")
    fresh = session_client(world.manager).post(f"{API}tokens/{token.pk}/rotate/", {}).json()
    assert fresh["created_by"] == world.manager.username
    client = APIClient(headers={"x-auth-token": fresh["secret"]})

    answers = [client.get(TOKEN), client.get(WHOAMI), client.get(PERMISSIONS), client.patch(TOKEN, {})]
    answers += [client.get(TOKEN), client.post(ROTATE, {})]

    assert {answer.status_code for answer in answers} == {200}
    told = " ".join(answer.content.decode() for answer in answers)
    assert not [name for name in names if name in told]
    assert answers[-1].json()["created_by"] is None
    assert answers[-2].json()["last_used_address"] is None


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"scopes": ["machines:read"]}, (200, None)),
        ({"machines": []}, (400, "invalid")),
        ({"grants": []}, (200, None)),
        ({"role": "Viewer"}, (200, None)),
        ({"role": "Admin", "reason": "more"}, (403, "widens_itself")),
        ({"scopes": ["machines:read", "machines:write"], "reason": "more"}, (403, "widens_itself")),
        ({"expires_at": None}, (403, "widens_itself")),
        ({"expires_at": "2999-01-01"}, (400, "invalid")),
        ({"expires_at": "2100-01-01T00:00:00Z"}, (403, "widens_itself")),
        ({"name": "other"}, (400, "unknown_field")),
        ({"description": "other"}, (400, "unknown_field")),
        ({"rotate_every": "30d"}, (400, "unknown_field")),
        ({"extended": ["images"]}, (400, "invalid")),
        ({"status": "active"}, (400, "unknown_field")),
    ],
)
def test_a_token_only_narrows_itself(
    world: World, body: dict[str, Any], answer: tuple[int, str | None]
) -> None:
    issued = make_token(world.edge, "machines:read", "snapshots:read", "machines:operate")
    before = present(issued)

    response = token_client(issued).patch(TOKEN, body)

    assert (response.status_code, response.json().get("code")) == answer
    if answer[0] == 200:
        assert set(response.json()) == FIELDS
        assert (response["ETag"], present(issued).version) == ('"2"', 2)
        assert last_event(action="token.edited").data["widens"] is False
    else:
        assert present(issued).version == 1
        assert present(issued).scopes == before.scopes


def test_a_token_edits_by_the_version_it_read(world: World) -> None:
    issued = make_token(world.edge, "machines:read", "snapshots:read")
    client = token_client(issued)
    stale, narrower = {"if-match": '"9"'}, {"scopes": ["machines:read"]}

    assert code(client.patch(TOKEN, narrower, headers=stale)) == (412, "precondition_failed")
    assert code(client.post(ROTATE, {}, headers=stale)) == (412, "precondition_failed")
    assert code(client.delete(TOKEN, headers=stale)) == (412, "precondition_failed")
    assert present(issued).version == 1

    etag = client.get(TOKEN)["ETag"]
    assert client.patch(TOKEN, narrower, headers={"if-match": etag}).status_code == 200


def test_a_token_rotates_itself_and_its_old_secret_ends(world: World) -> None:
    issued = make_token(world.edge, "machines:read")

    response = token_client(issued).post(ROTATE, {})

    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    assert set(response.json()) == FIELDS | {"secret", "previous_valid_until"}
    assert code(token_client(issued).get(WHOAMI)) == (401, "token_invalid")
    client = APIClient(headers={"x-auth-token": response.json()["secret"]})
    assert client.get(WHOAMI).status_code == 200
    assert last_event(action="token.rotated").data["by_itself"] is True


def test_a_repeated_own_rotation_rotates_once(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    key = {"idempotency-key": "k"}
    client = token_client(issued)
    assert client.post(ROTATE, {"overlap": "1h"}, headers=key).status_code == 200

    again = client.post(ROTATE, {"overlap": "1h"}, headers=key)

    assert code(again) == (409, "already_done")
    assert again.json()["id"] == issued.token.pk
    assert TokenSecret.objects.count() == 2


def test_a_token_ends_itself(world: World) -> None:
    issued = make_token(world.edge, "machines:read")

    response = token_client(issued).delete(TOKEN, {"reason": "Its work is done."})

    assert last_event(action="token.revoked").reason == "Its work is done."
    assert (response.status_code, response.content) == (204, b"")
    assert (present(issued).status, present(issued).status_reason) == ("revoked", "by_itself")
    assert code(token_client(issued).get(TOKEN)) == (401, "token_revoked")


@pytest.mark.parametrize(
    ("method", "path", "body", "verb"),
    [
        ("patch", TOKEN, {"grants": []}, "edited"),
        ("post", ROTATE, {}, "rotated"),
        ("delete", TOKEN, {}, "revoked"),
    ],
)
def test_the_use_is_recorded_before_the_change_and_once(
    world: World, method: str, path: str, body: dict[str, Any], verb: str
) -> None:
    issued = make_token(world.edge, "machines:read")
    since = Event.objects.count()

    response = getattr(token_client(issued), method)(path, body)

    recorded = list(Event.objects.order_by("id")[since:])
    assert [event.action for event in recorded] == ["token.used", f"token.{verb}"]
    assert {event.request_id for event in recorded} == {response["X-Request-ID"]}
    assert {event.actor_id for event in recorded} == {issued.token.pk}


def test_a_tokens_permissions_are_what_it_may_do_there(world: World) -> None:
    issued = make_token(
        world.edge, "machines:read", "machines:operate", grants=(GrantWish("/fleets/edge", "Viewer"),)
    )
    client = token_client(issued)

    response = client.get(PERMISSIONS)

    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    assert response.json() == {
        "path": "/fleets/edge",
        "scopes": ["machines:read"],
        "given_by": [
            {
                "scope": "machines:read",
                "risk": "low",
                "path": "/fleets/edge",
                "role": "Viewer",
                "propagate": True,
            }
        ],
        "paths": ["/fleets/edge"],
    }
    assert client.get(PERMISSIONS, {"path": world.edge_1.path}).json()["scopes"] == ["machines:read"]
    assert client.get(PERMISSIONS, {"path": "/fleets/core"}).json()["scopes"] == []
    response = client.get(PERMISSIONS, {"path": "nonsense"})
    assert (response.status_code, errors(response)) == (400, [("path", "bad_path")])


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", TOKEN), ("patch", TOKEN), ("delete", TOKEN), ("post", ROTATE), ("get", PERMISSIONS)],
)
def test_a_person_is_no_token(world: World, method: str, path: str) -> None:
    response = getattr(session_client(world.manager), method)(path)

    assert code(response) == (403, "not_a_token")


def test_who_calls_is_said_to_a_token(world: World) -> None:
    issued = make_token(world.manager, "machines:read")
    Token.objects.update(expires_at=None)

    assert token_client(issued).get(WHOAMI).json() == {
        "type": "token",
        "user": {
            "id": str(world.manager.pk),
            "username": world.manager.username,
            "name": world.manager.name,
            "kind": "person",
        },
        "organization": "acme",
        "organizations": ["acme"],
        "token": {
            "id": issued.token.pk,
            "name": issued.token.name,
            "kind": "personal",
            "owner": {"type": "person", "id": str(world.manager.pk), "name": world.manager.username},
            "scopes": ["machines:read"],
            "expires_at": None,
            "secret_hint": f"thp_{issued.token.pk[:4]}",
        },
    }
    assert events(actor_type="token") == ["token.used allowed"]


def test_who_calls_is_said_to_a_person(world: World, other: Fleet) -> None:
    one = session_client(world.manager).get(WHOAMI)
    make_member(other.organization, user=world.manager)
    two = session_client(world.manager).get(WHOAMI)
    everywhere = session_client(make_superuser()).get(WHOAMI)

    assert (one.status_code, one["Cache-Control"]) == (200, "no-store")
    said = one.json()
    assert {key: said[key] for key in ("type", "organization", "organizations", "token")} == {
        "type": "person",
        "organization": "acme",
        "organizations": ["acme"],
        "token": None,
    }
    assert said["user"]["username"] == world.manager.username
    assert (two.json()["organization"], two.json()["organizations"]) == (None, ["acme", "globex"])
    assert everywhere.json()["organizations"] == ["acme", "globex"]


def test_whoami_of_a_fleets_token_is_its_technical_user(world: World) -> None:
    issued = make_token(world.edge, "machines:read")

    said = token_client(issued).get(WHOAMI).json()

    assert (said["user"]["kind"], said["user"]["username"]) == ("technical", f"fleet+{issued.token.pk}")
    assert said["token"]["owner"] == {"type": "fleet", "id": str(world.edge.pk), "name": "edge"}


@pytest.mark.parametrize("form", ["bearer", "lower", "x-auth-token", "pve"])
def test_every_header_form_is_the_same_call(world: World, form: str) -> None:
    issued = make_token(world.edge, "machines:read")
    text = issued.secret.reveal()
    headers = {
        "bearer": {"authorization": f"Bearer {text}"},
        "lower": {"authorization": f"bearer {text}"},
        "x-auth-token": {"x-auth-token": text},
        "pve": {"authorization": f"PVEAPIToken=fleet+{issued.token.pk}!{issued.token.name}={text}"},
    }[form]

    assert APIClient(headers=headers).get(WHOAMI).json()["token"]["id"] == issued.token.pk


def test_an_old_token_that_expired_this_instant_is_refused(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    Token.objects.filter(pk=issued.token.pk).update(expires_at=now())

    for method, path in (("get", TOKEN), ("post", ROTATE), ("delete", TOKEN), ("get", WHOAMI)):
        assert code(getattr(token_client(issued), method)(path)) == (401, "token_expired")
    assert present(issued).version == 1


@pytest.mark.parametrize("body", [{}, {"reason": "because"}])
def test_an_edit_that_names_nothing_changes_nothing(world: World, body: dict[str, Any]) -> None:
    issued = make_token(world.edge, "machines:read")

    response = token_client(issued).patch(TOKEN, body)

    assert (response.status_code, response["ETag"]) == (200, '"1"')
    assert not Event.objects.filter(action="token.edited").exists()


def test_a_secret_that_a_client_puts_anywhere_is_not_kept(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    other = make_token(world.edge, "machines:read").secret.reveal()
    client = token_client(issued)

    client.get(f"{API}machines/{other}/", headers={"user-agent": f"agent {other}", "x-request-id": other})
    client.get("/gate/verify", {"organization": "acme", "scope": "machines:read", "path": f"/x/{other}"})

    kept = list(Event.objects.filter(actor_id=issued.token.pk).values())
    assert len(kept) == 2
    assert other not in str(kept)
    assert "[secret]" in str(kept)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_after_the_commit_does_not_lose_the_secret(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = make_token(world.edge, "machines:read")
    reads_after: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not connection.in_atomic_block and sql.startswith("SELECT") and has_rotated():
            reads_after.append(sql)
        return execute(sql, params, many, context)

    def has_rotated() -> bool:
        return "rotated" in committed

    committed: list[str] = []
    settle = outbox.settle

    def note_commit(rows: Any) -> bool:
        committed.append("rotated")
        return settle(rows)

    monkeypatch.setattr(outbox, "settle", note_commit)
    with connection.execute_wrapper(note):
        response = token_client(issued).post(ROTATE, {})

    assert response.status_code == 200
    assert committed == ["rotated"]
    assert reads_after == []
