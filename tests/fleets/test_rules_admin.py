"""The pages of roles and access entries: what each may see is offered, everything is done by a verb after asking."""

from typing import Any

import pytest

from fleets.models import AclEntry, Organization, OrganizationRole, User
from tests import factories
from tests.factories import events, last_event
from tests.pages import browser, queries_of

pytestmark = pytest.mark.django_db
ROLES, ENTRIES = "/admin/fleets/organizationrole/", "/admin/fleets/aclentry/"


@pytest.fixture
def acme() -> Organization:
    return factories.make_organization("acme")


@pytest.fixture
def owner(acme: Organization) -> User:
    return factories.owner_of(acme)


def page_of(row: Any, name: str = "change") -> str:
    return f"/admin/fleets/{row._meta.model_name}/{row.pk}/{name}/"


def errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code in {200, 403, 404, 409}, response.content
    return {name: list(each) for name, each in response.context["form"].errors.items()}


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return str(response.content.decode())


# Roles


def test_a_role_is_made_looked_at_changed_and_removed(acme: Organization, owner: User) -> None:
    client = browser(owner)
    asked = text_of(client.get(f"{ROLES}add/"))
    assert "Start, stop, pause, resume and restart machines" in asked
    assert "approvals:decide" not in asked

    made = client.post(
        f"{ROLES}add/", {"organization": "acme", "name": "Restarter", "scopes": ["machines:operate"]}
    )
    role = OrganizationRole.objects.get()
    factories.make_entry(acme, "/nodes", "Restarter", user=factories.member(acme))
    shown = text_of(client.get(page_of(role)))
    form = client.get(page_of(role, "edit")).context["form"]
    changed = client.post(page_of(role, "edit"), {"scopes": ["machines:operate", "machines:read"]})
    in_use = client.post(page_of(role, "remove"))
    AclEntry.objects.all().delete()
    sure = client.get(page_of(role, "remove"))
    assert OrganizationRole.objects.present().exists(), "asking removes nothing"
    removed = client.post(page_of(role, "remove"))

    assert (made.status_code, made["Location"]) == (302, page_of(role))
    assert "machines:operate" in shown
    assert "/nodes" in shown
    assert form.fields["scopes"].initial == ["machines:operate"]
    assert changed.status_code == 302
    assert (in_use.status_code, list(errors(in_use))) == (409, ["__all__"])
    assert "its name is not used again" in text_of(sure)
    assert (removed.status_code, removed["Location"]) == (302, ROLES)
    role.refresh_from_db()
    assert (role.scopes, role.removed_at is None) == (["machines:operate", "machines:read"], False)
    assert client.get(page_of(role)).status_code == 404
    assert events(action__startswith="role.") == [
        "role.added allowed",
        "role.changed allowed",
        "role.removed allowed",
    ]


def test_what_can_not_be_meant_is_shown_at_its_field(owner: User) -> None:
    client = browser(owner)
    whole = {"organization": "acme", "name": "Reader", "scopes": ["machines:read"]}

    for field, value in (
        ("name", "a b"),
        ("name", ""),
        ("scopes", []),
        ("scopes", ["machines:all"]),
        ("scopes", ["approvals:decide"]),
        ("organization", "globex"),
    ):
        assert list(errors(client.post(f"{ROLES}add/", {**whole, field: value}))) == [field], (field, value)
    taken = client.post(f"{ROLES}add/", {**whole, "name": "viewer"})
    assert (taken.status_code, list(errors(taken))) == (409, ["__all__"])
    assert not OrganizationRole.objects.exists()
    assert client.post(f"{ROLES}add/", whole).status_code == 302


@pytest.mark.parametrize("role", ["member", "auditor", "fleet manager"])
def test_others_see_roles_and_change_none(acme: Organization, role: str) -> None:
    row = factories.make_role(acme, "Reader", "machines:read")
    person = (
        factories.fleet_member(factories.make_fleet(acme), "manager")
        if role == "fleet manager"
        else factories.member(acme, role)
    )
    client = browser(person)

    page = text_of(client.get(page_of(row)))
    answers = [
        client.post(f"{ROLES}add/", {"organization": "acme", "name": "New", "scopes": ["machines:read"]}),
        client.get(page_of(row, "edit")),
        client.post(page_of(row, "edit"), {"scopes": ["machines:operate"]}),
        client.post(page_of(row, "remove")),
    ]

    assert "machines:read" in page
    assert page_of(row, "edit") not in page
    assert [answer.status_code for answer in answers[1:]] == [403] * 3
    assert answers[0].status_code in {200, 403}
    assert list(OrganizationRole.objects.values_list("name", "scopes", "version")) == [
        ("Reader", ["machines:read"], 1)
    ]
    assert page_of(row, "edit") in text_of(browser(factories.owner_of(acme)).get(page_of(row)))


# Entries


def test_access_is_given_looked_at_changed_and_taken_away(acme: Organization, owner: User) -> None:
    client, ada = browser(owner), factories.member(acme)
    edge = factories.make_fleet(acme, "edge")
    factories.make_role(acme, "Restarter", "machines:operate")
    assert "Restarter" in text_of(client.get(f"{ENTRIES}add/"))

    given = client.post(
        f"{ENTRIES}add/",
        {
            "organization": "acme",
            "user": ada.username.upper(),
            "path": edge.path,
            "role": "Restarter",
            "propagate": "on",
        },
    )
    entry = AclEntry.objects.get()
    shown = text_of(client.get(page_of(entry)))
    listed = text_of(client.get(f"{ENTRIES}?q=edge"))
    form = client.get(page_of(entry, "edit")).context["form"]
    changed = client.post(page_of(entry, "edit"), {"role": "NoAccess"})
    entry.refresh_from_db()
    sure = text_of(client.get(page_of(entry, "remove")))
    assert AclEntry.objects.exists(), "asking removes nothing"
    denied = text_of(client.get(page_of(entry)))
    removed = client.post(page_of(entry, "remove"))

    assert (given.status_code, given["Location"]) == (302, page_of(entry))
    assert "there and below" in shown
    assert "machines:operate" in shown
    assert page_of(entry) in listed
    assert [form.fields[name].initial for name in ("role", "propagate")] == ["Restarter", True]
    assert (changed.status_code, entry.role, entry.propagate) == (302, "NoAccess", False)
    assert "it denies" in denied
    assert ada.username in sure
    assert (removed.status_code, removed["Location"]) == (302, ENTRIES)
    assert not AclEntry.objects.exists()
    assert events(action__startswith="entry.") == [
        "entry.set allowed",
        "entry.changed allowed",
        "entry.removed allowed",
    ]


def test_an_entry_for_a_group_or_a_technical_user_is_set(acme: Organization, owner: User) -> None:
    client, crew = browser(owner), factories.make_group(acme, "crew")
    robot = factories.make_technical_user(acme, "robot")

    for subject in ({"group": "crew"}, {"user": "robot"}):
        sent = {"organization": "acme", "path": "/nodes", "role": "Viewer", "propagate": "on", **subject}
        assert client.post(f"{ENTRIES}add/", sent).status_code == 302

    assert {(entry.user_id, entry.group_id) for entry in AclEntry.objects.all()} == {
        (None, crew.pk),
        (robot.pk, None),
    }


def test_an_entry_that_can_not_be_meant_is_shown_at_its_field(acme: Organization, owner: User) -> None:
    client, ada = browser(owner), factories.member(acme)
    stranger = factories.owner_of(factories.make_organization("globex"))
    whole = {"organization": "acme", "user": ada.username, "path": "/nodes", "role": "Viewer"}

    for field, sent in (
        ("user", {"user": ""}),
        ("user", {"group": "crew"}),
        ("user", {"user": stranger.username}),
        ("group", {"user": "", "group": "none"}),
        ("path", {"path": "/fleets/none"}),
        ("path", {"path": "nodes"}),
        ("role", {"role": "Emperor"}),
        ("organization", {"organization": "globex"}),
    ):
        assert list(errors(client.post(f"{ENTRIES}add/", {**whole, **sent}))) == [field], sent
    assert not AclEntry.objects.exists()
    assert client.post(f"{ENTRIES}add/", whole).status_code == 302
    twice = client.post(f"{ENTRIES}add/", whole)
    assert (twice.status_code, list(errors(twice)), AclEntry.objects.count()) == (409, ["__all__"], 1)


def test_who_manages_permissions_at_a_path_works_there_and_exceeds_nothing(acme: Organization) -> None:
    edge, core = factories.make_fleet(acme, "edge"), factories.make_fleet(acme, "core")
    delegate, ada = factories.member(acme), factories.member(acme)
    factories.make_role(acme, "Delegate", "permissions:manage", "machines:read", "snapshots:read")
    factories.make_entry(acme, edge.path, "Delegate", user=delegate)
    here = factories.make_entry(acme, edge.path, "Viewer", user=ada)
    there = factories.make_entry(acme, core.path, "Viewer", user=ada)
    client = browser(delegate)
    sent = {"organization": "acme", "user": ada.username, "role": "Viewer"}

    listed = text_of(client.get(ENTRIES))
    beyond = client.post(page_of(here, "edit"), {"role": "Operator"})
    elsewhere = client.post(f"{ENTRIES}add/", {**sent, "path": core.path})
    nowhere = client.post(f"{ENTRIES}add/", {**sent, "path": "/fleets/none"})

    assert page_of(here) in listed
    assert page_of(there) not in listed
    assert client.get(page_of(there)).status_code == client.post(page_of(there, "remove")).status_code == 404
    assert [answer.status_code for answer in (beyond, elsewhere, nowhere)] == [403] * 3
    assert errors(elsewhere) == errors(nowhere), "a fleet out of reach is as one that is not there"
    assert [entry.role for entry in AclEntry.objects.filter(user=ada)] == ["Viewer", "Viewer"]
    assert last_event(action="entry.changed").outcome == "denied"
    assert client.post(page_of(here, "edit"), {"role": "NoAccess", "propagate": "on"}).status_code == 302


@pytest.mark.parametrize("role", ["member", "auditor", "fleet manager"])
def test_who_manages_no_permissions_finds_no_page(acme: Organization, role: str) -> None:
    entry = factories.make_entry(acme, "/nodes", "Viewer", user=factories.member(acme))
    person = (
        factories.fleet_member(factories.make_fleet(acme), "manager")
        if role == "fleet manager"
        else factories.member(acme, role)
    )
    client = browser(person)

    answers = [
        client.get(ENTRIES),
        client.get(f"{ENTRIES}add/"),
        client.get(page_of(entry)),
        client.post(page_of(entry, "remove")),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 404, 404]
    assert ENTRIES not in text_of(client.get("/admin/"))
    assert AclEntry.objects.count() == 1


def test_pages_cost_the_same_with_one_row_and_with_thirty(acme: Organization, owner: User) -> None:
    client = browser(owner)
    pages = {address: (client, address) for address in (ROLES, ENTRIES, f"{ROLES}add/", f"{ENTRIES}add/")}

    def make() -> None:
        number = OrganizationRole.objects.count()
        factories.make_role(acme, f"Role-{number}", "machines:read")
        factories.make_entry(acme, f"/nodes/{number}", f"Role-{number}", user=factories.member(acme))

    make()
    queries_of(pages)
    one = queries_of(pages)
    for _ in range(29):
        make()

    assert queries_of(pages) == one
