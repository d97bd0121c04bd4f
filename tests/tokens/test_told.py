"""How fields of a token are worded for people, and where: requests for approval, and a token's timeline."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from approvals.models import ApprovalRequest
from fleets.models import User
from tests.factories import make_token, session_client
from tests.tokens.conftest import World
from tokens.told import in_words

FRIDAY = {"days": ["fri"], "start": "22:00", "end": "06:00"}
NIGHT = "fri 22:00–06:00"
MONTH = 30 * 24 * 3600


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rotate_every", "P90DT00H00M00S", "90d"),
        ("lifetime", "30 days, 0:00:00", "30d"),
        ("lifetime", MONTH, "30d"),
        ("lifetime", "P0DT36H00M00S", "36h"),
        ("lifetime", "P0DT00H00M30S", "P0DT00H00M30S"),
        ("rotate_every", "None", "–"),
        ("expires_at", "2030-01-02T03:04:05.678Z", "2030-01-02 03:04 UTC"),
        ("expires_at", "2030-01-02T03:04:05+02:00", "2030-01-02 01:04 UTC"),
        ("expires_at", "2030-01-02 03:04:05.678", "2030-01-02 03:04 UTC"),
        ("expires_at", datetime(2030, 1, 2, tzinfo=UTC), "2030-01-02 00:00 UTC"),
        ("expires_at", "soon", "soon"),
        ("expires_at", None, "never"),
        ("grants", None, "wherever whom it acts as may"),
        ("grants", [], "–"),
        (
            "grants",
            [{"path": "/fleets/edge", "role": None, "propagate": True}],
            "all its scopes on /fleets/edge",
        ),
        (
            "grants",
            [{"path": "/", "role": "Viewer", "propagate": False}, {"path": "/vms/7", "role": "NoAccess"}],
            "Viewer on /, and not below, NoAccess on /vms/7",
        ),
        ("machines", [{"id": "0198", "name": "pump"}, {"id": "0199", "name": "lamp"}], "pump, lamp"),
        ("access_windows", [FRIDAY], NIGHT),
        ("access_windows", None, "at any time"),
        ("allowed_networks", None, "any"),
        ("allowed_networks", ["10.0.0.0/8", "::1/128"], "10.0.0.0/8, ::1/128"),
        ("rate_limit", "", "no limit"),
        ("rate_limit", "3/second", "3/second"),
        ("all_machines", "True", "yes"),
        ("all_machines", False, "no"),
        ("description", "True", "True"),
        ("anything", {"of_a": {"new": True}, "kind": []}, "of a new yes, kind –"),
        ("anything", {}, "–"),
    ],
)
def test_a_value_is_worded_whoever_kept_it(name: str, value: Any, words: str) -> None:
    assert in_words(name, value) == words


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def shown(request: ApprovalRequest, to: User) -> tuple[str, list[str], list[list[str]]]:
    """What the page of a request says it is: title, headers, rows."""
    page = browser(to).get(f"/admin/approvals/approvalrequest/{request.pk}/change/")
    section = page.context["sections"][0]
    assert "{&quot;" not in page.content.decode()
    return section.title, list(section.headers), [[cell.text for cell in row] for row in section.rows]


def changes_of(token_id: str, to: User) -> dict[str, str]:
    """{action: what became what} of the timeline on a token's page."""
    page = browser(to).get(f"/admin/tokens/token/{token_id}/change/")
    [section] = [section for section in page.context["sections"] if section.title == "Changes"]
    return {str(row[1].text): str(row[4].text) for row in section.rows}


def test_of_a_new_token_its_request_shows_what_it_is_without_a_before_and_without_what_is_empty(
    world: World, approver: User
) -> None:
    body = {
        "kind": "fleet",
        "owner": "edge",
        "name": "nightly",
        "scopes": ["commands:execute"],
        "expires_in": "30d",
        "rotate_every": "90d",
        "access_windows": [FRIDAY],
        "reason": "Repairs at night",
    }
    answer = session_client(world.manager).post("/api/v1/tokens/", body)
    assert answer.status_code == 201, answer.json()

    title, headers, rows = shown(ApprovalRequest.objects.get(), approver)

    assert (title, headers) == ("All of it", ["What", "It is"])
    assert rows == [
        ["Access windows", NIGHT],
        ["All machines", "yes"],
        ["Grants", "all its scopes on /fleets/edge"],
        ["Lifetime", "30d"],
        ["Name", "nightly"],
        ["Privilege separation", "yes"],
        ["Rotate every", "90d"],
        ["Scopes", "commands:execute"],
    ]
    [token] = session_client(world.manager).get("/api/v1/tokens/").json()["results"]
    assert changes_of(token["id"], world.manager).keys() == {"token.issued", "approval.requested"}


def test_of_a_change_its_request_shows_before_and_after(world: World, approver: User) -> None:
    issued = make_token(world.edge, "machines:read")
    body = {
        "scopes": ["commands:execute", "machines:read"],
        "rotate_every": "90d",
        "expires_at": "2090-01-01",
        "reason": "More",
    }
    answer = session_client(world.manager).patch(f"/api/v1/tokens/{issued.token.pk}/", body)
    assert answer.status_code == 202, answer.json()

    title, headers, rows = shown(ApprovalRequest.objects.get(), approver)

    assert (title, headers) == ("Before and after", ["What", "Before", "After"])
    assert ["Rotate every", "–", "90d"] in rows
    assert ["Scopes", "machines:read", "commands:execute, machines:read"] in rows
    assert [row[2] for row in rows if row[0] == "Expires at"] == ["2090-01-01 00:00 UTC"]


def test_what_is_asked_for_stands_in_the_timeline_by_its_words_and_what_was_done_by_its_fields(
    world: World, approver: User
) -> None:
    """The edit and the vote that does it share a request id: the field diffs are those of the edit alone."""
    issued = make_token(world.edge, "machines:read")
    pk, client = issued.token.pk, session_client(world.manager)
    body = {"scopes": ["commands:execute", "machines:read"], "rotate_every": "90d", "reason": "More"}
    assert client.patch(f"/api/v1/tokens/{pk}/", body).status_code == 202
    request = ApprovalRequest.objects.get()
    words = "; ".join(request.diff_words)
    assert changes_of(pk, world.manager)["approval.requested"] == words

    sent = {"diff_digest": request.diff_digest}
    answer = session_client(approver).post(f"/api/v1/approvals/{request.pk}/approve/", sent)
    assert answer.status_code == 200, answer.json()

    told = changes_of(pk, world.manager)
    assert told["approval.requested"] == told["approval.granted"] == words
    assert "→" not in words
    edited = told["token.edited"]
    assert "scopes: machines:read → commands:execute, machines:read" in edited
    assert "rotate every: – → 90d" in edited
    rows = client.get(f"/api/v1/tokens/{pk}/history/").json()["results"]
    by_action = {row["action"]: row for row in rows}
    assert by_action["token.edited"]["request_id"] == by_action["approval.granted"]["request_id"]
    assert by_action["approval.granted"]["changes"] == by_action["approval.requested"]["changes"] == {}
    assert by_action["token.edited"]["changes"]["rotate_every"] == [None, "P90DT00H00M00S"]


def test_a_token_that_was_approved_begins_with_its_lifetime_in_days(world: World, approver: User) -> None:
    body: dict[str, Any] = {"kind": "fleet", "owner": "edge", "name": "nightly", "reason": "Repairs"}
    body |= {"scopes": ["commands:execute"], "expires_in": "30d"}
    issued = session_client(world.manager).post("/api/v1/tokens/", body)
    request = ApprovalRequest.objects.get()
    sent = {"diff_digest": request.diff_digest}
    assert session_client(approver).post(f"/api/v1/approvals/{request.pk}/approve/", sent).status_code == 200

    told = changes_of(issued.json()["id"], world.manager)["token.activated"]

    assert "lifetime: 30d → –" in told
    assert "status: pending → active" in told
