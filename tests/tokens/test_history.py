"""The timeline of a token's changes, its activity, and who learns what of people by them."""

from typing import Any
from uuid import uuid4

import pytest
from auditlog.models import LogEntry
from django.db import connection
from django.forms.models import model_to_dict
from rest_framework.test import APIClient

from audit.models import Event
from fleets.models import User
from tests.factories import (
    events,
    make_application,
    make_application_member,
    make_entry,
    make_fleet_member,
    make_organization,
    make_token,
    member,
    operator,
    owner_of,
    session_client,
    token_client,
)
from tests.performance.test_query_counts import of_call
from tests.tokens.conftest import World
from tests.tokens.issuing import present
from tokens import history, lifecycle, revocation
from tokens.issuance import Issued
from tokens.models import Token, TokenScope


def address(issued: Issued, what: str) -> str:
    return f"/api/v1/tokens/{issued.token.pk}/{what}/"


def timeline(client: APIClient, issued: Issued, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(address(issued, "history"), query)
    assert answer.status_code == 200, answer.content
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


def activity(client: APIClient, issued: Issued, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(address(issued, "activity"), query)
    assert answer.status_code == 200, answer.content
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


# The timeline


def test_a_life_told_newest_first_with_who_when_why_and_what_became_what(world: World) -> None:
    client = session_client(world.manager)
    body = {
        "kind": "fleet",
        "owner": "edge",
        "name": "nightly",
        "scopes": ["machines:read", "snapshots:read"],
    }
    pk = client.post("/api/v1/tokens/", body).json()["id"]
    issued = Issued(Token.objects.get(pk=pk), None)  # type: ignore[arg-type]
    one = f"/api/v1/tokens/{pk}/"
    answers = [
        client.patch(one, {"description": "of the job", "scopes": ["machines:read"], "reason": "less"}),
        client.post(f"{one}rotate/", {}),
        client.post(f"{one}disable/", {"reason": "Odd traffic"}),
        client.post(f"{one}enable/", {}),
        client.post(f"{one}revoke/", {"reason": "Done"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5

    rows = timeline(client, issued)

    assert [row["action"].partition(".")[2] for row in rows] == [
        "revoked",
        "enabled",
        "disabled",
        "rotated",
        "edited",
        "issued",
    ]
    assert [row["reason"] for row in rows] == ["Done", "", "Odd traffic", "", "less", ""]
    assert {row["actor"]["label"] for row in rows} == {world.manager.username}
    assert [row["request_id"] for row in rows[:5]] == [answer["X-Request-ID"] for answer in answers[::-1]]
    revoked, enabled, disabled, rotated, edited, born = (row["changes"] for row in rows)
    assert revoked == {"status": ["active", "revoked"], "status_reason": ["", "by_hand"]}
    assert (enabled, disabled) == ({"status": ["disabled", "active"]}, {"status": ["active", "disabled"]})
    assert (rotated, born) == ({}, {})
    assert edited["description"] == ["", "of the job"]
    assert edited["scopes"] == [["machines:read", "snapshots:read"], ["machines:read"]]
    assert rows[3]["data"]["generation"] == 2
    assert rows[-1]["data"]["scopes"] == ["machines:read", "snapshots:read"]
    assert "changes" not in rows[4]["data"]


def test_it_holds_neither_uses_nor_what_was_refused_nor_what_the_token_did_to_others(world: World) -> None:
    issued = make_token(world.owner, "tokens:manage", "machines:read", privilege_separation=False)
    other = make_token(world.edge, "machines:read")
    client = token_client(issued)
    assert client.get("/api/v1/whoami/").status_code == 200
    assert client.post(f"/api/v1/tokens/{other.token.pk}/disable/", {}).status_code == 200
    assert session_client(world.auditor).post(address(issued, "revoke"), {}).status_code == 403

    assert [row["action"] for row in timeline(session_client(world.owner), issued)] == ["token.issued"]
    assert [row["action"] for row in timeline(session_client(world.owner), other)] == [
        "token.disabled",
        "token.issued",
    ]


def test_what_the_event_says_of_a_field_is_what_counts(world: World) -> None:
    issued = make_token(world.edge, "machines:read", "snapshots:write")
    client = session_client(world.manager)

    client.patch(address(issued, "")[:-1], {"scopes": ["machines:read"]})

    changes = timeline(client, issued)[0]["changes"]
    assert changes["risk"] == ["medium", "low"]
    assert LogEntry.objects.get_for_object(issued.token).get().changes["risk"] == [1, 0]


def test_a_diff_of_another_request_is_not_mixed_in(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    client = session_client(world.manager)
    client.patch(address(issued, "")[:-1], {"description": "one"})
    client.patch(address(issued, "")[:-1], {"description": "two"})

    rows = timeline(client, issued)

    assert [row["changes"] for row in rows[:2]] == [
        {"description": ["one", "two"]},
        {"description": ["", "one"]},
    ]


def test_a_mass_revocation_names_its_batch(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    batch = revocation.revoke_all(world.acme, owner=world.edge, reason="They leaked", by=operator)

    row = timeline(session_client(world.manager), issued)[0]

    assert row["data"] == {"status_reason": "by_hand", "batch": str(batch.id)}
    assert row["reason"] == "They leaked"


def test_a_page_for_the_admin_has_the_newest(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    for reason in ("one", "two"):
        lifecycle.disable(present(issued), reason=reason, by=operator)
        lifecycle.enable(present(issued), by=operator)

    found = history.latest(present(issued), 3)

    assert [change.event.reason for change in found] == ["", "two", ""]


def test_changes_are_found_by_their_own_index(world: World) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's planner is asked nothing")
    token = make_token(world.edge, "machines:read").token
    issued = Event.objects.get(action="token.issued", target_id=token.pk)
    uses = {
        **model_to_dict(issued, exclude=["id"]),
        "action": "token.used",
    }  # editable fields: not the sequence
    Event.objects.bulk_create(Event(**uses) for _ in range(5000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE audit_event")  # as autovacuum does; a planner without statistics guesses

    plan = history.changes_of(token)[:50].explain()

    assert "event_of_change" in plan


# Activity


def test_activity_is_all_that_it_did_and_that_was_done_to_it(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    client = token_client(issued)
    assert client.get("/api/v1/machines/").status_code == 200
    assert client.post("/api/v1/machines/", {"fleet": "edge", "name": "new"}).status_code == 403

    rows = activity(session_client(world.manager), issued)

    assert [(row["action"], row["outcome"]) for row in rows] == [
        ("token.denied", "denied"),
        ("token.used", "allowed"),
        ("token.issued", "allowed"),
    ]
    assert rows[0]["reason"] == "insufficient_scope"
    assert {row["organization"] for row in rows} == {"acme"}
    assert [row["address"] for row in rows[:2]] == ["127.0.0.1"] * 2


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"action": "token.used"}, ["token.used"]),
        ({"outcome": "denied"}, ["token.denied"]),
        ({"since": "2999-01-01T00:00:00Z"}, []),
        ({"until": "2000-01-01T00:00:00Z"}, []),
        ({"until": "2999-01-01T00:00:00Z", "action": "token.issued"}, ["token.issued"]),
        ({"request_id": "mine-1"}, ["token.denied"]),
        ({"request_id": "nobodys"}, []),
        ({"organization": "acme", "limit": "1"}, ["token.denied"]),
    ],
)
def test_activity_is_filtered_like_the_trail(
    world: World, query: dict[str, str], expected: list[str]
) -> None:
    issued = make_token(world.edge, "machines:read")
    client = token_client(issued)
    client.get("/api/v1/machines/")
    client.post("/api/v1/machines/", {"fleet": "edge"}, headers={"x-request-id": "mine-1"})

    rows = activity(session_client(world.manager), issued, **query)

    assert [row["action"] for row in rows] == expected


@pytest.mark.parametrize("what", ["history", "activity"])
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"actor": "x"}, 400),
        ({"token": "x"}, 400),
        ({"target": "x"}, 400),
        ({"nope": "x"}, 400),
        ({"action": "x"}, 400),
        ({"since": "yesterday"}, 400),
        ({"limit": "0"}, 400),
        ({"cursor": "x"}, 400),
        ({"organization": "nope"}, 404),
        ({"organization": "acme"}, 200),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused(
    world: World, what: str, query: dict[str, str], status: int
) -> None:
    issued = make_token(world.edge, "machines:read")

    assert session_client(world.manager).get(address(issued, what), query).status_code == status


@pytest.mark.parametrize("what", ["history", "activity"])
def test_pages_follow_each_other_and_miss_nothing(world: World, what: str) -> None:
    issued = make_token(world.edge, "machines:read")
    for _ in range(3):
        lifecycle.disable(present(issued), by=operator)
        lifecycle.enable(present(issued), by=operator)
    client = session_client(world.manager)

    seen: list[str] = []
    next_page: str | None = f"{address(issued, what)}?limit=3"
    while next_page:
        document = client.get(next_page).json()
        seen += [row["id"] for row in document["results"]]
        next_page = document["next"]

    assert len(seen) == len(set(seen)) == 7
    assert seen == sorted(seen, reverse=True)


# Who may


@pytest.mark.parametrize("what", ["history", "activity"])
@pytest.mark.parametrize(
    ("who", "status"),
    [("manager", 200), ("admin", 200), ("auditor", 200), ("viewer", 404), ("member", 404), ("stranger", 404)],
)
def test_who_sees_a_fleets_token_reads_what_happened_to_it(
    world: World, what: str, who: str, status: int
) -> None:
    issued = make_token(world.edge, "machines:read")
    people = {
        "viewer": lambda: make_fleet_member(world.edge, "viewer").user,
        "member": lambda: member(world.acme),
        "stranger": lambda: owner_of(make_organization("globex")),
    }
    person: User = people[who]() if who in people else getattr(world, who)

    assert session_client(person).get(address(issued, what)).status_code == status
    assert APIClient().get(address(issued, what)).status_code == 401


@pytest.mark.parametrize("what", ["history", "activity"])
def test_people_read_what_happened_to_their_own_tokens_and_to_those_that_they_lead(
    world: World, what: str
) -> None:
    person = member(world.acme)
    application = make_application(world.acme, "billing")
    make_application_member(application, user=person)
    theirs, led = make_token(person, "machines:read"), make_token(application, "machines:read")
    other = make_token(world.owner, "machines:read")

    client = session_client(person)

    assert [client.get(address(issued, what)).status_code for issued in (theirs, led, other)] == [
        200,
        200,
        404,
    ]


@pytest.mark.parametrize("what", ["history", "activity"])
@pytest.mark.parametrize(
    ("scopes", "status"),
    [(("tokens:read",), 200), (("tokens:manage",), 403), (("audit:read",), 403), (("machines:read",), 403)],
)
def test_a_token_needs_to_read_tokens(world: World, what: str, scopes: tuple[str, ...], status: int) -> None:
    issued = make_token(world.edge, "machines:read")
    client = token_client(make_token(world.owner, *scopes))

    assert client.get(address(issued, what)).status_code == status


def test_reading_is_recorded_as_the_use_of_the_scope_and_changes_nothing(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    calling = make_token(world.owner, "tokens:read")
    before = events()

    answer = token_client(calling).get(address(issued, "history"))

    assert events()[len(before) :] == ["token.used allowed"]
    used = Event.objects.get(request_id=answer["X-Request-ID"])
    assert (used.data["scope"], used.actor_id) == ("tokens:read", calling.token.pk)


def test_an_ended_token_keeps_its_history(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    revocation.revoke(present(issued), by=operator)

    assert [row["action"] for row in timeline(session_client(world.manager), issued)] == [
        "token.revoked",
        "token.issued",
    ]


# People's names


@pytest.mark.parametrize("what", ["history", "activity"])
def test_a_fleets_token_would_learn_nothing_of_people_even_if_it_could_read_tokens(
    world: World, what: str
) -> None:
    """No issue gives it the scope: it is put into the rows here, to see that the answer does not count on that."""
    browser = session_client(world.manager)
    body = {"kind": "fleet", "owner": "edge", "name": "nightly", "scopes": ["machines:read"]}
    pk = browser.post("/api/v1/tokens/", body, headers={"user-agent": "curl/8"}).json()["id"]
    reading = make_token(world.edge, "machines:read")
    TokenScope.objects.create(token=reading.token, scope="tokens:read")
    make_entry(world.acme, "/fleets/edge", "Administrator", user=reading.token.principal)

    to_person = browser.get(f"/api/v1/tokens/{pk}/{what}/")
    to_personal = token_client(make_token(world.owner, "tokens:read")).get(f"/api/v1/tokens/{pk}/{what}/")
    to_fleet = token_client(reading).get(f"/api/v1/tokens/{pk}/{what}/")

    assert to_person.json()["results"] == to_personal.json()["results"]
    assert to_person.json()["results"][0]["actor"]["label"] == world.manager.username
    assert to_fleet.status_code == 200, to_fleet.content
    assert to_fleet.json()["results"][0]["actor"] == {"type": "person", "id": "", "label": ""}
    for told in (world.manager.username, str(world.manager.pk), "127.0.0.1", "curl/8"):
        assert told not in to_fleet.content.decode()


# What it costs


def test_thirty_rows_cost_what_one_costs(world: World) -> None:
    reading = make_token(world.owner, "tokens:read")
    clients = {"person": session_client(world.manager), "token": token_client(reading)}
    few, many = make_token(world.edge, "machines:read"), make_token(world.edge, "machines:read")
    for number in range(29):
        writer = session_client(world.manager)
        assert writer.patch(address(many, "")[:-1], {"description": str(number)}).status_code == 200
    asked = [(who, what) for who in clients for what in ("history", "activity")]
    for who, what in asked:  # auditlog looks its content types up once a process
        clients[who].get(address(few, what))

    one, thirty = (
        {(who, what): of_call(clients[who], address(issued, what)) for who, what in asked}
        for issued in (few, many)
    )
    assert thirty == one
    found = {(who, what): len(clients[who].get(address(many, what)).json()["results"]) for who, what in asked}
    assert found == dict.fromkeys(asked, 30)


def test_an_id_that_nobody_has_is_missing(world: World) -> None:
    client = session_client(world.owner)
    for pk in ("x", str(uuid4()), "0" * 16, "%00"):
        for what in ("history", "activity"):
            assert client.get(f"/api/v1/tokens/{pk}/{what}/").status_code == 404


# In the admin


def test_the_page_of_a_token_tells_its_changes(world: World) -> None:
    client = session_client(world.owner)
    issued = make_token(world.edge, "machines:read", "snapshots:read")
    body = {"description": "<b>nightly</b>", "scopes": ["machines:read"], "reason": "less is enough"}
    assert client.patch(address(issued, "")[:-1], body).status_code == 200

    page = client.get(f"/admin/tokens/token/{issued.token.pk}/change/").content.decode()

    for told in (
        "token.edited",
        "less is enough",
        "description: – → &lt;b&gt;nightly&lt;/b&gt;",
        "scopes: machines:read, snapshots:read → machines:read",
    ):
        assert told in page
    assert "<b>nightly" not in page
