"""The pages of webhooks and of mail: for who manages an organization's permissions, and for superusers."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import outbox
from audit.models import OutboxRow, WebhookDelivery, WebhookEndpoint
from config.edge import once
from config.edge.clock import at, now
from fleets import organizations
from fleets.models import Organization
from tests.audit.listening import LOOPBACK, deliver, listen
from tests.factories import events, make_organization, make_superuser, member, operator, owner_of
from tests.pages import browser
from tests.servers.receiver import Receiver

pytestmark = pytest.mark.django_db
HOOKS = "/admin/audit/webhookendpoint/"
DELIVERIES = "/admin/audit/webhookdelivery/"
MAIL = "/admin/audit/outboxrow/"


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def text_of(response: Any) -> str:
    return str(response.content.decode())


def test_a_webhook_is_added_and_its_secret_shown_once(acme: Organization) -> None:
    client = browser(owner_of(acme))
    form = text_of(client.get(f"{HOOKS}add/"))
    found = re.search(r'name="once" value="([0-9a-f-]+)"', form)
    assert found
    sent = {
        "organization": "acme",
        "url": "https://hooks.example/x",
        "description": "Chat",
        "actions": "token.*\r\napproval.granted",
        "enabled": "on",
        "once": found[1],
    }

    wrong = client.post(f"{HOOKS}add/", {**sent, "url": "https://127.0.0.1/"})
    made = client.post(f"{HOOKS}add/", sent)
    again = client.post(f"{HOOKS}add/", sent)

    assert "must not be reached" in text_of(wrong)
    assert re.search(r"whsec_[A-Za-z0-9+/=]{44}", text_of(made))
    assert "no-store" in made["Cache-Control"]
    assert re.search(r'src="[^"]*edge/secret\b', text_of(made)), "leaving the page wipes the secret"
    assert (again.status_code, "whsec_" in text_of(again)) == (409, False)
    endpoint = WebhookEndpoint.objects.get()
    assert f'The secret of <a href="{HOOKS}{endpoint.pk}/change/">Chat</a> is not shown again.' in text_of(
        again
    )
    assert endpoint.actions == ["token.*", "approval.granted"]
    page = text_of(client.get(f"{HOOKS}{endpoint.pk}/change/"))
    assert "whsec_" not in page
    rotated = text_of(client.post(f"{HOOKS}{endpoint.pk}/rotate-secret/", {"once": once.fresh_key()}))
    assert "whsec_" in rotated
    changed = client.post(
        f"{HOOKS}{endpoint.pk}/edit/",
        {"url": endpoint.url, "description": "Chat", "actions": "*"},
        follow=True,
    )
    assert "Nothing is sent to it." in text_of(changed)
    client.post(f"{HOOKS}{endpoint.pk}/remove/")
    assert events(target_id=str(endpoint.pk)) == [
        "webhook.added allowed",
        "webhook.secret_rotated allowed",
        "webhook.changed allowed",
        "webhook.removed allowed",
    ]
    assert client.get(f"{HOOKS}{endpoint.pk}/change/").status_code == 404


def test_what_was_given_up_is_seen_sent_again_and_dropped(acme: Organization, settings: Any) -> None:
    settings.OUTGOING_NETWORKS = [LOOPBACK]
    client = browser(member(acme, "admin"))
    with Receiver(status=500) as receiver:
        revealed = listen(acme, receiver, "organization.changed")
        for name in ("<b>One", "Two"):
            organizations.rename(Organization.objects.get(pk=acme.pk), name=name, by=operator)
        with at(now() + timedelta(days=3, seconds=1)):
            deliver()
            deliver()
        first, second = revealed.endpoint.deliveries.order_by("pk")
        page = text_of(client.get(f"{HOOKS}{revealed.endpoint.pk}/change/"))
        client.post(f"{DELIVERIES}{first.pk}/retry/")
        client.post(f"{DELIVERIES}{second.pk}/drop/")
        client.post(f"{HOOKS}{revealed.endpoint.pk}/test/")
        receiver.status = 204
        assert deliver() == 2

    assert "It answered 500." in page
    assert f"{DELIVERIES}{first.pk}/change/" in page
    assert "delivered" in text_of(client.get(f"{DELIVERIES}{first.pk}/change/"))
    assert "Send again" not in text_of(client.get(f"{DELIVERIES}{first.pk}/change/"))
    assert not WebhookDelivery.objects.filter(pk=second.pk).exists()
    assert text_of(client.get(f"{DELIVERIES}?state=delivered")).count("/change/") == 2
    assert text_of(client.get(f"{DELIVERIES}?state=dead")).count(f"{DELIVERIES}{first.pk}") == 0


def test_nobody_else_sees_them_or_finds_the_way(acme: Organization) -> None:
    revealed = listen(acme, "https://hooks.example/", "organization.changed")
    organizations.rename(acme, name="New", by=operator)
    delivery = revealed.endpoint.deliveries.get()
    addresses = [
        f"{HOOKS}{revealed.endpoint.pk}/change/",
        f"{HOOKS}{revealed.endpoint.pk}/rotate-secret/",
        f"{DELIVERIES}{delivery.pk}/change/",
        f"{DELIVERIES}{delivery.pk}/drop/",
    ]
    for user in (member(acme, "auditor"), member(acme), owner_of(make_organization("other"))):
        client = browser(user)
        assert {client.get(address).status_code for address in addresses} == {404}
        assert {client.post(address).status_code for address in addresses} == {404}
    assert browser(member(acme, "auditor")).get(HOOKS).status_code == 403
    assert HOOKS not in text_of(browser(member(acme, "auditor")).get("/admin/"))
    assert {browser(owner_of(acme)).get(address).status_code for address in addresses} == {200}
    assert HOOKS in text_of(browser(owner_of(acme)).get("/admin/"))


def test_mail_is_for_superusers_who_test_it_and_look_after_what_was_given_up(acme: Organization) -> None:
    owner, client = browser(owner_of(acme)), browser(make_superuser("root"))
    outbox.add("mail", {"template": "joined", "membership": "no-such-membership"})
    OutboxRow.objects.update(dead_at=now(), last_error="SMTPRecipientsRefused", attempts=75)
    row = OutboxRow.objects.get()

    listed = text_of(client.get(f"{MAIL}?state=given-up"))
    tested = client.post(f"{MAIL}add/", {"to": "root@example.org"}, follow=True)
    again = client.post(f"{MAIL}{row.pk}/retry/", follow=True)

    assert "SMTPRecipientsRefused" in listed
    assert "mail joined" in listed
    assert "The test is on its way." in text_of(tested)
    assert "It is on its way again." in text_of(again)
    assert OutboxRow.objects.exclude(dead_at=None).count() == 0
    assert OutboxRow.objects.filter(payload__template="test").count() == 1
    assert owner.get(MAIL).status_code == 403
    assert {owner.post(f"{MAIL}{row.pk}/{verb}/").status_code for verb in ("retry", "drop")} == {404}
    assert owner.post(f"{MAIL}add/", {"to": "x@example.org"}).status_code == 403
    client.post(f"{MAIL}{row.pk}/drop/")
    assert not OutboxRow.objects.filter(pk=row.pk).exists()


def test_the_pages_cost_the_same_with_few_rows_and_with_many(acme: Organization) -> None:
    client = browser(owner_of(acme))
    revealed = listen(acme, "https://hooks.example/", "organization.changed")
    pages = (HOOKS, DELIVERIES, f"{HOOKS}{revealed.endpoint.pk}/change/")

    costs = []
    for more in (1, 12):
        for number in range(more):
            listen(acme, "https://hooks.example/", "fleet.*")
            organizations.rename(Organization.objects.get(pk=acme.pk), name=f"Name {number}", by=operator)
        for page in pages:
            with CaptureQueriesContext(connection) as queries:
                assert client.get(page).status_code == 200
            costs.append(len(queries))

    assert costs[:3] == costs[3:]
    assert max(costs) <= 15
