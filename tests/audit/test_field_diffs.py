"""Field diffs by django-auditlog: what an edit changed, by whom and in which request; and what never gets there."""

from typing import Any

import pytest
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.db import connection, models
from django.db.models.signals import pre_save
from django.test.utils import CaptureQueriesContext

from audit import diffs
from audit.models import Event
from config.edge.refusals import Unavailable
from fleets import membership, organizations
from fleets.models import Fleet, Machine, Membership, Organization, User
from fleets.tracked import TRACKED
from tests.factories import (
    events,
    fleet_member,
    last_event,
    make_entry,
    make_fleet,
    make_machine,
    make_organization,
    make_token,
    member,
    operator,
    owner_of,
    session,
    session_client,
    token_client,
)
from tests.races.contest import contest
from tokens import lifecycle, tracked
from tokens.models import Token, TokenSecret

pytestmark = pytest.mark.django_db

# Never edited by people, or no business of a diff: who adds a column says which of the two it is.
UNTRACKED = {
    "User": {"id", "password", "last_login", "kind", "version", "created_at"},
    "Organization": {"id", "slug", "version", "created_at"},
    "Membership": {"id", "user", "organization", "version", "joined_at"},
    "Fleet": {"id", "organization", "slug", "version", "created_at"},
    "Group": {"id", "organization", "slug", "version", "created_at"},
    "Application": {"id", "organization", "slug", "version", "created_at"},
    "Machine": {"id", "organization", "version", "registered_at"},
    "OrganizationRole": {"id", "organization", "version", "created_at"},
    "AclEntry": {"id", "organization", "version"},
    "Token": {
        *("id", "organization", "kind", "owner_user", "owner_fleet", "owner_group", "owner_application"),
        *("principal", "privilege_separation", "version", "created_at", "created_by", "created_by_name"),
        *("approved_at", "expired_at", "rotated_at", "last_used_at", "last_used_address"),
        *("open_request", "open_emergency", "widened_by", "widened_at"),
    },
}
ALL: dict[type[models.Model], tuple[str, ...]] = {**TRACKED, Token: tracked.TRACKED}


def entries(row: models.Model) -> list[dict[str, Any]]:
    return list(LogEntry.objects.get_for_object(row).order_by("pk").values_list("changes", flat=True))


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


@pytest.fixture
def edge(acme: Organization) -> Fleet:
    return make_fleet(acme, "edge")


# Which columns


@pytest.mark.parametrize("model", ALL, ids=lambda model: model.__name__)
def test_every_column_is_tracked_or_said_not_to_be(model: type[models.Model]) -> None:
    columns = {field.name for field in model._meta.concrete_fields}

    assert set(ALL[model]) | UNTRACKED[model.__name__] == columns, "say of the new column which one it is"
    assert not set(ALL[model]) & UNTRACKED[model.__name__]
    assert set(auditlog.get_model_fields(model)["include_fields"]) == set(ALL[model])


def test_nothing_else_is_known_to_it() -> None:
    assert set(auditlog.get_models()) == set(ALL)
    assert not auditlog.contains(TokenSecret)
    assert not auditlog.contains(Event)


# An edit, its diff and its event


def test_an_edit_over_http_leaves_a_diff_of_the_same_request_as_its_event(edge: Fleet) -> None:
    manager = fleet_member(edge, "manager")
    token = make_token(edge, "machines:read").token

    answer = session_client(manager).patch(
        f"/api/v1/tokens/{token.pk}/",
        {"description": "for the nightly job"},
        headers={"x-forwarded-for": "198.51.100.7", "x-correlation-id": "forged"},
    )

    assert answer.status_code == 200
    entry = LogEntry.objects.get_for_object(token).get()
    event = last_event(action="token.edited")
    assert entry.changes == {"description": ["", "for the nightly job"]}
    assert entry.cid == event.request_id == answer["X-Request-ID"]
    assert entry.remote_addr == event.address == "127.0.0.1"
    assert (entry.actor_id, entry.actor_email) == (manager.pk, None)
    assert entry.additional_data == {
        "actor": {"type": "person", "id": str(manager.pk), "label": manager.username},
        "on_behalf_of": None,
    }
    assert diffs.of(token, [event.request_id]) == {event.request_id: entry.changes}
    assert diffs.of(token, ["another"]) == {}


def test_a_token_that_edits_is_named_with_whom_it_acts_for(acme: Organization, edge: Fleet) -> None:
    calling = make_token(owner_of(acme), "tokens:manage", "machines:read", privilege_separation=False)
    other = make_token(owner_of(acme), "machines:read").token

    answer = token_client(calling).post(f"/api/v1/tokens/{other.pk}/disable/", {})

    assert answer.status_code == 200, answer.content
    entry = LogEntry.objects.get_for_object(other).get()
    assert entry.changes == {"status": ["active", "disabled"]}
    assert entry.actor_id == owner_of(acme).pk
    assert entry.additional_data["actor"]["type"] == "token"
    assert entry.additional_data["actor"]["id"] == calling.token.pk
    assert entry.additional_data["on_behalf_of"]["id"] == str(owner_of(acme).pk)


def test_the_operator_is_no_person(edge: Fleet) -> None:
    token = make_token(edge, "machines:read").token

    lifecycle.disable(token, by=operator)

    entry = LogEntry.objects.get_for_object(token).get()
    assert entry.actor_id is None
    assert entry.additional_data["actor"] == {"type": "system", "id": "operator", "label": "root@tests"}


def _edits(acme: Organization) -> dict[str, tuple[models.Model, Any, dict[str, Any]]]:
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    owner = session(owner_of(acme))
    machine = make_machine(edge, "one")
    place = Membership.objects.get(user=member(acme))
    token = make_token(edge, "machines:read").token
    entry = make_entry(acme, "/fleets/edge", "Viewer", user=place.user)
    return {
        "organization": (
            acme,
            lambda: organizations.rename(acme, name="New", by=owner),
            {"name": ["Acme", "New"]},
        ),
        "membership": (
            place,
            lambda: membership.change_role(place, role="auditor", by=owner),
            {"role": ["member", "auditor"]},
        ),
        "machine": (
            machine,
            lambda: session_client(owner_of(acme)).post(
                f"/api/v1/machines/{machine.pk}/move/", {"fleet": "core"}
            ),
            {"fleet": [str(edge.pk), str(core.pk)]},
        ),
        "token": (
            token,
            lambda: lifecycle.revoke(token, by=owner),
            {"status": ["active", "revoked"], "status_reason": ["", "by_hand"]},
        ),
        "entry": (
            entry,
            lambda: membership.leave(place, by=owner),
            {},
        ),
    }


@pytest.mark.parametrize("what", ["organization", "membership", "machine", "token"])
def test_an_edit_leaves_one_diff_of_what_became_another(acme: Organization, what: str) -> None:
    row, act, expected = _edits(acme)[what]

    act()

    assert entries(row) == [expected]


def test_a_deleted_entry_leaves_what_it_was(acme: Organization) -> None:
    row, act, _ = _edits(acme)["entry"]
    pk = row.pk

    act()

    entry = LogEntry.objects.get(object_pk=str(pk))
    assert entry.action == LogEntry.Action.DELETE
    before = {name: pair[0] for name, pair in entry.changes.items()}
    assert (before["path"], before["role"]) == ("/fleets/edge", "Viewer")


def test_what_is_made_leaves_none(acme: Organization, edge: Fleet) -> None:
    make_token(edge, "machines:read")
    make_machine(edge)
    member(acme)

    assert not LogEntry.objects.exists()
    assert "token.issued allowed" in events()


# The same transaction


def test_what_is_refused_or_fails_leaves_no_diff(edge: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    token = make_token(edge, "machines:read").token

    def fails(event: Event, *arguments: Any, **options: Any) -> None:
        raise Unavailable("disk full")

    monkeypatch.setattr(Event, "save", fails)
    with pytest.raises(Unavailable):
        lifecycle.disable(token, by=operator)

    assert Token.objects.get(pk=token.pk).status == "active"
    assert not LogEntry.objects.exists()


# What it costs, and what never gets there


def test_a_call_by_a_token_asks_it_nothing(edge: Fleet) -> None:
    client = token_client(make_token(edge, "machines:read"))

    with CaptureQueriesContext(connection) as captured:
        assert client.get("/api/v1/machines/").status_code == 200

    assert any("last_used_at" in query["sql"] for query in captured), "it noted its use"
    assert not [query for query in captured if "auditlog" in query["sql"]]
    assert not LogEntry.objects.exists()


def test_a_sign_in_and_a_new_password_leave_no_diff(acme: Organization) -> None:
    person = member(acme)
    person.set_password("another password of some length")
    person.save()
    session_client(person)

    assert not LogEntry.objects.exists()
    person.email = "ada@example.org"
    person.save()
    assert entries(person) == [{"email": ["", "ada@example.org"]}]


def test_a_secret_that_somebody_pastes_is_cut_out(edge: Fleet) -> None:
    issued = make_token(edge, "machines:read")
    machine = make_machine(edge, "one")

    lifecycle.edit(issued.token, change=lifecycle.Edit(description=issued.secret.reveal()), by=operator)

    assert entries(issued.token) == [{"description": ["", "[secret]"]}]
    assert entries(machine) == []


def test_no_request_adds_a_receiver(edge: Fleet) -> None:
    client = session_client(fleet_member(edge, "manager"))
    token = make_token(edge, "machines:read").token
    before = len(pre_save.receivers)

    for number in range(5):
        assert client.patch(f"/api/v1/tokens/{token.pk}/", {"description": str(number)}).status_code == 200

    assert len(pre_save.receivers) == before
    assert len(entries(token)) == 5


def test_its_page_in_the_admin_is_not_offered(acme: Organization) -> None:
    User.objects.filter(pk=owner_of(acme).pk).update(is_superuser=True)

    assert session_client(owner_of(acme)).get("/admin/auditlog/logentry/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_callers_at_the_same_time_are_never_mixed_up() -> None:
    acme = make_organization("acme")
    fleet = make_fleet(acme, "edge")
    people = [fleet_member(fleet, "manager") for _ in range(4)]
    machines = [make_machine(fleet) for _ in people]
    clients = [session_client(person) for person in people]

    def configuring(number: int) -> Any:
        def act() -> int:
            path = f"/api/v1/machines/{machines[number].pk}/configuration/"
            return max(clients[number].patch(path, {"cpus": cpus}).status_code for cpus in range(1, 6))

        return act

    assert contest(*(configuring(number) for number in range(len(people)))) == [200] * len(people)

    for person, machine in zip(people, machines, strict=True):
        found = LogEntry.objects.get_for_object(machine)
        assert found.count() == 5
        assert {entry.actor_id for entry in found} == {person.pk}
        ids = Event.objects.filter(action="machine.configured", target_id=str(machine.pk))
        assert set(ids.values_list("request_id", flat=True)) == set(found.values_list("cid", flat=True))
    assert Machine.objects.filter(version=6).count() == len(machines)
