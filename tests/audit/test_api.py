"""`/api/v1/audit/events/`: who may read what happened, and how it is found."""

from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from audit.models import Event
from config.edge.clock import now
from fleets.models import Organization
from tests.factories import (
    API,
    events,
    fleet_member,
    last_event,
    make_fleet,
    make_machine,
    make_member,
    make_organization,
    make_superuser,
    make_token,
    member,
    owner_of,
    session_client,
    token_client,
)

pytestmark = pytest.mark.django_db
EVENTS = f"{API}audit/events/"


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def actions(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["action"] for row in response.data["results"]]


def test_an_event_is_written_as_the_contract_says(acme: Organization) -> None:
    owner = owner_of(acme)
    client = session_client(owner)
    answer = client.post(
        f"{API}fleets/",
        {"slug": "edge", "name": "Edge"},
        headers={"x-request-id": "mine-1", "user-agent": "curl/8"},
    )

    event = last_event(action="fleet.opened")
    assert client.get(f"{EVENTS}{event.pk}/").json() == {
        "id": str(event.pk),
        "sequence": None,
        "at": event.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "action": "fleet.opened",
        "actor": {"type": "person", "id": str(owner.pk), "label": owner.username},
        "on_behalf_of": None,
        "target": {"type": "fleet", "id": answer.json()["id"], "label": "edge"},
        "organization": "acme",
        "outcome": "allowed",
        "reason": "",
        "address": "127.0.0.1",
        "user_agent": "curl/8",
        "request_id": answer["X-Request-ID"],
        "client_request_id": "mine-1",
        "data": {},
    }


def test_a_tokens_event_says_on_whose_behalf(acme: Organization) -> None:
    issued = make_token(make_fleet(acme, "edge"), "machines:read")
    token_client(issued).get(f"{API}machines/")

    row = session_client(owner_of(acme)).get(f"{EVENTS}?action=token.used").json()["results"][0]

    assert (row["actor"]["type"], row["actor"]["id"]) == ("token", issued.token.pk)
    assert row["on_behalf_of"]["type"] == "technical_user"
    assert row["on_behalf_of"]["id"] == str(issued.token.principal_id)


def test_reading_needs_the_scope_at_the_root(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    auditor, manager = member(acme, "auditor"), fleet_member(edge, "manager")
    event = last_event()

    assert session_client(auditor).get(EVENTS).status_code == 200
    assert token_client(make_token(auditor, "audit:read")).get(f"{EVENTS}{event.pk}/").status_code == 200
    for client in (
        session_client(manager),
        token_client(make_token(edge, "machines:read")),
        token_client(make_token(auditor, "machines:read")),
    ):
        assert code(client.get(EVENTS)) == (403, "insufficient_scope")
        assert code(client.get(f"{EVENTS}{event.pk}/")) == (403, "insufficient_scope")
    assert code(APIClient().get(EVENTS)) == (401, "credential_missing")


def test_events_of_another_organization_do_not_exist(acme: Organization) -> None:
    other = make_organization("other")
    make_machine(make_fleet(other, "secret-fleet"))
    theirs = last_event(organization_id=other.pk)
    client = session_client(owner_of(acme))

    assert "secret-fleet" not in client.get(f"{EVENTS}?limit=200").content.decode()
    assert code(client.get(f"{EVENTS}{theirs.pk}/")) == (404, "not_found")
    assert code(client.get(f"{EVENTS}?organization=other")) == (404, "not_found")
    assert actions(client.get(f"{EVENTS}?target={theirs.target_id}")) == []
    assert code(client.get(f"{EVENTS}?target=a&organization=")) == (404, "not_found")
    assert session_client(owner_of(other)).get(f"{EVENTS}{theirs.pk}/").status_code == 200


def test_only_a_superusers_browser_reads_several_organizations(acme: Organization) -> None:
    other, root = make_organization("other"), make_superuser()
    make_member(acme, "owner", user=root)
    issued = make_token(root, "audit:read", organization=acme)

    assert (
        session_client(root).get(f"{EVENTS}?organization=other").json()["results"][0]["organization"]
        == "other"
    )
    assert code(token_client(issued).get(f"{EVENTS}?organization=other")) == (404, "not_found")
    assert token_client(issued).get(EVENTS).json()["results"][0]["organization"] == "acme"
    assert last_event(organization_id=other.pk).actor_id != issued.token.pk


@pytest.mark.parametrize(
    "query",
    [
        "actor=person:{owner.pk}&action=fleet.opened",
        "actor={owner.pk}&target=edge",
        "actor={owner.username}&target=edge",
        "target=fleet:{fleet.pk}",
        "target={fleet.pk}",
        "target=edge",
        "action=fleet.opened&outcome=allowed",
        "request_id={request}",
        "request_id=mine-1",
        "since={event.at:%Y-%m-%dT%H:%M:%S.%fZ}&action=fleet.opened",
        "until={later:%Y-%m-%dT%H:%M:%SZ}&action=fleet.opened",
        "since=2020-01-01T00:00:00%2B02:00&action=fleet.opened",
    ],
)
def test_events_are_found(acme: Organization, query: str) -> None:
    client = session_client(owner := owner_of(acme))
    answer = client.post(
        f"{API}fleets/", {"slug": "edge", "name": "Edge"}, headers={"x-request-id": "mine-1"}
    )
    make_fleet(make_organization("other"), "edge")
    event = last_event(action="fleet.opened", organization_id=acme.pk)

    class Made:
        pk = answer.json()["id"]

    asked = query.format(
        owner=owner, fleet=Made, request=answer["X-Request-ID"], event=event, later=now() + timedelta(hours=1)
    )

    assert actions(client.get(f"{EVENTS}?{asked}")) == ["fleet.opened"]


@pytest.mark.parametrize(
    "query", ["actor=nobody", "target=group:1", "outcome=failed", "until=2020-01-01T00:00:00Z", "token=x"]
)
def test_a_filter_that_nothing_meets_leaves_nothing(acme: Organization, query: str) -> None:
    assert actions(session_client(owner_of(acme)).get(f"{EVENTS}?{query}")) == []


def test_the_events_of_a_token_are_what_it_did_and_what_was_done_to_it(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    issued, _ = make_token(edge, "machines:read"), make_token(edge, "machines:read")
    token_client(issued).get(f"{API}machines/")

    found = session_client(owner_of(acme)).get(f"{EVENTS}?token={issued.token.pk}")

    assert actions(found) == ["token.used", "token.issued"]


@pytest.mark.parametrize(
    "query",
    [
        "since=2020-01-01",
        "since=2020-01-01T00:00:00",
        "since=yesterday",
        "since=1577836800",
        "since=2020-W01-1T00:00:00Z",
        "until=9999-12-31T23:59:59-12:00",
        "action=token.stolen",
        "outcome=maybe",
        "colour=red",
        "actor=%00",
        "limit=1000000000",
        "cursor=forged",
        "cursor=cD0xMjM%3D",
    ],
)
def test_a_filter_that_can_not_be_meant_is_400(acme: Organization, query: str) -> None:
    assert session_client(owner_of(acme)).get(f"{EVENTS}?{query}").status_code == 400


def test_events_come_newest_first_in_pages(acme: Organization) -> None:
    for number in range(5):
        make_fleet(acme, f"fleet-{number}")
    client = session_client(owner_of(acme))

    seen, link = [], f"{EVENTS}?limit=2&action=fleet.opened"
    while link:
        page = client.get(link).json()
        seen += [row["target"]["label"] for row in page["results"]]
        link = page["next"]

    assert seen == ["fleet-4", "fleet-3", "fleet-2", "fleet-1", "fleet-0"]


@pytest.mark.parametrize("rows", [1, 30])
def test_the_list_takes_the_same_number_of_queries_for_few_and_for_many(
    acme: Organization, rows: int, django_assert_num_queries: Any
) -> None:
    for _ in range(rows):
        make_fleet(acme)
    client = session_client(owner_of(acme))

    with django_assert_num_queries(10):  # one of them asks for the session
        assert len(client.get(f"{EVENTS}?action=fleet.opened").data["results"]) == rows


def test_what_people_look_at_is_not_recorded_and_what_they_are_refused_is(acme: Organization) -> None:
    auditor, plain = member(acme, "auditor"), member(acme)
    auditors, plains = session_client(auditor), session_client(plain)
    before = Event.objects.count()

    auditors.get(EVENTS)
    assert Event.objects.count() == before

    plains.get(EVENTS)
    assert events(actor_id=str(plain.pk))[-1] == "access.denied denied"
    assert (last_event().data["scope"], last_event().data["path"]) == ("audit:read", "/")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_changes_an_event(acme: Organization, method: str) -> None:
    client = session_client(owner_of(acme))

    for url in (EVENTS, f"{EVENTS}{last_event().pk}/"):
        assert code(getattr(client, method)(url, {})) == (405, "method_not_allowed")
