"""`/api/v1/machines/`: what is seen, and what is done, by people and by tokens."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from audit.models import Event
from fleets.access import PersonAccess
from fleets.membership import leave_fleet
from fleets.models import Machine, Organization
from tests.factories import (
    API,
    events,
    fleet_member,
    last_event,
    make_entry,
    make_fleet,
    make_fleet_member,
    make_group,
    make_group_member,
    make_machine,
    make_organization,
    make_superuser,
    make_token,
    member,
    owner_of,
    session_client,
    token_client,
)

pytestmark = pytest.mark.django_db
MACHINES = f"{API}machines/"


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def one(machine: Machine) -> str:
    return f"{MACHINES}{machine.pk}/"


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return sorted(row["name"] for row in response.data["results"])


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


# What is seen


def test_a_machine_is_written_as_the_contract_says(acme: Organization) -> None:
    machine = make_machine(make_fleet(acme, "edge"), "edge-1", vmid=101, tags=["web", "eu"])

    response = session_client(owner_of(acme)).get(one(machine))

    assert response.json() == {
        "id": str(machine.pk),
        "organization": "acme",
        "fleet": "edge",
        "name": "edge-1",
        "vmid": 101,
        "kind": "virtual",
        "tags": ["eu", "web"],
        "configuration": {"cpus": None, "memory": None, "disks": [], "networks": []},
        "template": None,
        "registered_at": machine.registered_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "deregistered_at": None,
    }
    assert response["ETag"] == '"1"'


def test_the_list_has_only_machines_whose_path_permits_reading(acme: Organization) -> None:
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    edge_1, _, core_1 = (
        make_machine(edge, "edge-1"),
        make_machine(edge, "edge-2"),
        make_machine(core, "core-1"),
    )
    viewer, manager = fleet_member(edge, "viewer"), fleet_member(core, "manager")
    make_entry(acme, edge_1.path, "NoAccess", user=viewer)
    make_entry(acme, core_1.path, "Viewer", user=viewer)

    assert names(session_client(owner_of(acme)).get(MACHINES)) == ["core-1", "edge-1", "edge-2"]
    assert names(session_client(manager).get(MACHINES)) == ["core-1"]
    assert names(session_client(viewer).get(MACHINES)) == ["core-1", "edge-2"]


def test_an_entry_of_a_group_opens_what_it_names_and_no_more(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    machine, other = make_machine(edge, "edge-1"), make_machine(edge, "edge-2")
    user = make_group_member(group := make_group(acme)).user
    make_entry(acme, machine.path, "Viewer", group=group)
    browser = session_client(user)

    assert names(browser.get(MACHINES)) == ["edge-1"]
    assert browser.get(one(machine)).status_code == 200
    assert code(browser.get(one(other))) == (404, "not_found")


def test_an_entry_that_does_not_propagate_opens_the_fleet_but_not_its_machines(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    make_machine(edge)
    user = member(acme)
    make_entry(acme, edge.path, "Viewer", user=user, propagate=False)

    assert names(session_client(user).get(MACHINES)) == []


def test_some_scope_on_a_machine_but_not_reading_is_403_and_none_at_all_is_404(acme: Organization) -> None:
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    here, there = make_machine(edge), make_machine(core)
    client = token_client(make_token(edge, "machines:operate"))

    refused = client.get(one(here))

    assert code(refused) == (403, "insufficient_scope")
    assert refused["WWW-Authenticate"].endswith('error="insufficient_scope", scope="machines:read"')
    assert refused.json()["path"] == here.path
    assert code(client.get(one(there))) == (404, "not_found")
    assert token_client(make_token(edge, "machines:read")).get(one(here)).status_code == 200


def test_a_token_that_was_not_issued_for_reading_is_told_the_scope(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    issued = make_token(edge, "machines:operate")

    assert code(token_client(issued).get(MACHINES)) == (403, "insufficient_scope")
    assert events(actor_id=issued.token.pk) == ["token.denied denied"]


def test_who_reaches_no_machine_at_present_gets_an_empty_list(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    make_machine(edge, "edge-1")
    viewer = fleet_member(edge, "viewer")
    own = token_client(make_token(viewer, "machines:read"))
    assert names(own.get(MACHINES)) == ["edge-1"]

    leave_fleet(viewer.fleet_memberships.get(), by=PersonAccess(owner_of(acme)))

    assert names(own.get(MACHINES)) == []
    assert names(session_client(viewer).get(MACHINES)) == []


def test_a_call_by_a_token_leaves_one_event_that_names_scope_path_and_request(acme: Organization) -> None:
    machine = make_machine(make_fleet(acme, "edge"))
    issued = make_token(machine.fleet, "machines:read")

    response = token_client(issued).get(one(machine))

    event = last_event()
    assert events(actor_id=issued.token.pk) == ["token.used allowed"]
    assert (event.data["scope"], event.data["path"]) == ("machines:read", machine.path)
    assert event.request_id == response["X-Request-ID"]


def test_a_list_says_how_many_of_its_principals_machines_a_token_may_not_see(acme: Organization) -> None:
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    chosen, _, _ = make_machine(edge, "edge-1"), make_machine(edge, "edge-2"), make_machine(core)
    manager = fleet_member(edge, "manager")

    few = token_client(make_token(edge, "machines:read", machines=[chosen])).get(MACHINES)
    whole = token_client(make_token(edge, "machines:read")).get(MACHINES)
    own = token_client(make_token(manager, "machines:read", machines=[chosen])).get(MACHINES)

    assert (names(few), few.data["hidden"]) == (["edge-1"], 1)
    assert (names(whole), whole.data["hidden"]) == (["edge-1", "edge-2"], 0)
    assert (names(own), own.data["hidden"]) == (["edge-1"], 1)
    assert session_client(manager).get(MACHINES).data["hidden"] == 0


def test_selected_machines_that_are_all_gone_match_nothing(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    chosen, _ = make_machine(edge, "edge-1"), make_machine(edge, "edge-2")
    client = token_client(make_token(edge, "machines:read", machines=[chosen]))
    assert names(client.get(MACHINES)) == ["edge-1"]

    session_client(owner_of(acme)).delete(one(chosen))

    assert names(client.get(MACHINES)) == []
    assert client.get(one(chosen)).status_code == 404


def test_a_list_takes_the_same_number_of_queries_for_few_and_for_many(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    people, program = session_client(owner_of(acme)), token_client(make_token(edge, "machines:read"))
    make_machine(edge)
    program.get(MACHINES)  # the first use of a token is also kept as its last
    taken = []
    for rows in (1, 30):
        for number in range(Machine.objects.count(), rows):
            make_machine(edge, f"edge-{number}", tags=["a", "b"])
        for client in (people, program):
            with CaptureQueriesContext(connection) as queries:
                assert len(client.get(MACHINES).data["results"]) == rows
            taken.append(len(queries))

    assert taken[:2] == taken[2:]
    assert taken[0] == 12  # one of them asks for the session
    assert taken[1] <= 24  # how many of them verify the token is the tokens' own affair


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("fleet=edge", ["db", "web-1", "web-2"]),
        ("fleet=core", ["core"]),
        ("tag=eu", ["core", "web-1"]),
        ("tag=EU", []),
        ("kind=physical", ["db"]),
        ("vmid=102", ["web-2"]),
        ("vmid=99999999999999999999", []),
        ("name=WEB-1", ["web-1"]),
        ("search=web", ["web-1", "web-2"]),
        ("search=web&tag=eu", ["web-1"]),
        ("organization=acme&limit=200", ["core", "db", "web-1", "web-2"]),
    ],
)
def test_the_list_is_filtered(acme: Organization, query: str, found: list[str]) -> None:
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    make_machine(edge, "web-1", tags=["eu"], vmid=101)
    make_machine(edge, "web-2", tags=["us"], vmid=102)
    make_machine(edge, "db", kind="physical")
    make_machine(core, "core", tags=["eu", "us"])

    assert names(session_client(owner_of(acme)).get(f"{MACHINES}?{query}")) == found


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("colour=red", "colour", "unknown_parameter"),
        ("kind=imaginary", "kind", "invalid_choice"),
        ("vmid=abc", "vmid", "invalid"),
        ("tag=a&tag=b", "tag", "repeated_parameter"),
        ("search=%00", "search", "invalid"),
        ("limit=0", "limit", "invalid"),
        ("limit=201", "limit", "invalid"),
        ("limit=1e2", "limit", "invalid"),
        ("cursor=junk", "cursor", "invalid"),
        ("format=json", "format", "unknown_parameter"),
        ("ordering=-fleet__organization__slug", "ordering", "unknown_parameter"),
        ("name__regex=.", "name__regex", "unknown_parameter"),
    ],
)
def test_a_filter_that_can_not_be_meant_is_400_and_named(
    acme: Organization, query: str, field: str, reason: str
) -> None:
    make_machine(make_fleet(acme))

    response = session_client(owner_of(acme)).get(f"{MACHINES}?{query}")

    assert response.status_code == 400
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, reason)]


def test_pages_follow_each_other_without_loss_newest_first(acme: Organization) -> None:
    edge = make_fleet(acme)
    for number in range(5):
        make_machine(edge, f"machine-{number}")
    client = session_client(owner_of(acme))

    seen, link = [], f"{MACHINES}?limit=2"
    while link:
        page = client.get(link).json()
        seen.append([row["name"] for row in page["results"]])
        link = page["next"]

    assert seen == [["machine-4", "machine-3"], ["machine-2", "machine-1"], ["machine-0"]]


# Another organization


def test_machines_of_another_organization_do_not_exist(acme: Organization) -> None:
    mine, theirs = (
        make_machine(make_fleet(acme, "edge")),
        make_machine(make_fleet(make_organization("other"), "core")),
    )
    callers = {
        "owner": session_client(owner_of(acme)),
        "token": token_client(
            make_token(mine.fleet, "machines:read", "machines:write", "machines:configure")
        ),
    }
    for client in callers.values():
        before = Event.objects.filter(target_id=str(theirs.pk)).count()
        answers = [
            client.get(one(theirs)),
            client.patch(one(theirs), {"tags": ["x"]}),
            client.delete(one(theirs)),
            client.post(f"{one(theirs)}move/", {"fleet": "edge"}),
            client.get(f"{one(theirs)}configuration/"),
            client.patch(f"{one(theirs)}configuration/", {"cpus": 4}),
            client.get(f"{one(theirs)}actions/"),
            client.post(f"{one(theirs)}actions/", {"action": "stop"}),
            client.get(f"{MACHINES}?organization=other"),
            client.get(f"{MACHINES}?fleet=core"),
            client.get(f"{one(mine)}?organization=other"),
            client.post(MACHINES, {"organization": "other", "fleet": "core", "name": "x"}),
            client.post(MACHINES, {"fleet": "core", "name": "x"}),
            client.post(f"{one(mine)}move/", {"fleet": "core"}),
        ]
        assert [code(answer) for answer in answers] == [(404, "not_found")] * len(answers)
        assert client.get(one(mine)).status_code == 200
        assert Event.objects.filter(target_id=str(theirs.pk)).count() == before
    theirs.refresh_from_db()
    assert (theirs.tags, theirs.deregistered_at, theirs.configuration["cpus"]) == ([], None, None)


@pytest.mark.parametrize(
    "key", ["1", "-1", "x" * 300, "..%2f", "%00", "00000000-0000-0000-0000-00000000000G"]
)
def test_what_is_no_id_is_404(acme: Organization, key: str) -> None:
    assert code(session_client(owner_of(acme)).get(f"{MACHINES}{key}/")) == (404, "not_found")


def test_an_id_has_one_spelling(acme: Organization) -> None:
    machine = make_machine(make_fleet(acme))
    client = session_client(owner_of(acme))

    spellings = [str(machine.pk).upper(), machine.pk.hex, f"{{{machine.pk}}}", f"urn:uuid:{machine.pk}"]

    assert [client.get(f"{MACHINES}{spelling}/").status_code for spelling in spellings] == [404] * 4
    assert client.get(one(machine)).status_code == 200


def test_a_superuser_says_which_organization_is_meant_or_is_a_member_of_one(acme: Organization) -> None:
    make_machine(make_fleet(acme), "acme-1")
    other = make_organization("other")
    make_machine(make_fleet(other), "other-1")
    client = session_client(make_superuser())

    assert code(client.get(MACHINES)) == (400, "organization_required")
    assert code(client.post(MACHINES, {"fleet": "x", "name": "y"})) == (400, "organization_required")
    assert names(client.get(f"{MACHINES}?organization=other")) == ["other-1"]
    assert code(client.get(f"{MACHINES}?organization=nowhere")) == (404, "not_found")
    settled = session_client(owner_of(make_organization("third", owner=make_superuser())))
    assert names(settled.get(MACHINES)) == []
    assert names(settled.get(f"{MACHINES}?organization=acme")) == ["acme-1"]


# Registering


def test_a_fleet_manager_registers_a_machine(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    manager = fleet_member(edge, "manager")

    response = session_client(manager).post(
        MACHINES, {"fleet": "edge", "name": "edge-1", "kind": "physical", "vmid": 7, "tags": ["b", "a", "b"]}
    )

    assert response.status_code == 201, response.content
    machine = Machine.objects.get()
    assert (machine.fleet, machine.name, machine.kind, machine.vmid) == (edge, "edge-1", "physical", 7)
    assert (response.data["id"], response.data["tags"]) == (str(machine.pk), ["a", "b"])
    assert response["ETag"] == '"1"'
    event = last_event()
    assert (event.action, event.actor_id, event.target_id) == (
        "machine.registered",
        str(manager.pk),
        str(machine.pk),
    )


def test_a_machine_is_virtual_unless_said_otherwise(acme: Organization) -> None:
    make_fleet(acme, "edge")

    response = session_client(owner_of(acme)).post(MACHINES, {"fleet": "edge", "name": "edge-1"})

    assert (response.status_code, response.data["kind"], response.data["vmid"]) == (201, "virtual", None)


@pytest.mark.parametrize(
    "body", ["{}", '{"fleet": "edge"}', '{"name": "x", "colour": 1}', "[]", "{", "\xff", '{"a":1,"a":2}']
)
def test_the_right_to_register_is_judged_before_the_body(acme: Organization, body: str) -> None:
    edge = make_fleet(acme, "edge")
    reader, writer = make_token(edge, "machines:read"), make_token(edge, "machines:write")
    options: dict[str, Any] = {"content_type": "application/json", "headers": {"idempotency-key": "k"}}

    refused = token_client(reader).post(MACHINES, body, **options)

    assert code(refused) == (403, "insufficient_scope")
    assert 'scope="machines:write"' in refused["WWW-Authenticate"]
    assert events(actor_id=reader.token.pk) == ["token.denied denied"]
    assert token_client(writer).post(MACHINES, body, **options).status_code == 400
    assert Machine.objects.count() == 0


def test_registering_in_a_fleet_needs_the_right_there(acme: Organization) -> None:
    edge, core, dark = make_fleet(acme, "edge"), make_fleet(acme, "core"), make_fleet(acme, "dark")
    person = fleet_member(edge, "manager")
    make_fleet_member(core, "viewer", user=person)
    client = session_client(person)

    assert code(client.post(MACHINES, {"fleet": "core", "name": "x"})) == (403, "insufficient_scope")
    assert (last_event().action, last_event().outcome) == ("access.denied", "denied")
    assert code(client.post(MACHINES, {"fleet": dark.slug, "name": "x"})) == (404, "not_found")
    assert client.post(MACHINES, {"fleet": "edge", "name": "x"}).status_code == 201
    assert Machine.objects.get().fleet == edge


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"name": "x"}, "fleet", "required"),
        ({"fleet": "edge"}, "name", "required"),
        ({"fleet": "edge", "name": ""}, "name", "blank"),
        ({"fleet": "edge", "name": 7}, "name", "invalid"),
        ({"fleet": "edge", "name": "a b"}, "name", "invalid"),
        ({"fleet": "edge", "name": "-a"}, "name", "invalid"),
        ({"fleet": "edge", "name": "x" * 64}, "name", "max_length"),
        ({"fleet": "edge", "name": "a\u202eb"}, "name", "control"),
        ({"fleet": "edge", "name": "x", "kind": "quantum"}, "kind", "invalid_choice"),
        ({"fleet": "edge", "name": "x", "vmid": 0}, "vmid", "invalid"),
        ({"fleet": "edge", "name": "x", "vmid": -1}, "vmid", "invalid"),
        ({"fleet": "edge", "name": "x", "vmid": "7"}, "vmid", "invalid"),
        ({"fleet": "edge", "name": "x", "vmid": True}, "vmid", "invalid"),
        ({"fleet": "edge", "name": "x", "vmid": 1_000_000_000}, "vmid", "invalid"),
        ({"fleet": "edge", "name": "x", "tags": "web"}, "tags", "not_a_list"),
        ({"fleet": "edge", "name": "x", "tags": ["a b"]}, "tags", "invalid"),
        ({"fleet": "edge", "name": "x", "tags": ["t"] * 51}, "tags", "max_length"),
        ({"fleet": "edge", "name": "x", "id": "1"}, "id", "read_only"),
        ({"fleet": "edge", "name": "x", "configuration": {}}, "configuration", "read_only"),
        (
            {"fleet": "edge", "name": "x", "registered_at": "2020-01-01T00:00:00Z"},
            "registered_at",
            "read_only",
        ),
        ({"fleet": "edge", "name": "x", "deregistered_at": None}, "deregistered_at", "read_only"),
        ({"fleet": "edge", "name": "x", "colour": "red"}, "colour", "unknown_field"),
        ({"fleet": "edge", "name": "x", "is_superuser": True}, "is_superuser", "unknown_field"),
        ({"fleet": "edge", "name": "x", "organization": 5}, "organization", "invalid"),
    ],
)
def test_a_field_that_can_not_be_meant_is_400_and_named(
    acme: Organization, body: dict[str, Any], field: str, reason: str
) -> None:
    make_fleet(acme, "edge")

    response = session_client(owner_of(acme)).post(MACHINES, body)

    assert response.status_code == 400, response.content
    assert (field, reason) in [
        (error["field"].split(".")[0], error["code"]) for error in response.json()["errors"]
    ]
    assert Machine.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"name": "EDGE-1"}, "name_taken"),
        ({"name": "x", "vmid": 101}, "vmid_taken"),
        ({"name": "x", "vmid": 300}, "vmid_has_entries"),
    ],
)
def test_a_name_and_a_vmid_are_borne_once(acme: Organization, body: dict[str, Any], reason: str) -> None:
    edge = make_fleet(acme, "edge")
    make_machine(edge, "edge-1", vmid=101)
    make_entry(acme, "/vms/300", "Viewer", user=member(acme))

    assert code(session_client(owner_of(acme)).post(MACHINES, {"fleet": "edge", **body})) == (409, reason)
    assert Machine.objects.count() == 1


def test_a_repeated_key_registers_once_and_replays_the_answer(acme: Organization) -> None:
    make_fleet(acme, "edge")
    client = session_client(owner_of(acme))
    body = {"fleet": "edge", "name": "edge-1"}

    first = client.post(MACHINES, body, headers={"idempotency-key": "one"})
    again = client.post(MACHINES, body, headers={"idempotency-key": "one"})
    other = client.post(MACHINES, {**body, "name": "edge-2"}, headers={"idempotency-key": "one"})

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert (first.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
    assert code(other) == (422, "idempotency_key_reused")
    assert Machine.objects.count() == 1


# Changing


def test_who_may_write_retags_and_only_that(acme: Organization) -> None:
    machine = make_machine(make_fleet(acme, "edge"), tags=["old"])
    manager, viewer = fleet_member(machine.fleet, "manager"), fleet_member(machine.fleet, "viewer")

    assert code(session_client(viewer).patch(one(machine), {"tags": ["new"]})) == (403, "insufficient_scope")
    response = session_client(manager).patch(one(machine), {"tags": ["new", "a:b"]})

    assert (response.status_code, response.data["tags"], response["ETag"]) == (200, ["a:b", "new"], '"2"')
    assert last_event().data == {"changes": {"tags": [["old"], ["a:b", "new"]]}}
    assert session_client(manager).patch(one(machine), {}).status_code == 200
    for field in ("name", "fleet", "organization", "vmid", "kind", "configuration", "id"):
        refused = session_client(manager).patch(one(machine), {field: "x"})
        assert code(refused) == (400, "read_only")


def test_a_change_is_made_only_to_the_version_that_was_read(acme: Organization) -> None:
    machine = make_machine(make_fleet(acme))
    client = session_client(owner_of(acme))
    read = client.get(one(machine))["ETag"]
    client.patch(one(machine), {"tags": ["first"]}, headers={"if-match": read})

    stale = client.patch(one(machine), {"tags": ["second"]}, headers={"if-match": read})
    malformed = client.patch(one(machine), {"tags": ["second"]}, headers={"if-match": "2"})

    assert code(stale) == (412, "precondition_failed")
    assert code(malformed) == (400, "bad_if_match")
    assert Machine.objects.get().tags == ["first"]
    assert client.patch(one(machine), {"tags": []}, headers={"if-match": '"1", "2"'}).status_code == 200
    assert client.patch(one(machine), {"tags": []}, headers={"if-match": "*"}).status_code == 200


def test_a_deregistered_machine_leaves_the_list_and_frees_its_name(acme: Organization) -> None:
    machine = make_machine(make_fleet(acme, "edge"), "edge-1", vmid=101)
    client = session_client(owner_of(acme))

    assert client.delete(one(machine)).status_code == 204

    assert names(client.get(MACHINES)) == []
    assert client.get(one(machine)).data["deregistered_at"] is not None
    assert (last_event().action, last_event().target_id) == ("machine.deregistered", str(machine.pk))
    assert code(client.delete(one(machine))) == (409, "illegal_move")
    assert code(client.patch(one(machine), {"tags": []})) == (409, "illegal_move")
    later = client.post(MACHINES, {"fleet": "edge", "name": "edge-1", "vmid": 101})
    assert (later.status_code, later.data["id"] == str(machine.pk)) == (201, False)


def test_a_machine_moves_between_fleets_that_the_caller_may_write(acme: Organization) -> None:
    edge, core, dark = make_fleet(acme, "edge"), make_fleet(acme, "core"), make_fleet(acme, "dark")
    machine = make_machine(edge)
    person = fleet_member(edge, "manager")
    make_fleet_member(core, "viewer", user=person)
    client = session_client(person)

    assert code(client.post(f"{one(machine)}move/", {"fleet": dark.slug})) == (404, "not_found")
    assert code(client.post(f"{one(machine)}move/", {"fleet": core.slug})) == (403, "insufficient_scope")
    assert (last_event().action, last_event().outcome) == ("machine.moved", "denied")
    response = session_client(owner_of(acme)).post(f"{one(machine)}move/", {"fleet": "core"})

    assert (response.status_code, response.data["fleet"]) == (200, "core")
    assert last_event().data == {"changes": {"fleet": ["edge", "core"]}}
    assert code(client.patch(one(machine), {"tags": []})) == (403, "insufficient_scope")


def test_a_configuration_is_read_by_readers_and_changed_by_who_may_configure(acme: Organization) -> None:
    machine = make_machine(make_fleet(acme, "edge"))
    viewer, manager = (
        session_client(fleet_member(machine.fleet)),
        session_client(fleet_member(machine.fleet, "manager")),
    )
    url = f"{one(machine)}configuration/"
    change = {"cpus": 4, "memory": 8 * 2**30, "disks": [{"name": "root", "size": 10}], "networks": ["lan"]}

    assert code(viewer.patch(url, {"cpus": 4})) == (403, "insufficient_scope")
    response = manager.patch(url, change)

    assert (response.status_code, response.json(), response["ETag"]) == (200, change, '"2"')
    assert viewer.get(url).json() == change
    assert (last_event().action, last_event().data["changes"]["cpus"]) == ("machine.configured", [None, 4])
    assert manager.patch(url, {"cpus": None}).json() == {**change, "cpus": None}


@pytest.mark.parametrize(
    "change",
    [
        {"cpus": 0}, {"cpus": 1.5}, {"cpus": "4"}, {"memory": -1}, {"memory": 2**53}, {"disks": "sda"}, {"disks": [1]},
        {"disks": [{}]}, {"disks": [{"a": {}}]}, {"disks": None}, {"networks": [None]}, {"gpu": 1},
        {"networks": ["n"] * 65},
    ],
)  # fmt: skip
def test_a_configuration_that_can_not_be_meant_is_400(acme: Organization, change: dict[str, Any]) -> None:
    machine = make_machine(make_fleet(acme))

    assert session_client(owner_of(acme)).patch(f"{one(machine)}configuration/", change).status_code == 400
    machine.refresh_from_db()
    assert (machine.version, machine.configuration["cpus"]) == (1, None)


def test_an_action_is_recorded_for_the_fleets_controller(acme: Organization) -> None:
    machine = make_machine(make_fleet(acme, "edge"))
    operator, viewer = fleet_member(machine.fleet, "operator"), fleet_member(machine.fleet, "viewer")
    url = f"{one(machine)}actions/"

    refused = session_client(viewer).post(url, {"action": "restart"})
    response = session_client(operator).post(url, {"action": "restart"})

    assert code(refused) == (403, "insufficient_scope")
    assert response.status_code == 201, response.content
    wanted = {"organization": "acme", "machine": str(machine.pk), "action": "restart", "state": "requested"}
    assert {name: response.json()[name] for name in wanted} == wanted
    assert (last_event().action, last_event().data["id"]) == ("machine_action.requested", response.data["id"])
    controller = token_client(make_token(machine.fleet, "machines:read")).get(url)
    assert [row["id"] for row in controller.data["results"]] == [response.data["id"]]
    assert operator.username not in controller.content.decode()
    assert code(session_client(operator).post(url, {"action": "explode"})) == (400, "invalid")


# Doors


def test_a_stranger_is_401_and_an_unknown_method_405(acme: Organization) -> None:
    assert code(APIClient().get(MACHINES)) == (401, "credential_missing")
    client = session_client(owner_of(acme))
    assert code(client.put(MACHINES, {})) == (405, "method_not_allowed")
    assert code(client.options(MACHINES)) == (405, "method_not_allowed")
    assert client.head(MACHINES).status_code == 200
    assert client.get(MACHINES, headers={"accept": "text/html"})["Content-Type"] == "application/json"


def test_a_browser_without_the_csrf_token_changes_nothing(acme: Organization) -> None:
    make_fleet(acme, "edge")
    client = session_client(owner_of(acme), enforce_csrf_checks=True)

    response = client.post(MACHINES, {"fleet": "edge", "name": "x"})

    assert code(response) == (403, "csrf_failed")
    assert Machine.objects.count() == 0
