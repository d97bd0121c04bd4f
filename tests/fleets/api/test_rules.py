"""`/api/v1/roles/` and `/api/v1/acl/`: what an organization rules, as clients write and read it."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from fleets.models import AclEntry, Organization, OrganizationRole
from tests.factories import (
    API,
    events,
    last_event,
    make_entry,
    make_fleet,
    make_group,
    make_machine,
    make_organization,
    make_role,
    make_superuser,
    make_technical_user,
    make_token,
    member,
    owner_of,
    session_client,
    token_client,
)

pytestmark = pytest.mark.django_db
ROLES, ACL = f"{API}roles/", f"{API}acl/"


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


@pytest.fixture
def browser(acme: Organization) -> APIClient:
    return session_client(owner_of(acme))


# Roles


def test_a_role_is_made_read_changed_and_removed(browser: APIClient) -> None:
    made = browser.post(ROLES, {"name": "Reader", "scopes": ["snapshots:read", "machines:read"]})

    assert made.status_code == 201, made.content
    role = OrganizationRole.objects.get()
    scopes = ["machines:read", "snapshots:read"]
    assert made.json() == {
        "id": str(role.pk),
        "organization": "acme",
        "name": "Reader",
        "scopes": scopes,
        "scopes_at_root": scopes,
    }
    address = f"{ROLES}{role.pk}/"
    assert (made["ETag"], browser.get(address)["ETag"]) == ('"1"', '"1"')
    changed = browser.patch(address, {"scopes": ["machines:read"]}, headers={"if-match": '"1"'})
    assert (changed.status_code, changed["ETag"], changed.json()["scopes"]) == (200, '"2"', ["machines:read"])
    assert browser.patch(address, {"scopes": scopes}, headers={"if-match": '"1"'}).status_code == 412
    assert browser.delete(address, headers={"if-match": '"1"'}).status_code == 412
    assert browser.patch(address, {})["ETag"] == '"2"', "nothing was said, nothing changes"

    assert browser.delete(address).status_code == 204

    assert browser.get(address).status_code == 404
    assert [row for row in browser.get(ROLES).json()["results"] if row["id"]] == []
    assert events(action__startswith="role.") == [
        "role.added allowed",
        "role.changed allowed",
        "role.removed allowed",
    ]


@pytest.mark.parametrize("rows", [1, 30])
def test_built_in_roles_and_an_organizations_own_are_one_list(
    acme: Organization, browser: APIClient, rows: int, django_assert_num_queries: Any
) -> None:
    for number in range(rows):
        make_role(acme, f"Own-{number}", "machines:read")
    make_role(make_organization("globex"), "Theirs", "machines:read")

    with django_assert_num_queries(6):  # one of them asks for the session
        page = browser.get(f"{ROLES}?limit=200").json()
    assert [row["name"] for row in page["results"] if row["id"]] == [f"Own-{n}" for n in range(rows)]
    assert {row["organization"] for row in page["results"] if row["id"] is None} == {None}
    seen, link = [], f"{ROLES}?limit=5"
    while link:
        page = browser.get(link).json()
        seen += [row["name"] for row in page["results"]]
        link = page["next"]
    assert len(seen) == 7 + rows


def test_who_sees_several_organizations_names_the_one_whose_roles_they_mean(acme: Organization) -> None:
    make_role(acme, "Reader", "machines:read")
    make_organization("globex")
    browser = session_client(make_superuser())

    everywhere = [row["name"] for row in browser.get(ROLES).json()["results"]]
    of_acme = [row["name"] for row in browser.get(f"{ROLES}?organization=acme").json()["results"]]

    assert "Reader" not in everywhere
    assert of_acme == [*everywhere, "Reader"]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"name": "Reader"}, "scopes", "required"),
        ({"scopes": ["machines:read"]}, "name", "required"),
        ({"name": "Reader", "scopes": []}, "scopes", "min_length"),
        ({"name": "Reader", "scopes": "machines:read"}, "scopes", "not_a_list"),
        ({"name": "Reader", "scopes": ["machines:*"]}, "scopes", "unknown_scope"),
        ({"name": "Reader", "scopes": ["Machines:read"]}, "scopes", "unknown_scope"),
        ({"name": "Reader", "scopes": ["machines:read", "machines:read"]}, "scopes", "duplicate"),
        ({"name": "Reader", "scopes": ["approvals:decide"]}, "scopes", "not_in_roles"),
        ({"name": "a b", "scopes": ["machines:read"]}, "name", "invalid"),
        ({"name": "Reader", "scopes": ["machines:read"], "id": "1"}, "id", "read_only"),
        ({"name": "Reader", "scopes": ["machines:read"], "version": 9}, "version", "unknown_field"),
    ],
)
def test_a_role_that_can_not_be_meant_is_400(
    browser: APIClient, body: dict[str, Any], field: str, code: str
) -> None:
    response = browser.post(ROLES, body)

    assert response.status_code == 400
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, code)]
    assert not OrganizationRole.objects.exists()


def test_names_are_taken_once_and_roles_in_use_stay(acme: Organization, browser: APIClient) -> None:
    body = {"name": "Reader", "scopes": ["machines:read"]}
    first = browser.post(ROLES, body, headers={"idempotency-key": "1"})
    again = browser.post(ROLES, body, headers={"idempotency-key": "1"})
    taken = browser.post(ROLES, {**body, "name": "READER"})
    built_in = browser.post(ROLES, {**body, "name": "viewer"})

    assert (first.status_code, again.json()) == (201, first.json())
    assert [(r.status_code, r.json()["code"]) for r in (taken, built_in)] == [(409, "name_taken")] * 2
    make_entry(acme, "/", "Reader", user=member(acme))
    refused = browser.delete(f"{ROLES}{first.json()['id']}/")
    assert (refused.status_code, refused.json()["code"]) == (409, "role_in_use")
    assert OrganizationRole.objects.present().count() == 1


def test_everybody_of_the_organization_reads_its_roles_and_no_token_rules_them(acme: Organization) -> None:
    role = make_role(acme, "Reader", "machines:read")
    address = f"{ROLES}{role.pk}/"
    reader = session_client(member(acme))
    narrow = token_client(make_token(make_fleet(acme), "machines:read"))
    broad = token_client(make_token(owner_of(acme), "permissions:manage", "machines:read"))

    for client in (reader, narrow, broad):
        assert client.get(address).status_code == 200
        assert [row["name"] for row in client.get(ROLES).json()["results"]][-1] == "Reader"
        for answer in (
            client.post(ROLES, {"name": "Other", "scopes": ["machines:read"]}),
            client.patch(address, {"scopes": ["machines:operate"]}),
            client.delete(address),
        ):
            assert answer.status_code == 403, answer.content
    assert list(OrganizationRole.objects.values_list("name", "scopes", "version")) == [
        ("Reader", ["machines:read"], 1)
    ]


# Entries


def test_an_entry_is_set_read_changed_and_removed(acme: Organization, browser: APIClient) -> None:
    edge, ada = make_fleet(acme, "edge"), member(acme)

    made = browser.post(ACL, {"path": edge.path, "role": "Viewer", "user": ada.username})

    assert made.status_code == 201, made.content
    entry = AclEntry.objects.get()
    assert made.json() == {
        "id": str(entry.pk),
        "organization": "acme",
        "path": "/fleets/edge",
        "role": "Viewer",
        "propagate": True,
        "user": ada.username,
        "group": None,
    }
    address = f"{ACL}{entry.pk}/"
    assert (made["ETag"], browser.get(address).json()) == ('"1"', made.json())
    changed = browser.patch(address, {"role": "Operator", "propagate": False}, headers={"if-match": '"1"'})
    assert (changed.status_code, changed["ETag"]) == (200, '"2"')
    assert (changed.json()["role"], changed.json()["propagate"]) == ("Operator", False)
    for stale in (browser.patch, browser.delete):
        assert stale(address, headers={"if-match": '"1"'}).status_code == 412
    assert browser.delete(address, headers={"if-match": '"2"'}).status_code == 204

    assert browser.get(address).status_code == browser.delete(address).status_code == 404
    assert events(action__startswith="entry.") == [
        "entry.set allowed",
        "entry.changed allowed",
        "entry.removed allowed",
    ]
    assert last_event(action="entry.removed").data["subject"] == ada.username


def test_subjects_are_people_technical_users_and_groups(acme: Organization, browser: APIClient) -> None:
    group, bot = make_group(acme, "crew"), make_technical_user(acme, "robot")
    own = make_token(make_fleet(acme, "edge"), "machines:read").token.principal

    answers = [
        browser.post(ACL, {"path": "/nodes", "role": "Viewer", "group": "crew"}).json(),
        browser.post(ACL, {"path": "/nodes", "role": "Viewer", "user": "ROBOT"}).json(),
        browser.post(ACL, {"path": "/nodes", "role": "Viewer", "user": own.username}).json(),
    ]

    assert [(answer["user"], answer["group"]) for answer in answers] == [
        (None, "crew"),
        ("robot", None),
        (own.username, None),
    ]
    assert {(entry.user_id, entry.group_id) for entry in AclEntry.objects.all()} == {
        (None, group.pk),
        (bot.pk, None),
        (own.pk, None),
    }


@pytest.mark.parametrize(
    ("body", "status", "field", "code"),
    [
        ({"path": "/"}, 400, "role", "required"),
        ({"role": "Viewer"}, 400, "path", "required"),
        ({"user": "", "group": "crew"}, 400, "user", "blank"),
        ({"group": "crew"}, 400, "group", "contradiction"),
        ({"path": "/fleets/none"}, 400, "path", "unknown_path"),
        ({"path": "/fleets/gone"}, 400, "path", "unknown_path"),
        ({"path": "nodes"}, 400, "path", "bad_path"),
        ({"path": "/vms/07"}, 400, "path", "bad_path"),
        ({"path": 7}, 400, "path", "invalid"),
        ({"path": " /nodes"}, 400, "path", "bad_path"),
        ({"role": "Emperor"}, 400, "role", "unknown_role"),
        ({"role": "viewer"}, 400, "role", "unknown_role"),
        ({"propagate": "perhaps"}, 400, "propagate", "invalid"),
        ({"id": "1"}, 400, "id", "read_only"),
        ({"token": "x"}, 400, "token", "unknown_field"),
    ],
)
def test_an_entry_that_can_not_be_meant_is_refused(
    acme: Organization, browser: APIClient, body: dict[str, Any], status: int, field: str, code: str
) -> None:
    make_group(acme, "crew")
    gone = make_fleet(acme, "gone")
    gone.closed_at = gone.created_at
    gone.save(update_fields=["closed_at"])
    whole = {"path": "/nodes", "role": "Viewer", "user": member(acme).username}
    missing = (
        {"path": "role", "role": "path"}.get(next(iter(body)))
        if len(body) == 1 and code == "required"
        else None
    )
    sent = {name: value for name, value in {**whole, **body}.items() if name != missing}

    response = browser.post(ACL, sent)

    assert response.status_code == status, response.content
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, code)]
    assert not AclEntry.objects.exists()
    assert browser.post(ACL, whole).status_code == 201


def test_somebody_of_nobody_knows_where_is_404(acme: Organization, browser: APIClient) -> None:
    elsewhere = make_organization("globex")
    make_group(elsewhere, "theirs")
    closed = make_group(acme, "closed")
    closed.closed_at = closed.created_at
    closed.save(update_fields=["closed_at"])

    for subject in (
        {"user": owner_of(elsewhere).username},
        {"user": make_technical_user(elsewhere).username},
        {"user": "nobody"},
        {"group": "theirs"},
        {"group": "closed"},
        {"group": "none"},
    ):
        response = browser.post(ACL, {"path": "/", "role": "Viewer", **subject})
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert not AclEntry.objects.exists()


def test_a_vmid_is_answered_as_the_machine_that_bears_it(acme: Organization, browser: APIClient) -> None:
    machine, ada = make_machine(make_fleet(acme, "edge"), vmid=7), member(acme)

    borne = browser.post(ACL, {"path": "/vms/7", "role": "Viewer", "user": ada.username})
    free = browser.post(ACL, {"path": "/vms/8", "role": "Viewer", "user": ada.username})
    taken = browser.post(f"{API}machines/", {"fleet": "edge", "name": "eight", "vmid": 8})

    assert (borne.json()["path"], free.json()["path"]) == (machine.path, "/vms/8")
    assert (taken.status_code, taken.json()["code"]) == (409, "vmid_has_entries")
    assert [row["path"] for row in browser.get(f"{ACL}?path=/vms/7").json()["results"]] == [machine.path]


def test_entries_are_filtered_by_user_group_and_path(acme: Organization, browser: APIClient) -> None:
    ada, grace, crew = member(acme), member(acme), make_group(acme, "crew")
    for path in ("/a", "/b"):
        make_entry(acme, path, "Viewer", user=ada)
    make_entry(acme, "/a", "Viewer", user=grace)
    make_entry(acme, "/a", "Viewer", group=crew)

    def found(query: str) -> list[tuple[str, str]]:
        rows = browser.get(f"{ACL}?{query}").json()["results"]
        return sorted((row["path"], row["user"] or row["group"]) for row in rows)

    assert found(f"user={ada.username}") == [("/a", ada.username), ("/b", ada.username)]
    assert found("group=crew") == [("/a", "crew")]
    assert found("path=/b") == [("/b", ada.username)]
    assert found("path=/none") == found("user=nobody") == found("group=none") == []
    assert browser.get(f"{ACL}?path=none").status_code == 400
    assert browser.get(f"{ACL}?role=Viewer").status_code == 400


@pytest.mark.parametrize("rows", [1, 30])
def test_entries_take_the_same_number_of_queries_for_few_and_for_many(acme: Organization, rows: int) -> None:
    delegate, edge = member(acme), make_fleet(acme, "edge")
    make_entry(acme, edge.path, "Administrator", user=delegate)
    for _ in range(rows):
        make_entry(acme, make_machine(edge).path, "Viewer", user=member(acme))
        make_entry(acme, make_machine(edge).path, "Viewer", group=make_group(acme))
        make_entry(acme, "/elsewhere", "Viewer", user=member(acme))
    clients = {"owner": session_client(owner_of(acme)), "delegate": session_client(delegate)}
    for client in clients.values():
        client.get(ACL)

    found = {}
    for caller, client in clients.items():
        with CaptureQueriesContext(connection) as queries:
            page = client.get(f"{ACL}?limit=200").json()
        found[caller] = (len(queries), len(page["results"]))

    assert found == {"owner": (10, 1 + 3 * rows), "delegate": (12, 1 + 2 * rows)}


def test_who_manages_permissions_at_a_path_works_there_and_nowhere_else(acme: Organization) -> None:
    edge, core, ada, delegate = make_fleet(acme, "edge"), make_fleet(acme, "core"), member(acme), member(acme)
    make_entry(acme, edge.path, "Administrator", user=delegate)
    here, there = (
        make_entry(acme, edge.path, "Viewer", user=ada),
        make_entry(acme, core.path, "Viewer", user=ada),
    )
    plain = session_client(ada)
    program = make_token(delegate, "permissions:manage", "machines:read", "snapshots:read")

    for client in (session_client(delegate), token_client(program)):
        paths = {row["path"] for row in client.get(ACL).json()["results"]}
        assert paths == {edge.path}
        assert client.get(f"{ACL}{here.pk}/").status_code == 200
        assert client.patch(f"{ACL}{here.pk}/", {"propagate": True}).status_code == 200
        for answer in (
            client.get(f"{ACL}{there.pk}/"),
            client.patch(f"{ACL}{there.pk}/", {"role": "NoAccess"}),
            client.delete(f"{ACL}{there.pk}/"),
            # a fleet out of reach is answered as one that is not there
            client.post(ACL, {"path": core.path, "role": "Viewer", "user": ada.username}),
            client.post(ACL, {"path": "/fleets/none", "role": "Viewer", "user": ada.username}),
        ):
            assert answer.status_code == 404, answer.content
        root = client.post(ACL, {"path": "/", "role": "Viewer", "user": ada.username})
        assert (root.status_code, root.json()["code"]) == (403, "insufficient_scope")
    assert plain.get(ACL).json()["results"] == []
    assert plain.get(f"{ACL}{here.pk}/").status_code == 403
    assert token_client(make_token(ada, "machines:read")).get(ACL).status_code == 403
    assert AclEntry.objects.get(pk=there.pk).role == "Viewer"


def test_a_token_is_told_that_it_writes_for_itself(acme: Organization) -> None:
    boss = member(acme, "admin")
    program = token_client(make_token(boss, "permissions:manage", "machines:read", "snapshots:read"))
    body = {"path": "/nodes", "role": "Viewer"}

    refused = program.post(ACL, {**body, "user": boss.username})
    allowed = program.post(ACL, {**body, "user": member(acme).username})

    assert (refused.status_code, refused.json()["code"]) == (403, "writes_for_itself")
    assert allowed.status_code == 201
    assert events(action="entry.set") == ["entry.set denied", "entry.set allowed"]


def test_setting_an_entry_happens_once_for_a_key(acme: Organization, browser: APIClient) -> None:
    body = {"path": "/nodes", "role": "Viewer", "user": member(acme).username}

    first = browser.post(ACL, body, headers={"idempotency-key": "one"})
    again = browser.post(ACL, body, headers={"idempotency-key": "one"})
    other = browser.post(ACL, body)

    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert (other.status_code, other.json()["code"]) == (409, "entry_exists")
    assert AclEntry.objects.count() == 1
