"""The trail: one event for one change, in its transaction, and never changed again."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from audit import trail
from audit.actions import Action, Outcome
from audit.models import AppendOnly, Event, EventQuerySet
from audit.trail import Target, differences, record
from config.edge import context
from config.edge.access import Actor
from config.edge.context import RequestContext
from config.edge.refusals import Refused, Unavailable
from fleets import access, membership, organizations, owners
from fleets.models import Fleet, Membership, Organization
from tests.factories import (
    events,
    make_fleet,
    make_member,
    make_organization,
    make_person,
    member,
    operator,
    owner_of,
    session,
)

pytestmark = pytest.mark.django_db


class Somebody:
    actor = Actor("person", "1", "ada")
    on_behalf_of: Actor | None = None


def an_event() -> Event:
    return record(Action.DEMO_FILLED, by=Somebody(), target=Target("thing", "7", "seven"))


def test_an_event_keeps_who_what_where_and_under_which_request() -> None:
    organization = make_organization("acme")
    asked = RequestContext(request_id="r-1", client_request_id="c-1", address="10.0.0.1", user_agent="curl/8")
    by = access.operator("root@host", on_behalf_of=owner_of(organization))

    with context.bound(asked):
        record(Action.POLICY_CHANGED, by=by, target=organization, data={"a": [1, 2]}, reason="because")

    event = Event.objects.latest("id")
    assert (event.actor_type, event.actor_id, event.actor_label) == ("system", "operator", "root@host")
    assert (event.on_behalf_of_type, event.on_behalf_of_label) == ("person", owner_of(organization).username)
    assert (event.target_type, event.target_id, event.target_label) == (
        "organization",
        str(organization.pk),
        "acme",
    )
    assert (event.organization_id, event.outcome, event.reason) == (organization.pk, "allowed", "because")
    assert (event.request_id, event.client_request_id) == ("r-1", "c-1")
    assert (event.address, event.user_agent, event.data) == ("10.0.0.1", "curl/8", {"a": [1, 2]})
    assert event.at.tzinfo is not None


def test_an_event_outlives_the_names_that_it_keeps() -> None:
    ada = make_member(make_organization(), user=make_person("ada"))
    membership.leave(ada, by=operator)

    ada.user.username = "renamed"
    ada.user.save()

    assert [event.target_label for event in Event.objects.filter(action="member.left")] == ["ada"]


@pytest.mark.parametrize(
    "change",
    [
        lambda event: event.save(),
        lambda event: event.delete(),
        lambda event: Event.objects.filter(pk=event.pk).update(reason="x"),
        lambda event: Event.objects.filter(pk=event.pk).delete(),
        lambda event: Event.objects.bulk_update([event], ["reason"]),
        lambda _event: EventQuerySet(Event)._raw_delete("default"),
    ],
)
def test_an_event_is_changed_neither_by_model_nor_by_queryset(change: Any) -> None:
    event = an_event()

    with pytest.raises((AppendOnly, TypeError)):
        change(event)

    assert Event.objects.get(pk=event.pk).reason == ""


@pytest.mark.parametrize("statement", ["UPDATE audit_event SET reason = 'x'", "DELETE FROM audit_event"])
def test_the_database_itself_refuses_to_change_an_event(statement: str) -> None:
    an_event()

    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)

    assert [event.reason for event in Event.objects.all()] == [""]


def test_a_change_and_its_event_are_one() -> None:
    organization = make_organization()

    owners.open_fleet(organization, slug="edge", name="Edge", by=session(owner_of(organization)))

    assert events(action="fleet.opened") == ["fleet.opened allowed"]
    assert Fleet.objects.get().slug == "edge"


def test_a_refusal_is_an_event_of_its_own_and_nothing_else_happens() -> None:
    organization = make_organization()
    plain = session(member(organization))

    with pytest.raises(Refused):
        owners.open_fleet(organization, slug="edge", name="Edge", by=plain)

    event = Event.objects.latest("id")
    assert (event.action, event.outcome, event.reason) == (Action.FLEET_OPENED, Outcome.DENIED, "forbidden")
    assert (event.actor_id, event.target_id) == (plain.actor.id, str(organization.pk))
    assert event.data["detail"] == "You may not open fleets here."
    assert Fleet.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_denial_is_kept_although_what_was_denied_is_rolled_back() -> None:
    organization = make_organization()
    ada = make_member(organization, "admin")

    with pytest.raises(Refused):
        membership.suspend(ada, by=session(member(organization, "admin")))

    assert events(action="member.suspended") == ["member.suspended denied"]
    assert Membership.objects.get(pk=ada.pk).suspended_at is None


@pytest.mark.django_db(transaction=True)
def test_where_the_event_can_not_be_written_nothing_is_done(refused_events: None) -> None:
    organization = Organization.objects.get()

    with pytest.raises(Unavailable) as refusal:
        organizations.rename(organization, name="New", by=operator)

    assert (refusal.value.status, refusal.value.headers["Retry-After"]) == (503, "2")
    organization.refresh_from_db()
    assert (organization.name, organization.version) == ("Acme", 1)
    assert events(action="organization.changed") == []


@pytest.fixture
def refused_events(transactional_db: None) -> Any:
    """An organization, and a database that takes no more events."""
    make_organization("acme")
    fails = "SELECT RAISE(ABORT, 'disk full')" if connection.vendor == "sqlite" else ""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"CREATE TRIGGER full_disk BEFORE INSERT ON audit_event BEGIN {fails}; END")
        else:
            cursor.execute(
                "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER full_disk BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION full_disk()"
            )
    yield
    with connection.cursor() as cursor:
        suffix = " ON audit_event" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER full_disk{suffix}")
        if connection.vendor == "postgresql":
            cursor.execute("DROP FUNCTION full_disk")


def test_texts_that_are_too_long_are_cut_and_not_refused() -> None:
    record(Action.DEMO_FILLED, by=Somebody(), target=Target("thing", "7", "x" * 500), reason="y" * 5000)

    event = Event.objects.get()
    assert (len(event.target_label), len(event.reason)) == (200, 1000)


def test_the_events_about_a_token_are_what_it_did_and_what_was_done_to_it() -> None:
    class AToken(Somebody):
        actor = Actor("token", "T1", "ci")

    did = record(Action.TOKEN_USED, by=AToken(), target=Target("machine", "1", "m"))
    done = record(Action.TOKEN_REVOKED, by=Somebody(), target=Target("token", "T1", "ci"))
    record(Action.TOKEN_REVOKED, by=Somebody(), target=Target("token", "T2", "cd"))
    record(Action.TOKEN_REVOKED, by=Somebody(), target=Target("person", "T1", "no token"))

    assert {event.pk for event in EventQuerySet(Event).about_token("T1")} == {did.pk, done.pk}


def test_the_trail_needs_no_request() -> None:
    assert trail.record(Action.DEMO_FILLED, by=Somebody(), target=make_fleet(make_organization())).request_id


def test_differences_are_what_is_said_otherwise_before_and_after() -> None:
    before = {"name": "Edge", "size": 1, "tags": ["a"], "gone": 1}
    after = {"name": "Edge", "size": 2, "tags": [], "fresh": True, "empty": None}

    assert differences(before, after) == {"size": [1, 2], "tags": [["a"], []], "fresh": [None, True]}
