"""`/api/v1/tokens/`: issue, read, edit, rotate, disable, enable, revoke, permissions. Lists are in test_api_lists."""

from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from audit.models import Event
from config.edge.clock import now
from fleets.models import Fleet, Organization
from tests.factories import (
    API,
    events,
    last_event,
    make_entry,
    make_fleet,
    make_group,
    make_group_member,
    make_machine,
    make_member,
    make_superuser,
    make_token,
    operator,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import present, with_status
from tokens import lifecycle
from tokens.issuance import GrantWish, Issued
from tokens.models import Token, TokenSecret

TOKENS = f"{API}tokens/"
FIELDS = {
    *("id", "organization", "kind", "owner", "principal", "name", "description", "status", "status_reason"),
    *("risk", "scopes", "role", "machines", "grants", "privilege_separation", "access_level", "extended"),
    *("created_at", "created_by", "approved_at", "expires_at", "rotate_every", "last_used_at"),
    *("last_used_address", "rotated_at", "rotation_due_at", "secret_hint", "restrictions"),
    *("emergency_access", "approval", "hints"),
}
CI = {"kind": "fleet", "owner": "edge", "name": "ci", "scopes": ["machines:read"]}
NOBODY = "0" * 16


def url(issued: Issued, verb: str = "") -> str:
    return f"{TOKENS}{issued.token.pk}/{verb + '/' if verb else ''}"


def errors(response: Any) -> list[tuple[str, str]]:
    assert response["Content-Type"] == "application/problem+json"
    return [(error["field"], error["code"]) for error in response.json()["errors"]]


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


@pytest.fixture
def manager(world: World) -> APIClient:
    return session_client(world.manager)


# Issuing


def test_issuing_answers_with_the_token_and_once_with_its_secret(world: World, manager: APIClient) -> None:
    response = manager.post(TOKENS, {**CI, "description": "Builds", "expires_in": "7d"})

    assert response.status_code == 201
    data = response.json()
    assert set(data) == FIELDS | {"secret"}
    token = Token.objects.get(pk=data["id"])
    stamp = token.created_at.isoformat().replace("+00:00", "Z")
    assert token.expires_at is not None
    assert data == {
        "id": token.pk,
        "organization": "acme",
        "kind": "fleet",
        "owner": {"type": "fleet", "id": str(world.edge.pk), "name": "edge"},
        "principal": f"fleet+{token.pk}",
        "name": "ci",
        "description": "Builds",
        "status": "active",
        "status_reason": None,
        "risk": "low",
        "scopes": ["machines:read"],
        "role": None,
        "machines": "all",
        "grants": [{"n": 1, "path": "/fleets/edge", "role": None, "propagate": True}],
        "privilege_separation": True,
        "access_level": "custom",
        "extended": [],
        "created_at": stamp,
        "created_by": world.manager.username,
        "approved_at": stamp,
        "expires_at": token.expires_at.isoformat().replace("+00:00", "Z"),
        "rotate_every": None,
        "last_used_at": None,
        "last_used_address": None,
        "rotated_at": None,
        "rotation_due_at": None,
        "secret_hint": f"thf_{token.pk[:4]}",
        "restrictions": {"allowed_networks": None, "rate_limit": None, "access_windows": None},
        "emergency_access": None,
        "approval": None,
        "hints": [],
        "secret": data["secret"],
    }
    assert timedelta(days=7) == token.expires_at - token.created_at
    assert response["Cache-Control"] == "no-store"
    assert response["ETag"] == '"1"'
    assert token_client_of(data["secret"]).get(f"{API}whoami/").status_code == 200
    again = manager.get(f"{TOKENS}{token.pk}/")
    assert set(again.json()) == FIELDS
    assert data["secret"] not in again.content.decode()


def token_client_of(secret: str) -> APIClient:
    return APIClient(headers={"authorization": f"Bearer {secret}"})


@pytest.mark.parametrize(
    ("body", "kind", "owner"),
    [
        ({}, "personal", "manager"),
        ({"kind": "personal"}, "personal", "manager"),
        ({"kind": "personal", "owner": "{me}"}, "personal", "manager"),
        ({"owner": "{me}"}, "personal", "manager"),
        ({"kind": "fleet", "owner": "edge"}, "fleet", "edge"),
        ({"kind": "fleet", "owner": "fleet:edge"}, "fleet", "edge"),
        ({"owner": "fleet:edge"}, "fleet", "edge"),
        ({"organization": "acme", "owner": "fleet:edge"}, "fleet", "edge"),
    ],
)
def test_the_owner_is_named_by_kind_or_as_on_the_command_line(
    world: World, manager: APIClient, body: dict[str, str], kind: str, owner: str
) -> None:
    named = {key: value.format(me=world.manager.username) for key, value in body.items()}

    response = manager.post(TOKENS, {"name": "ci", "scopes": ["machines:read"], **named})

    assert response.status_code == 201
    token = Token.objects.get()
    assert (token.kind, token.owner) == (kind, getattr(world, owner))


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"kind": "fleet"}, 400, [("owner", "required")]),
        ({"kind": "personal", "owner": "fleet:edge"}, 400, [("owner", "invalid")]),
        ({"kind": "fleet", "owner": "nowhere"}, 404, [("owner", "not_found")]),
        ({"kind": "fleet", "owner": "core"}, 404, [("owner", "not_found")]),
        ({"owner": "edge"}, 404, [("owner", "not_found")]),
        ({"owner": "nobody"}, 404, [("owner", "not_found")]),
        *(
            ({"owner": f"{prefix}:x"}, 404, [("owner", "not_found")])
            for prefix in ("group", "organization", "application", "technical")
        ),
        *(
            ({"kind": kind, "owner": "x"}, 404, [("owner", "not_found")])
            for kind in ("group", "organization", "application", "technical_user")
        ),
        *(
            ({"kind": kind}, 400, [("owner", "required")])
            for kind in ("group", "application", "technical_user")
        ),
        ({"kind": "group", "owner": "application:x"}, 400, [("owner", "invalid")]),
        ({"kind": "technical_user", "owner": "fleet:edge"}, 400, [("owner", "invalid")]),
        ({"kind": "robot"}, 400, [("kind", "invalid_choice")]),
        ({"extended": ["templates"]}, 400, [("extended", "contradiction")]),
        ({"extended": ["templates", "templates"]}, 400, [("extended", "duplicate")]),
        ({"extended": ["snapshots"]}, 400, [("extended.0", "invalid_choice")]),
        ({"extended": "templates"}, 400, [("extended", "not_a_list")]),
        ({"extended": []}, 201, []),
        ({"allowed_networks": ["10.0.0.1/8"]}, 400, [("allowed_networks", "invalid")]),
        ({"allowed_networks": []}, 400, [("allowed_networks", "invalid")]),
        ({"rate_limit": "10/fortnight"}, 400, [("rate_limit", "invalid")]),
        ({"access_windows": []}, 400, [("access_windows", "invalid")]),
        *(
            ({field: "x"}, 400, [(field, "unknown_field")])
            for field in (
                "status",
                "risk",
                "principal",
                "id",
                "created_by",
                "approved_at",
                "secret",
                "digest",
            )
        ),
        ({"name": None}, 400, [("name", "null")]),
        ({"name": ""}, 400, [("name", "blank")]),
        ({"name": "-ci"}, 400, [("name", "invalid")]),
        ({"name": "c i"}, 400, [("name", "invalid")]),
        ({"name": "ci\n"}, 201, []),  # surrounding space is trimmed
        ({"name": "c\ni"}, 400, [("name", "control")]),
        ({"name": "сі"}, 400, [("name", "invalid")]),  # Cyrillic
        ({"name": "a" * 64}, 400, [("name", "invalid"), ("name", "max_length")]),
        ({"name": 5}, 400, [("name", "invalid")]),
        ({"description": "x" * 501}, 400, [("description", "max_length")]),
        ({"scopes": []}, 400, [("scopes", "min_length")]),
        ({"scopes": "machines:read"}, 400, [("scopes", "not_a_list")]),
        ({"scopes": ["machines:*"]}, 400, [("scopes", "unknown_scope")]),
        ({"scopes": ["machines:readx"]}, 400, [("scopes", "unknown_scope")]),
        ({"scopes": ["Machines:read"]}, 400, [("scopes", "unknown_scope")]),
        ({"scopes": ["machines:read", "machines:read"]}, 400, [("scopes", "duplicate")]),
        ({"scopes": ["machines:read"] * 1000}, 400, [("scopes", "duplicate")]),
        ({"scopes": [5]}, 400, [("scopes", "invalid")]),
        ({"scopes": None}, 400, [("scopes", "null")]),
        ({"role": "Viewer"}, 400, [("role", "contradiction")]),
        ({"machines": []}, 400, [("machines", "empty")]),
        ({"machines": "some"}, 400, [("machines", "invalid")]),
        ({"machines": ["x"]}, 400, [("machines", "invalid")]),
        ({"machines": [5]}, 400, [("machines", "invalid")]),
        ({"machines": ["0190a0a0-0000-7000-8000-000000000000"] * 2}, 400, [("machines", "duplicate")]),
        ({"machines": ["0190a0a0-0000-7000-8000-000000000000"]}, 404, [("machines", "not_found")]),
        ({"grants": [{"path": "/"}]}, 400, [("grants.0.role", "required")]),
        ({"grants": [{"path": "/", "role": "Viewer", "n": 1}]}, 400, [("grants.0.n", "unknown_field")]),
        ({"grants": [{"path": "//", "role": "Viewer"}]}, 400, [("grants.0.path", "bad_path")]),
        ({"grants": [{"path": "/", "role": "Viewer"}] * 101}, 400, [("grants", "max_length")]),
        ({"grants": {"path": "/"}}, 400, [("grants", "not_a_list")]),
        ({"privilege_separation": "maybe"}, 400, [("privilege_separation", "invalid")]),
        ({"expires_in": "8d"}, 400, [("expires_in", "invalid")]),
        ({"expires_in": None}, 400, [("expires_in", "invalid")]),
        ({"expires_in": "7d", "expires_at": "2999-01-01"}, 400, [("expires_at", "invalid")]),
        ({"expires_in": "7d", "expires_at": None}, 400, [("expires_in", "contradiction")]),
        ({"expires_at": "2020-01-01"}, 400, [("expires_at", "invalid")]),
        ({"expires_at": 4102444800}, 400, [("expires_at", "invalid")]),
        ({"rotate_every": "90"}, 400, [("rotate_every", "invalid")]),
        ({"reason": "x" * 1001}, 400, [("reason", "max_length")]),
        ({"scopes": ["machines:operate"]}, 400, [("reason", "required")]),
        ({"scopes": ["machines:operate"], "reason": " \u3164"}, 400, [("reason", "required")]),
        ({"scopes": ["machines:operate"], "reason": "On call"}, 201, []),
    ],
)
def test_a_request_that_cannot_be_meant_says_which_field(
    world: World, manager: APIClient, body: dict[str, Any], status: int, told: list[tuple[str, str]]
) -> None:
    response = manager.post(TOKENS, {"name": "ci", "scopes": ["machines:read"], **body})

    assert response.status_code == status
    if status == 201:
        assert Token.objects.count() == 1
        return
    assert errors(response) == told
    assert not Token.objects.exists()
    assert events(action="token.issued") == []


@pytest.mark.parametrize("field", ["organization", "owner"])
def test_what_is_of_another_organization_does_not_exist(world: World, other: Fleet, field: str) -> None:
    make_fleet(other.organization, "theirs")
    foreign = {"organization": "globex"} if field == "organization" else {"owner": "theirs"}

    assert code(session_client(world.manager).post(TOKENS, {**CI, **foreign})) == (404, "not_found")
    assert not Token.objects.exists()


def test_who_has_several_organizations_says_which(world: World, other: Fleet) -> None:
    make_member(other.organization, user=world.manager)
    manager = session_client(world.manager)

    assert code(manager.post(TOKENS, CI)) == (400, "organization_required")
    assert manager.post(TOKENS, {**CI, "organization": "acme"}).status_code == 201


def test_a_strangers_machine_is_as_one_that_does_not_exist_and_nothing_is_issued(
    world: World, other: Fleet, manager: APIClient
) -> None:
    for stranger in (world.core_1, make_machine(other)):
        machines = [str(world.edge_1.pk), str(stranger.pk)]
        response = manager.post(TOKENS, {**CI, "machines": machines})
        assert (response.status_code, errors(response)) == (404, [("machines", "not_found")])
    assert not Token.objects.exists()

    response = manager.post(TOKENS, {**CI, "machines": [str(world.edge_1.pk)]})
    assert response.json()["machines"] == [{"id": str(world.edge_1.pk), "name": "edge-1", "gone": False}]
    assert response.json()["grants"] == [{"n": 1, "path": world.edge_1.path, "role": None, "propagate": True}]


def test_a_name_is_taken_once(manager: APIClient) -> None:
    assert manager.post(TOKENS, CI).status_code == 201

    assert code(manager.post(TOKENS, {**CI, "name": "CI"})) == (409, "name_taken")
    assert Token.objects.count() == 1


def test_a_token_that_waits_is_pending_with_its_secret(world: World, manager: APIClient) -> None:
    Organization.objects.update(policy={"approvals_needed": {"low": 1, "medium": 1, "high": 1}})

    response = manager.post(TOKENS, CI)

    assert response.status_code == 201
    data = response.json()
    assert (data["status"], data["approved_at"]) == ("pending", None)
    assert code(token_client_of(data["secret"]).get(f"{API}whoami/")) == (401, "token_pending")


def test_never_is_null(manager: APIClient) -> None:
    response = manager.post(TOKENS, {**CI, "expires_in": "never"})

    assert response.json()["expires_at"] is None
    assert response.json()["hints"] == ["never_expires"]
    assert manager.post(TOKENS, {**CI, "name": "b", "expires_at": None}).json()["expires_at"] is None


# Reading


def test_a_token_that_may_not_be_seen_does_not_exist(world: World, other: Fleet, manager: APIClient) -> None:
    hidden = [make_token(world.core, "machines:read"), make_token(world.owner, "machines:read")]
    hidden.append(make_token(other, "machines:read"))
    for issued in hidden:
        posts = [manager.post(url(issued, verb), {}) for verb in ("disable", "enable", "revoke", "rotate")]
        answers = [manager.get(url(issued)), manager.patch(url(issued), {"name": "x"}), *posts]
        answers.append(manager.get(url(issued, "permissions")))
        assert {code(answer) for answer in answers} == {(404, "not_found")}
        assert present(issued).version == 1
    unknown = manager.get(f"{TOKENS}{NOBODY}/").json() | {"request_id": ""}
    assert manager.get(url(hidden[0])).json() | {"request_id": ""} == unknown


@pytest.mark.parametrize("pk", ["x", "0" * 17, "é" * 16, "%00", "..%2f", "-1", "9" * 20])
def test_what_is_no_id_is_not_found(manager: APIClient, pk: str) -> None:
    assert manager.get(f"{TOKENS}{pk}/").status_code == 404


def test_an_auditor_reads_and_changes_nothing(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    auditor = session_client(world.auditor)

    assert auditor.get(url(issued)).status_code == 200
    assert code(auditor.patch(url(issued), {"name": "x"})) == (403, "insufficient_scope")
    for verb in ("disable", "enable", "revoke", "rotate"):
        response = auditor.post(url(issued, verb), {})
        assert code(response) == (403, "insufficient_scope")
        assert 'scope="tokens:manage"' in response["WWW-Authenticate"]
    assert present(issued).version == 1


# Editing


def test_a_patch_changes_what_it_names(world: World, manager: APIClient) -> None:
    issued = make_token(world.edge, "machines:read", "machines:operate")

    response = manager.patch(
        url(issued),
        {
            "name": "renamed",
            "description": "Two\nlines",
            "scopes": ["machines:read"],
            "machines": [str(world.edge_1.pk)],
            "rotate_every": "30d",
        },
    )

    assert (response.status_code, response["ETag"], response["Cache-Control"]) == (200, '"2"', "no-store")
    data = response.json()
    assert set(data) == FIELDS
    assert {name: data[name] for name in ("name", "description", "scopes", "risk", "rotate_every")} == {
        "name": "renamed",
        "description": "Two\nlines",
        "scopes": ["machines:read"],
        "risk": "low",
        "rotate_every": "30d",
    }
    assert [machine["name"] for machine in data["machines"]] == ["edge-1"]
    assert data["rotation_due_at"] is not None
    assert manager.patch(url(issued), {"rotate_every": None}).json()["rotation_due_at"] is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"owner": "core"}, [("owner", "unknown_field")]),
        ({"organization": "globex"}, [("organization", "unknown_field")]),
        ({"kind": "personal"}, [("kind", "unknown_field")]),
        ({"privilege_separation": False}, [("privilege_separation", "unknown_field")]),
        ({"status": "active"}, [("status", "unknown_field")]),
        ({"risk": "low"}, [("risk", "unknown_field")]),
        ({"expires_in": "7d"}, [("expires_in", "unknown_field")]),
        ({"extended": ["images"]}, [("extended", "contradiction")]),
        ({"role": "Emperor"}, [("role", "unknown_role")]),
        ({"role": "NoAccess"}, [("role", "unknown_role")]),
        ({"scopes": ["machines:read"], "role": "Viewer"}, [("role", "contradiction")]),
        ({"machines": "all", "grants": []}, [("machines", "contradiction")]),
        ({"scopes": ["tokens:manage"]}, [("scopes", "scope_not_for_kind")]),
        ({"scopes": ["machines:operate"]}, [("reason", "required")]),
        ({"expires_at": "2020-01-01"}, [("expires_at", "invalid")]),
    ],
)
def test_an_edit_that_cannot_be_meant_changes_nothing(
    world: World, manager: APIClient, body: dict[str, Any], told: list[tuple[str, str]]
) -> None:
    issued = make_token(world.edge, "machines:read")

    response = manager.patch(url(issued), body)

    assert (response.status_code, errors(response)) == (400, told)
    assert present(issued).version == 1


def test_an_unseparated_token_takes_no_grants(world: World, manager: APIClient) -> None:
    issued = make_token(world.manager, "machines:read", privilege_separation=False)

    bodies: list[dict[str, list[str]]] = [{"grants": []}, {"machines": [str(world.edge_1.pk)]}]
    for body in bodies:
        response = manager.patch(url(issued), body)
        assert (response.status_code, errors(response)) == (400, [(next(iter(body)), "contradiction")])
    assert manager.patch(url(issued), {"machines": "all"}).status_code == 200


def test_a_put_or_delete_of_a_token_is_no_method(world: World, manager: APIClient) -> None:
    issued = make_token(world.edge, "machines:read")

    assert [manager.put(url(issued), {}).status_code, manager.delete(url(issued)).status_code] == [405, 405]


# If-Match


@pytest.mark.parametrize(
    ("method", "verb", "body"),
    [
        ("patch", "", {"name": "other"}),
        ("post", "disable", {}),
        ("post", "revoke", {}),
        ("post", "rotate", {}),
    ],
)
def test_a_stale_if_match_changes_nothing(
    world: World, manager: APIClient, method: str, verb: str, body: dict[str, str]
) -> None:
    issued = make_token(world.edge, "machines:read")
    call = getattr(manager, method)

    stale = call(url(issued, verb), body, headers={"if-match": '"7"'})
    assert code(stale) == (412, "precondition_failed")
    assert present(issued).version == 1
    assert code(call(url(issued, verb), body, headers={"if-match": "1"})) == (400, "bad_if_match")

    etag = manager.get(url(issued))["ETag"]
    assert call(url(issued, verb), body, headers={"if-match": etag}).status_code == 200
    assert present(issued).version == 2


# Lifecycle


def test_the_life_of_a_token(world: World, manager: APIClient) -> None:
    issued = make_token(world.edge, "machines:read")

    statuses = []
    for verb in ("disable", "enable", "revoke"):
        response = manager.post(url(issued, verb), {"reason": f"to {verb}"})
        assert response.status_code == 200
        assert set(response.json()) == FIELDS
        statuses.append(response.json()["status"])
        assert (last_event().action, last_event().reason) == (f"token.{verb}d", f"to {verb}")

    assert statuses == ["disabled", "active", "revoked"]
    assert manager.get(url(issued)).json()["status_reason"] == "by_hand"
    assert manager.get(url(issued)).json()["machines"] == []
    for verb in ("disable", "enable", "revoke", "rotate"):
        assert code(manager.post(url(issued, verb), {})) == (409, "illegal_move")


def test_a_rotation_answers_with_the_new_secret_and_the_end_of_the_old(
    world: World, manager: APIClient
) -> None:
    issued = make_token(world.edge, "machines:read")

    response = manager.post(url(issued, "rotate"), {"overlap": "24h"})

    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    data = response.json()
    assert set(data) == FIELDS | {"secret", "previous_valid_until"}
    assert data["id"] == issued.token.pk
    assert data["previous_valid_until"].endswith("Z")
    assert data["rotated_at"] is not None
    assert token_client_of(data["secret"]).get(f"{API}whoami/").status_code == 200
    assert token_client(issued).get(f"{API}whoami/").status_code == 200
    assert manager.post(url(issued, "rotate"), {}).json()["previous_valid_until"] is None
    assert token_client(issued).get(f"{API}whoami/").status_code == 401


@pytest.mark.parametrize("overlap", ["8d", "-1h", "1w", "1.5h", 24, "", "24 h", None])
def test_an_overlap_is_written_strictly(world: World, manager: APIClient, overlap: Any) -> None:
    issued = make_token(world.edge, "machines:read")

    response = manager.post(url(issued, "rotate"), {"overlap": overlap})

    assert response.status_code == 400
    assert [field for field, _ in errors(response)] == ["overlap"]
    assert present(issued).version == 1


def test_admins_disable_and_revoke_a_persons_token_but_never_rotate_it(world: World) -> None:
    issued = make_token(world.manager, "machines:read", "snapshots:read")
    admin = session_client(world.admin)

    assert code(admin.post(url(issued, "rotate"), {})) == (403, "forbidden")
    assert events(action="token.rotated") == ["token.rotated denied"]
    assert TokenSecret.objects.count() == 1
    assert code(admin.patch(url(issued), {"scopes": ["audit:read"], "reason": "x"})) == (
        403,
        "widening_refused",
    )
    assert admin.patch(url(issued), {"scopes": ["machines:read"]}).status_code == 200
    assert admin.post(url(issued, "disable"), {}).status_code == 200
    assert admin.post(url(issued, "revoke"), {}).status_code == 200


def test_a_superusers_session_manages_everywhere_but_issues_to_nobody_else(
    world: World, other: Fleet
) -> None:
    root = session_client(make_superuser())
    issued = make_token(other, "machines:read")

    assert root.get(url(issued)).status_code == 200
    assert root.post(url(issued, "disable"), {}).status_code == 200
    body = {"name": "x", "scopes": ["machines:read"], "organization": "acme"}
    assert code(root.post(TOKENS, {**body, "owner": world.manager.username})) == (403, "forbidden")
    assert code(root.post(TOKENS, body)) == (409, "owner_inactive")
    assert root.post(TOKENS, {**body, "owner": "fleet:edge"}).status_code == 201


# Idempotency


def test_a_repeated_issue_is_one_token_and_no_second_look_at_its_secret(manager: APIClient) -> None:
    key = {"idempotency-key": "k1"}
    first = manager.post(TOKENS, CI, headers=key)
    assert first.status_code == 201

    again = manager.post(TOKENS, CI, headers=key)

    assert code(again) == (409, "already_done")
    assert again.json()["id"] == first.json()["id"]
    assert first.json()["secret"] not in again.content.decode()
    assert code(manager.post(TOKENS, {**CI, "name": "other"}, headers=key))[0] == 422
    assert Token.objects.count() == 1
    assert events(action="token.issued") == ["token.issued allowed"]


def test_a_refused_issue_does_not_use_up_its_key(manager: APIClient) -> None:
    key = {"idempotency-key": "k1"}
    assert manager.post(TOKENS, {**CI, "scopes": ["machines:operate"]}, headers=key).status_code == 400

    assert manager.post(TOKENS, CI, headers=key).status_code == 201


def test_a_repeated_rotation_rotates_once(world: World, manager: APIClient) -> None:
    issued = make_token(world.edge, "machines:read")
    key = {"idempotency-key": "k1"}
    secret = manager.post(url(issued, "rotate"), {}, headers=key).json()["secret"]

    again = manager.post(url(issued, "rotate"), {}, headers=key)

    assert code(again) == (409, "already_done")
    assert again.json()["id"] == issued.token.pk
    assert TokenSecret.objects.filter(token=issued.token).count() == 2
    assert token_client_of(secret).get(f"{API}whoami/").status_code == 200


def test_a_key_is_its_callers_own(world: World, manager: APIClient) -> None:
    key = {"idempotency-key": "k1"}
    assert manager.post(TOKENS, CI, headers=key).status_code == 201

    assert session_client(world.owner).post(TOKENS, {**CI, "owner": "core"}, headers=key).status_code == 201


# Permissions


def test_permissions_say_what_is_effective_and_which_row_gives_it(world: World, manager: APIClient) -> None:
    rows = (GrantWish("/fleets/edge", "Operator"), GrantWish(world.edge_1.path, "Viewer", propagate=False))
    issued = make_token(world.edge, "machines:read", "machines:operate", grants=rows)

    response = manager.get(url(issued, "permissions"))
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    edge = {"path": "/fleets/edge", "role": "Operator", "propagate": True}
    assert response.json() == {
        "path": "/fleets/edge",
        "scopes": ["machines:operate", "machines:read"],
        "given_by": [
            {"scope": "machines:operate", "risk": "medium", **edge},
            {"scope": "machines:read", "risk": "low", **edge},
        ],
        "paths": ["/fleets/edge", world.edge_1.path],
    }
    deeper = manager.get(url(issued, "permissions"), {"path": world.edge_1.path}).json()
    assert deeper["given_by"] == [
        {
            "scope": "machines:read",
            "risk": "low",
            "path": world.edge_1.path,
            "role": "Viewer",
            "propagate": False,
        }
    ]
    assert manager.get(url(issued, "permissions"), {"path": "/"}).json()["scopes"] == []


def test_an_unseparated_tokens_permissions_name_what_gives_them_to_its_person(
    world: World, manager: APIClient
) -> None:
    group = make_group(world.acme)
    make_group_member(group, user=world.manager)
    make_entry(world.acme, "/nodes", "Viewer", group=group)
    make_entry(world.acme, "/nodes/n1", "Operator", user=world.manager)
    issued = make_token(world.manager, "machines:read", privilege_separation=False)

    def given(path: str) -> list[tuple[str, str | None]]:
        found = manager.get(url(issued, "permissions"), {"path": path}).json()["given_by"]
        return [(giver["path"], giver["role"]) for giver in found]

    assert given("/fleets/edge") == [("/fleets/edge", None)]
    assert given(world.edge_1.path) == [("/fleets/edge", None)]
    assert given("/nodes") == [("/nodes", "Viewer")]
    assert given("/nodes/n1") == [("/nodes/n1", "Operator")]
    assert given("/nodes/n2") == [("/nodes", "Viewer")]
    assert given("/") == []


def test_what_a_superuser_holds_nothing_in_particular_gives(world: World) -> None:
    root = make_superuser()
    make_member(world.acme, user=root)
    make_entry(world.acme, "/nodes", "Viewer", user=root)
    issued = make_token(root, "machines:operate", organization=world.acme, privilege_separation=False)

    said = session_client(root).get(url(issued, "permissions"), {"path": "/nodes"}).json()

    nothing = {"path": None, "role": None, "propagate": None}
    assert said["given_by"] == [{"scope": "machines:operate", "risk": "medium", **nothing}]


@pytest.mark.parametrize(
    ("query", "field"),
    [("path=//", "path"), ("path=/fleets/nowhere", "path"), ("path=/&path=/", "path"), ("at=/", "at")],
)
def test_permissions_are_asked_for_one_path_that_exists(
    world: World, manager: APIClient, query: str, field: str
) -> None:
    issued = make_token(world.edge, "machines:read")

    response = manager.get(f"{url(issued, 'permissions')}?{query}")

    assert response.status_code == 400
    assert [name for name, _ in errors(response)] == [field]


@pytest.mark.parametrize("status", ["revoked", "rejected"])
def test_what_has_ended_may_nothing_and_can_be_looked_at(world: World, status: str) -> None:
    issued = make_token(world.edge, "machines:read")
    if status == "revoked":
        lifecycle.revoke(present(issued), by=operator)
    owner = session_client(world.owner)

    assert owner.get(url(issued)).status_code == 200
    scopes = owner.get(url(issued, "permissions")).json()["scopes"]
    assert scopes == ([] if status == "revoked" else ["machines:read"])


# Sessions and headers


def test_a_session_needs_the_csrf_token_to_change_anything(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    client = session_client(world.manager, enforce_csrf_checks=True)

    assert client.get(url(issued)).status_code == 200
    assert code(client.post(url(issued, "disable"), {})) == (403, "csrf_failed")
    assert code(client.post(TOKENS, CI)) == (403, "csrf_failed")
    assert present(issued).version == 1


def test_a_header_beside_a_cookie_is_who_calls_and_needs_no_csrf_token(world: World) -> None:
    issued = make_token(world.manager, "tokens:manage", "tokens:read", "machines:read")
    client = session_client(world.owner, enforce_csrf_checks=True)
    bearer = {"authorization": f"Bearer {issued.secret.reveal()}"}

    who = client.get(f"{API}whoami/", headers=bearer).json()
    assert (who["type"], who["user"]["username"]) == ("token", world.manager.username)
    assert client.post(TOKENS, CI, headers=bearer).status_code == 201
    assert last_event(action="token.issued").actor_type == "token"


def test_a_bad_header_never_becomes_the_cookie(world: World) -> None:
    client = session_client(world.owner)

    for header in (
        {"authorization": "Bearer nonsense"},
        {"authorization": "Basic eDp5"},
        {"x-auth-token": ""},
    ):
        assert code(client.get(TOKENS, headers=header)) == (401, "token_invalid")
    assert client.get(TOKENS).status_code == 200


def test_a_stranger_is_asked_for_a_credential(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    for path in (TOKENS, url(issued), url(issued, "permissions"), f"{API}token/", f"{API}whoami/"):
        response = APIClient().get(path)
        assert code(response) == (401, "credential_missing")
        assert response["WWW-Authenticate"] == 'Bearer realm="tokenhouse"'


# Tokens that manage tokens


def managing(world: World, *scopes: str, **options: Any) -> APIClient:
    return token_client(make_token(world.manager, *scopes, **options))


def test_a_token_asks_its_scope_first_whatever_the_body_or_the_object(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    client = managing(world, "machines:read", "tokens:read")

    answers = [
        client.post(TOKENS, {"nonsense": 1}),
        client.patch(url(issued), {"nonsense": 1}),
        client.post(url(issued, "revoke"), {"nonsense": 1}),
        client.post(f"{TOKENS}{NOBODY}/rotate/", {}),
    ]
    assert [code(answer) for answer in answers] == [(403, "insufficient_scope")] * 4
    assert client.get(url(issued)).status_code == 200
    assert events(actor_type="token") == ["token.denied denied"] * 4 + ["token.used allowed"]


def test_each_call_of_a_token_is_recorded_before_its_verb_and_once(world: World) -> None:
    own, fleets = make_token(world.manager, "machines:read"), make_token(world.edge, "machines:read")
    client = managing(world, "tokens:manage", "tokens:read", "machines:read")

    for issued, path in ((own, "/"), (fleets, "/fleets/edge")):
        since = Event.objects.count()
        assert client.post(url(issued, "disable"), {}).status_code == 200
        recorded = list(Event.objects.order_by("id")[since:])
        assert [event.action for event in recorded] == ["token.used", "token.disabled"]
        assert (recorded[0].data["scope"], recorded[0].data["path"]) == ("tokens:manage", path)
        assert {event.request_id for event in recorded} == {recorded[0].request_id}


def test_a_token_that_manages_but_does_not_read_manages(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    client = managing(world, "tokens:manage")

    assert client.post(url(issued, "disable"), {}).status_code == 200
    assert code(client.get(url(issued))) == (403, "insufficient_scope")
    assert code(client.get(TOKENS)) == (403, "insufficient_scope")
    assert code(client.post(url(make_token(world.core, "machines:read"), "disable"), {})) == (
        404,
        "not_found",
    )


def test_what_a_token_does_not_find_is_in_its_trail(world: World) -> None:
    client = managing(world, "tokens:read")

    assert client.get(f"{TOKENS}{NOBODY}/").status_code == 404
    assert client.get(url(make_token(world.core, "machines:read"))).status_code == 404

    assert events(actor_type="token") == ["token.denied denied"] * 2


def test_a_token_cannot_tell_who_else_there_is(world: World) -> None:
    client = managing(world, "tokens:manage", "tokens:read", "machines:read")
    body = {"name": "x", "scopes": ["machines:read"]}

    known, unknown = (
        client.post(TOKENS, {**body, "owner": owner}) for owner in (world.auditor.username, "nobody")
    )
    assert known.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}
    assert code(known) == (404, "not_found")
    core, nowhere = (client.post(TOKENS, {**body, "owner": f"fleet:{slug}"}) for slug in ("core", "nowhere"))
    assert core.json() | {"request_id": ""} == nowhere.json() | {"request_id": ""}
    assert client.post(TOKENS, {**body, "owner": world.manager.username}).status_code == 201


@pytest.mark.parametrize("door", ["tokens", "token"])
def test_an_older_secret_rotates_its_token_only_while_the_newest_is_unused(world: World, door: str) -> None:
    issued = make_token(world.manager, "tokens:manage", "machines:read")
    path = url(issued, "rotate") if door == "tokens" else f"{API}token/rotate/"
    client = token_client(issued)

    second = client.post(path, {"overlap": "1h"}).json()["secret"]
    third = client.post(path, {"overlap": "1h"}).json()["secret"]
    assert token_client_of(second).get(f"{API}whoami/").status_code == 401
    assert token_client_of(third).get(f"{API}whoami/").status_code == 200

    assert code(client.post(path, {})) == (409, "newer_secret_in_use")
    assert token_client_of(third).post(path, {}).status_code == 200


def test_a_tokens_child_is_no_more_than_it(world: World) -> None:
    client = managing(world, "tokens:manage", "machines:read")
    body = {"name": "child", "scopes": ["machines:read"]}

    assert code(client.post(TOKENS, {**body, "scopes": ["snapshots:read"]})) == (403, "exceeds_your_rights")
    assert code(client.post(TOKENS, {**body, "expires_in": "never"})) == (403, "outlives_issuer")
    assert code(client.post(TOKENS, {**body, "expires_in": "1y"})) == (403, "outlives_issuer")
    assert events(action="token.issued", actor_type="token") == ["token.issued denied"] * 3
    assert client.post(TOKENS, body).status_code == 201


def test_a_status_that_ended_is_shown_with_its_reason(world: World, manager: APIClient) -> None:
    shown = {
        status: manager.get(url(with_status(world.edge, status))).json()
        for status in ("pending", "active", "expired", "disabled", "rejected", "revoked")
    }

    assert {status: data["status"] for status, data in shown.items()} == {status: status for status in shown}
    assert {status: data["status_reason"] for status, data in shown.items() if data["status_reason"]} == {
        "rejected": "withdrawn",
        "revoked": "by_hand",
    }


def test_a_deregistered_or_moved_machine_is_shown_as_gone(world: World, manager: APIClient) -> None:
    issued = make_token(world.edge, "machines:read", machines=[world.edge_1, world.edge_2])
    type(world.edge_1).objects.filter(pk=world.edge_1.pk).update(deregistered_at=now())

    shown = manager.get(url(issued)).json()

    assert {machine["name"]: machine["gone"] for machine in shown["machines"]} == {
        "edge-1": True,
        "edge-2": False,
    }
    assert shown["hints"] == ["machine_gone"]
