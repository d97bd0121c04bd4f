"""Webhooks: who wants an event is owed it in its transaction, gets it signed and in order, and holds up nobody."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit import tasks
from audit.actions import Action
from audit.models import Event, WebhookDelivery, WebhookEndpoint
from audit.trail import record
from audit.webhooks import delivering, endpoints, messages, queue
from config.edge.clock import at, now
from config.edge.refusals import Refused
from fleets import organizations
from fleets.models import Organization
from tests import factories
from tests.audit.listening import LOOPBACK, deliver, listen, states, verified
from tests.factories import events, last_event, make_fleet, make_organization, make_token, operator
from tests.servers.receiver import Receiver

pytestmark = pytest.mark.django_db
DELIVERED, PENDING, DEAD = (
    WebhookDelivery.State.DELIVERED,
    WebhookDelivery.State.PENDING,
    WebhookDelivery.State.DEAD,
)


@pytest.fixture(autouse=True)
def _loopback_is_allowed(settings: Any) -> None:
    settings.OUTGOING_NETWORKS = [LOOPBACK]


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def rename(organization: Organization, name: str) -> None:
    organizations.rename(Organization.objects.get(pk=organization.pk), name=name, by=operator)


def head_due(endpoint: WebhookEndpoint) -> datetime:
    """When its first message will be tried."""
    return endpoint.deliveries.pending().order_by("pk")[0].due_at


# What is owed, and to whom


def test_an_event_is_owed_to_the_endpoints_of_its_organization_that_want_it(acme: Organization) -> None:
    other = make_organization("other")
    everything = listen(acme, "https://a.example/")
    some = listen(acme, "https://b.example/", "fleet.*", "organization.changed")
    neither = listen(acme, "https://c.example/", "token.issued", "fleet_member.*")
    disabled = listen(acme, "https://d.example/", enabled=False)
    removed = listen(acme, "https://e.example/")
    endpoints.remove(removed.endpoint, by=operator)
    foreign = listen(other, "https://f.example/")

    rename(acme, "New")
    fleet = make_fleet(acme)

    [first, *_] = everything.endpoint.deliveries.filter(action="organization.changed")
    assert first.event_id == last_event(action="organization.changed").pk
    assert ("fleet.opened", PENDING) in states(everything)
    assert states(some) == [("organization.changed", PENDING), ("fleet.opened", PENDING)]
    assert states(neither) == states(disabled) == []
    assert states(foreign) == [("webhook.added", PENDING)]
    assert {action for action, _ in states(removed)} == set()
    assert last_event(target_id=str(fleet.pk)).pk in everything.endpoint.deliveries.values_list(
        "event_id", flat=True
    )


def test_a_change_that_is_rolled_back_is_owed_to_nobody_and_uses_never_are(acme: Organization) -> None:
    revealed = listen(acme, "https://a.example/")
    issued = make_token(make_fleet(acme), "machines:read")
    before = states(revealed)

    with pytest.raises(RuntimeError), transaction.atomic():
        rename(acme, "New")
        raise RuntimeError
    client = factories.token_client(issued)
    assert client.get("/api/v1/whoami/").status_code == 200
    assert client.get("/api/v1/audit/events/").status_code == 403

    assert {"token.used allowed", "token.denied denied"} <= set(events(actor_id=issued.token.pk))
    assert states(revealed) == before


def test_what_was_refused_is_told_as_such(acme: Organization) -> None:
    revealed = listen(acme, "https://a.example/", "organization.*")

    with pytest.raises(Refused):
        organizations.rename(acme, name="New", by=factories.session(factories.member(acme)))

    [delivery] = revealed.endpoint.deliveries.all()
    assert Event.objects.get(pk=delivery.event_id).outcome == "denied"


def test_who_listens_is_asked_once_a_verb_and_never_for_uses(acme: Organization) -> None:
    def asked(act: Any) -> int:
        with CaptureQueriesContext(connection) as queries:
            act()
        return sum('FROM "audit_webhookendpoint"' in query["sql"] for query in queries)

    issued = make_token(make_fleet(acme), "machines:read")
    client = factories.token_client(issued)

    assert asked(lambda: factories.make_member(acme)) == 1, "two events, one question"
    assert asked(lambda: client.get("/api/v1/whoami/")) == 0
    target = acme.audit_target()
    with transaction.atomic():
        assert asked(lambda: record(Action.TOKEN_DENIED, by=operator, target=target)) == 0


def test_ten_thousand_events_are_owed_in_their_order(acme: Organization) -> None:
    revealed = listen(acme, "https://a.example/", "token.revoked")
    fleet = make_fleet(acme)
    for _ in range(3):
        make_token(fleet, "machines:read")

    answer = factories.session_client(factories.owner_of(acme)).post(
        "/api/v1/tokens/revoke-all/", {"owner": f"fleet:{fleet.slug}", "reason": "They leaked"}
    )

    assert answer.data["revoked"] == 3
    owed = list(revealed.endpoint.deliveries.order_by("pk").values_list("event_id", flat=True))
    assert owed == list(
        Event.objects.filter(action="token.revoked").order_by("pk").values_list("pk", flat=True)
    )


# What is sent


def test_a_message_is_the_event_signed_after_the_specification(acme: Organization) -> None:
    with Receiver() as receiver:
        revealed = listen(acme, receiver.url + "?a=b", "organization.changed")
        rename(acme, "Nürnberg")
        assert deliver() == 1

    [got] = receiver.got
    event = last_event(action="organization.changed")
    said = verified(revealed.secret, got)
    assert set(said) == {"type", "timestamp", "data"}
    assert said["type"] == "organization.changed"
    assert said["data"] == json.loads(
        factories.session_client(factories.owner_of(acme)).get(f"/api/v1/audit/events/{event.pk}/").content
    )
    assert datetime.fromisoformat(said["timestamp"]) == event.at
    assert (got.method, got.target, got.headers["content-type"]) == ("POST", "/hook?a=b", "application/json")
    assert got.headers["webhook-id"] == str(event.pk)
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 60
    delivery = revealed.endpoint.deliveries.get()
    assert (delivery.state, delivery.attempts, delivery.last_error) == (DELIVERED, 1, "")
    assert delivery.delivered_at is not None
    assert deliver() == 0
    with pytest.raises(AssertionError, match="not signed"):
        verified("whsec_" + "A" * 44, got)


def test_for_a_day_after_a_rotation_both_secrets_sign_then_the_new_one_alone(
    acme: Organization, settings: Any
) -> None:
    with Receiver() as receiver:
        old = listen(acme, receiver, "organization.changed")
        settings.PEPPERS = {**settings.PEPPERS, max(settings.PEPPERS) + 1: b"n" * 32}
        new = endpoints.rotate_secret(old.endpoint, by=operator)
        rename(acme, "Soon")
        deliver()
        with at(now() + timedelta(hours=24, seconds=1)):
            rename(acme, "Late")
            deliver()

    soon, late = receiver.got
    assert new.secret != old.secret
    assert verified(old.secret, soon) == verified(new.secret, soon)
    assert verified(new.secret, late)
    with pytest.raises(AssertionError, match="not signed"):
        verified(old.secret, late)
    assert len(late.headers["webhook-signature"].split(" ")) == 1


def test_the_secret_is_kept_nowhere(acme: Organization) -> None:
    revealed = listen(acme, "https://a.example/")
    rotated = endpoints.rotate_secret(revealed.endpoint, by=operator)

    kept = str(
        [*WebhookEndpoint.objects.values(), *Event.objects.values(), *WebhookDelivery.objects.values()]
    )
    for secret in (revealed.secret, rotated.secret):
        assert secret[6:] not in kept
        assert secret not in repr(revealed) + repr(rotated)


def test_without_its_pepper_nothing_is_sent_and_nothing_is_lost(acme: Organization, settings: Any) -> None:
    peppers = settings.PEPPERS
    with Receiver() as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        rename(acme, "New")
        settings.PEPPERS = {max(peppers) + 1: b"n" * 32}
        assert deliver() == 0
        assert receiver.connections == 0
        assert "pepper" in revealed.endpoint.deliveries.get().last_error
        settings.PEPPERS = peppers
        with at(now() + timedelta(seconds=6)):
            assert deliver() == 1


# Order, retries, the end of them


def test_while_the_first_waits_the_others_wait_behind_it_and_then_come_in_order(acme: Organization) -> None:
    with Receiver(status=500) as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        for name in ("One", "Two", "Three"):
            rename(acme, name)
        assert deliver() == 0
        assert deliver() == 0, "not due yet"
        assert len(receiver.got) == 1
        receiver.status = 200
        with at(now() + timedelta(seconds=6)):
            assert deliver() == 3

    names = [verified(revealed.secret, got)["data"]["data"]["changes"]["name"][1] for got in receiver.got]
    assert names == ["One", "One", "Two", "Three"]
    assert receiver.got[0].headers["webhook-id"] == receiver.got[1].headers["webhook-id"]
    assert revealed.endpoint.deliveries.order_by("pk")[0].attempts == 2


def test_the_first_is_tried_later_each_time_for_three_days_and_then_the_next_goes_on(
    acme: Organization,
) -> None:
    with Receiver(status=503) as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        rename(acme, "One")
        start = now()
        with at(start + timedelta(days=2)):
            rename(acme, "Two")
        waits = []
        while not revealed.endpoint.deliveries.dead().exists():
            with at(head_due(revealed.endpoint) + timedelta(milliseconds=5)):
                tried = now()
                deliver()
                waits.append(round((head_due(revealed.endpoint) - tried).total_seconds()))
        tried_of_the_second = len(receiver.got) - len(waits)

    day = 24 * 3600
    assert waits[:8] == [5, 30, 120, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600]
    assert sum(waits[:-1]) == pytest.approx(3 * day, abs=30)
    assert [row.state for row in revealed.endpoint.deliveries.order_by("pk")] == [DEAD, PENDING]
    assert tried_of_the_second == 0
    [event] = Event.objects.filter(action="delivery.given_up")
    assert (event.target_type, event.actor_id) == ("webhook", "deliveries")
    assert event.data["error"] == "It answered 503."
    assert states(revealed) == [("organization.changed", DEAD), ("organization.changed", PENDING)]


def test_what_a_dead_receiver_is_owed_for_too_long_is_given_up_at_once_and_the_rest_waits(
    acme: Organization,
) -> None:
    with Receiver(status=503) as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        deliveries = revealed.endpoint.deliveries
        other = listen(acme, receiver, "organization.changed", enabled=False).endpoint
        for name in ("One", "Two", "Three"):
            rename(acme, name)
        WebhookEndpoint.objects.filter(pk=other.pk).update(enabled=True)
        queue.owe_to([other], "organization.changed", [last_event(action="organization.changed").pk])
        WebhookEndpoint.objects.filter(pk=other.pk).update(enabled=False)
        start = now()
        with at(start + timedelta(days=2)):
            rename(acme, "Four")
        deliveries.filter(pk=deliveries.order_by("pk")[0].pk).update(attempts=12)
        with at(start + timedelta(days=3, seconds=1)):
            deliver()
            assert (len(receiver.got), deliver()) == (1, 0)
            assert len(receiver.got) == 1, "nothing more is due"
            assert head_due(revealed.endpoint) - now() == pytest.approx(
                timedelta(hours=12), abs=timedelta(seconds=5)
            )
        receiver.status = 200
        with at(start + timedelta(days=3, hours=12, minutes=1)):
            assert deliver() == 1

    rows = list(deliveries.order_by("pk"))
    assert [row.state for row in rows] == [DEAD, DEAD, DEAD, DELIVERED]
    assert [row.attempts for row in rows] == [13, 0, 0, 1]
    assert {row.last_error for row in rows[:3]} == {"It answered 503."}
    assert other.deliveries.get().state == PENDING, "another's are not touched"
    [event] = Event.objects.filter(action="delivery.given_up")
    assert (event.data["event"], event.data["others"]) == (str(rows[0].event_id), 2)


def test_a_message_that_cannot_be_made_is_put_off_and_in_the_end_given_up(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> bytes:
        raise LookupError("words that stay here")

    monkeypatch.setattr(messages, "body_of", fails)
    with Receiver() as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        rename(acme, "One")
        assert deliver() == 0
        row = revealed.endpoint.deliveries.get()
        assert (row.state, row.attempts) == (PENDING, 1)
        assert row.last_error == "The message could not be made or sent (LookupError)."
        assert row.due_at > now()
        with at(now() + timedelta(days=3, seconds=1)):
            deliver()

    assert states(revealed) == [("organization.changed", DEAD)]
    assert receiver.connections == 0
    assert events(action="delivery.given_up") == ["delivery.given_up allowed"]


def test_a_receiver_that_is_gone_is_disabled_and_gets_what_it_is_owed_once_it_is_enabled(
    acme: Organization,
) -> None:
    with Receiver(status=410) as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        rename(acme, "One")
        deliver()
        endpoint = WebhookEndpoint.objects.get(pk=revealed.endpoint.pk)
        rename(acme, "Unheard")
        assert (endpoint.enabled, endpoint.disabled_reason) == (False, "It answered 410 Gone.")
        assert last_event(action="webhook.disabled").target_id == str(endpoint.pk)
        with at(now() + timedelta(days=30)):
            assert deliver() == 0
            assert delivering.oldest_due() is None
            receiver.status = 204
            endpoints.change(endpoint, changes={"enabled": True}, by=operator)
            assert deliver() == 1

    assert len(receiver.got) == 2
    assert (endpoint.enabled, endpoint.disabled_reason) == (True, "")


def test_a_redirect_is_a_failure_and_what_is_inside_gets_nothing(acme: Organization, settings: Any) -> None:
    with (
        Receiver(address="127.0.0.2") as inside,
        Receiver(status=307, headers={"Location": inside.url}) as redirecting,
    ):
        settings.OUTGOING_NETWORKS = ["127.0.0.0/8"]
        direct = listen(acme, inside, "organization.changed")
        settings.OUTGOING_NETWORKS = [LOOPBACK]  # the operator has thought better of it
        indirect = listen(acme, redirecting, "organization.changed")
        rename(acme, "New")
        assert deliver() == 0

    assert (inside.connections, len(redirecting.got)) == (0, 1)
    assert indirect.endpoint.deliveries.get().last_error == "It answered 307: redirects are not followed."
    assert "must not be reached" in direct.endpoint.deliveries.get().last_error


def test_one_that_fails_holds_up_no_other_endpoint(acme: Organization) -> None:
    with Receiver(status=500) as bad, Receiver() as good:
        listen(acme, bad, "organization.changed")
        listen(acme, good, "organization.changed")
        rename(acme, "New")

        assert deliver() == 1

    assert (len(bad.got), len(good.got)) == (1, 1)


def test_a_turn_ends_after_its_time_and_leaves_the_rest_for_the_next(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "TURN", 0.0)
    with Receiver() as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        rename(acme, "New")
        assert delivering.turn(revealed.endpoint.pk) == 0
        monkeypatch.setattr(delivering, "TURN", 5.0)
        assert delivering.turn(revealed.endpoint.pk) == 1


def test_an_endpoint_that_another_worker_serves_is_left_to_it_until_its_lease_ends(
    acme: Organization,
) -> None:
    with Receiver() as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        rename(acme, "New")
        assert delivering._leased(revealed.endpoint.pk, None)

        assert deliver() == 0
        assert delivering.turn(revealed.endpoint.pk) == 0
        with at(now() + delivering.LEASE + timedelta(seconds=1)):
            assert deliver() == 1, "the other did not come back"
    assert len(receiver.got) == 1


def test_who_dies_after_sending_sends_it_again_under_the_same_id(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any, **__: Any) -> bool:
        raise SystemExit

    with Receiver() as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        rename(acme, "New")
        with monkeypatch.context() as patched:
            patched.setattr(delivering, "_note", dies)
            with pytest.raises(SystemExit):
                deliver()
        assert deliver() == 1

    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert verified(revealed.secret, first) == verified(revealed.secret, second)
    assert states(revealed) == [("organization.changed", DELIVERED)]


# What people do with it


def test_what_was_given_up_is_sent_again_before_what_came_after_it_or_dropped(acme: Organization) -> None:
    with Receiver(status=500) as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        for name in ("One", "Two"):
            rename(acme, name)
        with at(now() + timedelta(days=3, seconds=1)):
            deliver()
            deliver()
            dead = list(revealed.endpoint.deliveries.dead().order_by("pk"))
            rename(acme, "Three")
            endpoints.drop(dead[1], by=operator)
            endpoints.retry(dead[0], by=operator)
            receiver.status, before = 200, len(receiver.got)
            assert deliver() == 2

    names = [
        verified(revealed.secret, got)["data"]["data"]["changes"]["name"][1] for got in receiver.got[before:]
    ]
    assert names == ["One", "Three"]
    assert events(target_id=str(revealed.endpoint.pk))[-2:] == [
        "delivery.dropped allowed",
        "delivery.retried allowed",
    ]


def test_a_test_is_sent_whatever_the_endpoint_wants_and_as_any_other_event(acme: Organization) -> None:
    with Receiver() as receiver:
        revealed = listen(acme, receiver, "token.issued")
        delivery = endpoints.test(revealed.endpoint, by=operator)
        assert delivery.state == PENDING
        assert deliver() == 1

    [got] = receiver.got
    assert verified(revealed.secret, got)["type"] == "webhook.tested"


def test_old_deliveries_are_forgotten_their_events_are_not(acme: Organization) -> None:
    with Receiver() as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        rename(acme, "New")
        deliver()
        tasks.forget_deliveries()
        assert revealed.endpoint.deliveries.count() == 1
        with at(now() + timedelta(days=8)):
            delivering.forget()

    assert not revealed.endpoint.deliveries.exists()
    assert events(action="organization.changed") == ["organization.changed allowed"]


def test_the_oldest_due_is_that_of_a_first_message_whose_time_has_come(acme: Organization) -> None:
    assert delivering.oldest_due() is None
    listen(acme, "https://127.0.0.1:1/", "organization.changed")
    before = datetime.now(UTC)
    rename(acme, "New")

    oldest = delivering.oldest_due()

    assert oldest is not None
    assert before <= oldest <= datetime.now(UTC)
    deliver()
    assert delivering.oldest_due() is None, "what waits for its next try is not late"
