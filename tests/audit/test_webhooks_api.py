"""`/api/v1/webhooks/`: who may, what is refused, what is shown once, and what was given up."""

from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from audit.models import Event, WebhookEndpoint
from config.edge.clock import at, now
from fleets import organizations
from fleets.models import Organization
from tests import factories
from tests.audit.listening import LOOPBACK, deliver, listen
from tests.factories import (
    events,
    last_event,
    make_organization,
    make_token,
    operator,
    owner_of,
    session_client,
)
from tests.servers.receiver import Receiver

pytestmark = pytest.mark.django_db
HOOKS = "/api/v1/webhooks/"
BODY = {"url": "https://hooks.example/tokenhouse?key=in-the-url", "actions": ["token.*", "approval.granted"]}


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


@pytest.fixture
def client(acme: Organization) -> APIClient:
    return session_client(owner_of(acme))


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json().get("code", "")


def test_a_webhook_is_added_read_changed_and_removed_each_with_its_event(
    acme: Organization, client: APIClient
) -> None:
    made = client.post(HOOKS, {**BODY, "description": "Chat"})
    assert made.status_code == 201, made.content
    address = f"{HOOKS}{made.data['id']}/"
    read = client.get(address)
    changed = client.patch(address, {"actions": ["*"], "enabled": False}, headers={"If-Match": read["ETag"]})
    stale = client.patch(address, {"enabled": True}, headers={"If-Match": read["ETag"]})
    listed = client.get(HOOKS).data["results"]
    removed = client.delete(address)

    assert made.data["secret"].startswith("whsec_")
    assert made["Cache-Control"] == "no-store"
    assert {**read.data, "secret": made.data["secret"]} == made.data
    assert (read.data["organization"], read.data["url"], read.data["actions"]) == (
        "acme",
        BODY["url"],
        BODY["actions"],
    )
    assert (changed.data["actions"], changed.data["enabled"]) == (["*"], False)
    assert changed.data["disabled_reason"] == "Disabled by hand."
    assert (code(stale), removed.status_code, code(client.get(address))) == (
        (412, "precondition_failed"),
        204,
        (404, "not_found"),
    )
    assert [row["id"] for row in listed] == [made.data["id"]]
    assert client.get(HOOKS).data["results"] == []
    assert events(target_id=made.data["id"]) == [
        "webhook.added allowed",
        "webhook.changed allowed",
        "webhook.removed allowed",
    ]
    trail = str([event.data | {"label": event.target_label} for event in acme_events(acme)])
    assert "https://hooks.example" in trail
    assert "in-the-url" not in trail
    assert made.data["secret"] not in trail


def acme_events(acme: Organization) -> Any:
    return Event.objects.filter(organization_id=acme.pk)


def test_a_secret_is_shown_when_it_is_made_and_never_again(client: APIClient) -> None:
    made = client.post(HOOKS, BODY, headers={"Idempotency-Key": "one"})
    again = client.post(HOOKS, BODY, headers={"Idempotency-Key": "one"})
    address = f"{HOOKS}{made.data['id']}/"
    rotated = client.post(f"{address}rotate-secret/", headers={"Idempotency-Key": "two"})
    rotated_again = client.post(f"{address}rotate-secret/", headers={"Idempotency-Key": "two"})

    assert code(again) == code(rotated_again) == (409, "already_done")
    assert again.data["id"] == made.data["id"]
    assert rotated.status_code == 200
    assert rotated.data["secret"] not in {made.data["secret"], None}
    assert rotated.data["previous_secret_until"] is not None
    assert "secret" not in client.get(address).data
    assert WebhookEndpoint.objects.get().key_version == 2
    assert last_event().action == "webhook.secret_rotated"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "http://hooks.example/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://[::ffff:169.254.169.254]/latest/meta-data"}, "url"),
        ({"url": "https://user:s3cret@hooks.example/"}, "url"),
        ({"url": "gopher://hooks.example/"}, "url"),
        ({"url": 7}, "url"),
        ({"url": ""}, "url"),
        ({"actions": []}, "actions"),
        ({"actions": ["token.used"]}, "actions"),
        ({"actions": ["token.delivered"]}, "actions"),
        ({"actions": ["tok.*"]}, "actions"),
        ({"actions": "*"}, "actions"),
        ({"actions": ["*"] * 101}, "actions"),
        ({"secret": "whsec_AAAA"}, "secret"),
        ({"key_version": 7}, "key_version"),
        ({"organization_id": "x"}, "organization_id"),
    ],
)
def test_what_can_not_be_meant_is_a_400_that_names_the_field(
    client: APIClient, changes: dict[str, Any], field: str
) -> None:
    answer = client.post(HOOKS, {**BODY, **changes})

    assert answer.status_code == 400, answer.content
    assert {error["field"].partition(".")[0] for error in answer.json()["errors"]} == {field}
    assert "s3cret" not in answer.content.decode()
    assert not WebhookEndpoint.objects.exists()


def test_only_who_manages_permissions_may_and_only_in_their_own_session(acme: Organization) -> None:
    revealed = listen(acme, "https://hooks.example/")
    address = f"{HOOKS}{revealed.endpoint.pk}/"
    token = factories.token_client(
        make_token(owner_of(acme), "permissions:manage", privilege_separation=False)
    )
    stranger = session_client(owner_of(make_organization("other")))
    for client, expected in (
        (token, (403, "forbidden")),
        (session_client(factories.member(acme, "auditor")), (403, "insufficient_scope")),
        (session_client(factories.member(acme)), (403, "insufficient_scope")),
        (stranger, (404, "not_found")),
    ):
        answers = [
            client.get(f"{HOOKS}?organization=acme"),
            client.post(HOOKS, {**BODY, "organization": "acme"}),
            client.get(address),
            client.patch(address, {"enabled": False}),
            client.delete(address),
            client.post(f"{address}rotate-secret/"),
            client.post(f"{address}test/"),
            client.get(f"{address}deliveries/"),
        ]
        assert {code(answer) for answer in answers} == {expected}

    endpoint = WebhookEndpoint.objects.get()
    assert (
        endpoint.enabled,
        endpoint.version,
        endpoint.deliveries.exclude(action="access.denied").count(),
    ) == (
        True,
        1,
        endpoint.deliveries.exclude(action="access.denied").count(),
    )
    assert "webhook.changed allowed" not in events()
    assert session_client(factories.member(acme, "admin")).get(address).status_code == 200


def test_what_was_given_up_is_listed_sent_again_and_dropped(
    acme: Organization, client: APIClient, settings: Any
) -> None:
    settings.OUTGOING_NETWORKS = [LOOPBACK]
    with Receiver(status=500) as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        for name in ("One", "Two"):
            organizations.rename(Organization.objects.get(pk=acme.pk), name=name, by=operator)
        with at(now() + timedelta(days=3, seconds=1)):
            deliver()
            deliver()
        receiver.status = 200
        deliveries = f"{HOOKS}{revealed.endpoint.pk}/deliveries/"
        dead = client.get(f"{deliveries}?state=dead").data["results"]
        again = client.post(f"{deliveries}{dead[1]['id']}/retry/")
        dropped = client.delete(f"{deliveries}{dead[0]['id']}/")
        tested = client.post(f"{HOOKS}{revealed.endpoint.pk}/test/")
        assert deliver() == 2

    assert [row["last_error"] for row in dead] == ["It answered 500."] * 2
    assert (again.status_code, again.data["state"], again.data["attempts"]) == (200, "pending", 0)
    assert (dropped.status_code, tested.data["action"]) == (204, "webhook.tested")
    listed = client.get(deliveries).data["results"]
    assert [(row["action"], row["state"]) for row in listed] == [
        ("webhook.tested", "delivered"),
        ("organization.changed", "delivered"),
    ]
    assert client.get(f"{deliveries}{listed[0]['id']}/").data == listed[0]
    assert code(client.post(f"{deliveries}{listed[0]['id']}/retry/")) == (409, "illegal_move")
    assert code(client.delete(f"{deliveries}{listed[0]['id']}/")) == (409, "illegal_move")
    assert code(client.get(f"{deliveries}?state=lost")) == (400, "invalid")
    assert code(client.post(f"{deliveries}{dead[0]['id']}/retry/")) == (404, "not_found")


def test_a_disabled_webhook_is_not_tested_and_there_are_not_endlessly_many(
    acme: Organization, client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    revealed = listen(acme, "https://hooks.example/", enabled=False)
    assert code(client.post(f"{HOOKS}{revealed.endpoint.pk}/test/")) == (409, "disabled")

    monkeypatch.setattr("audit.webhooks.endpoints.MOST", 1)
    assert code(client.post(HOOKS, BODY)) == (409, "too_many")


@pytest.mark.parametrize("rows", [1, 20])
def test_the_lists_take_the_same_number_of_queries_for_few_and_for_many(
    acme: Organization, client: APIClient, rows: int, django_assert_num_queries: Any
) -> None:
    for _ in range(rows):
        listen(acme, "https://hooks.example/", "fleet.*")
    revealed = listen(acme, "https://hooks.example/", "organization.*")
    for number in range(rows):
        organizations.rename(Organization.objects.get(pk=acme.pk), name=f"Name {number}", by=operator)

    with django_assert_num_queries(10):
        assert len(client.get(HOOKS).data["results"]) == rows + 1
    with django_assert_num_queries(10):
        assert len(client.get(f"{HOOKS}{revealed.endpoint.pk}/deliveries/").data["results"]) == rows
