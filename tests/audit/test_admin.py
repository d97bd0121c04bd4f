"""The audit trail's pages: for who may read it, and nothing but reading."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import Event
from fleets.models import Organization, User
from tests import factories
from tests.pages import browser

pytestmark = pytest.mark.django_db
LIST = "/admin/audit/event/"


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("acme")


@pytest.fixture
def auditor(organization: Organization) -> User:
    return factories.member(organization, "auditor")


def shown(response: Any) -> set[str]:
    return {event.action for event in response.context["cl"].result_list}


def test_an_auditor_reads_the_events_of_their_organization_only(
    organization: Organization, auditor: User
) -> None:
    factories.make_fleet(factories.make_organization("other"), "foreign")

    response = browser(auditor).get(LIST)

    events = list(response.context["cl"].result_list)
    assert {event.organization_id for event in events} == {organization.pk}
    assert "foreign" not in response.content.decode()
    assert {event.pk for event in events} == set(
        Event.objects.filter(organization_id=organization.pk).values_list("pk", flat=True)
    )


@pytest.mark.parametrize("role", ["member", "approver"])
def test_who_may_not_read_the_trail_is_refused_and_not_shown_the_way(
    organization: Organization, role: str
) -> None:
    client = browser(factories.member(organization, role))
    event = Event.objects.filter(organization_id=organization.pk)[0]

    assert client.get(LIST).status_code == 403
    assert client.get(f"{LIST}{event.pk}/change/").status_code == 404
    assert LIST not in client.get("/admin/").content.decode()


def test_events_are_filtered_and_found(organization: Organization, auditor: User) -> None:
    fleet = factories.make_fleet(organization, "edge")
    event = factories.last_event(action="fleet.opened")
    client = browser(auditor)

    answers = [
        client.get(LIST, query)
        for query in (
            {"action": "fleet.opened"},
            {"outcome": "denied"},
            {"q": event.request_id},
            {"q": "edge"},
            {"q": str(fleet.pk)},
        )
    ]

    assert [shown(answer) for answer in answers] == [
        {"fleet.opened"},
        set(),
        {"fleet.opened"},
        {"fleet.opened"},
        {"fleet.opened"},
    ]


def test_an_event_is_shown_whole_and_as_text(organization: Organization) -> None:
    owner = factories.owner_of(organization)
    client = browser(owner)
    client.post(
        f"/admin/fleets/organization/{organization.pk}/rename/",
        {"name": "<script>alert(1)</script>"},
        headers={"User-Agent": '"><img src=x>'},
    )
    event = factories.last_event(action="organization.changed")

    text = client.get(f"{LIST}{event.pk}/change/").content.decode()

    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    for part in (event.request_id, owner.username, "organization.changed", "&lt;script&gt;alert(1)"):
        assert part in text


def test_an_event_can_not_be_changed(organization: Organization, auditor: User) -> None:
    event = Event.objects.filter(organization_id=organization.pk)[0]
    client = browser(auditor)

    answers = [
        client.post(LIST, {"action": "delete_selected", "_selected_action": str(event.pk)}),
        client.post(f"{LIST}{event.pk}/change/", {"reason": "x"}),
        client.post(f"{LIST}{event.pk}/delete/"),
        client.post(f"{LIST}add/"),
    ]

    assert [answer.status_code for answer in answers] == [405, 405, 404, 404]
    assert Event.objects.filter(pk=event.pk).exists()


def test_lookups_that_the_list_does_not_offer_are_refused(auditor: User) -> None:
    assert browser(auditor).get(f"{LIST}?data__contains=x").status_code == 400


def test_the_list_costs_the_same_with_few_events_and_with_many(
    organization: Organization, auditor: User
) -> None:
    client = browser(auditor)

    costs = []
    for more in (1, 29):
        for _ in range(more):
            factories.make_fleet(organization)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(LIST).status_code == 200
        costs.append(len(queries))

    assert costs[0] == costs[1]
    assert costs[0] <= 15
