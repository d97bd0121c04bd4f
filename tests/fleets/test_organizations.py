"""Organizations, fleets, groups and entries: opened, changed, and by whom."""

from contextlib import nullcontext

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.edge.refusals import Conflict, Invalid, Refused
from fleets import membership, organizations
from fleets.models import AclEntry, Fleet, Organization
from fleets.organization_policy import policy_of
from tests.factories import (
    acting,
    events,
    fleet_member,
    last_event,
    make_entry,
    make_fleet,
    make_group,
    make_group_member,
    make_machine,
    make_member,
    make_organization,
    make_person,
    make_superuser,
    make_token,
    member,
    operator,
    owner_of,
    session,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def test_an_organization_opens_with_its_owner() -> None:
    ada = make_person("ada")

    organization = organizations.open_organization(
        slug="acme", name="Acme", owner=ada, by=session(make_superuser())
    )

    membership = organization.memberships.get()
    assert (membership.user, membership.role) == (ada, "owner")
    assert events(organization_id=organization.pk) == ["organization.opened allowed"]


def test_only_superusers_open_organizations() -> None:
    ada = make_person("ada")

    with pytest.raises(Refused):
        organizations.open_organization(slug="acme", name="Acme", owner=ada, by=session(ada))

    assert Organization.objects.count() == 0
    assert (last_event().action, last_event().outcome) == ("organization.opened", "denied")


@pytest.mark.parametrize("kind", ["organization", "fleet", "group"])
def test_a_slug_is_never_reused_where_it_was_used(acme: Organization, kind: str) -> None:
    with pytest.raises(Conflict) as refusal:
        if kind == "organization":
            make_organization("acme")
        elif kind == "fleet":
            make_fleet(acme, "edge")
            make_fleet(acme, "edge")
        else:
            make_group(acme, "ops")
            make_group(acme, "ops")

    assert refusal.value.code == "slug_taken"
    make_fleet(make_organization("other"), "edge")  # another organization's slugs are its own


def test_who_manages_permissions_at_the_root_opens_fleets(acme: Organization) -> None:
    organizations.open_fleet(acme, slug="edge", name="Edge", by=session(member(acme, "admin")))

    for role in ("approver", "auditor", "member"):
        with pytest.raises(Refused):
            organizations.open_fleet(acme, slug=f"by-{role}", name="X", by=session(member(acme, role)))
    assert [fleet.slug for fleet in Fleet.objects.all()] == ["edge"]


def test_policy_changes_leave_what_was_and_what_is(acme: Organization) -> None:
    organizations.set_policy(acme, changes={"default_lifetime_days": 30}, by=session(owner_of(acme)))

    assert policy_of(Organization.objects.get()).default_lifetime_days == 30
    before, after = last_event(action="policy.changed").data["changes"]["policy"]
    assert (before["default_lifetime_days"], after["default_lifetime_days"]) == (90, 30)
    assert after["approvals_needed"] == before["approvals_needed"]


@pytest.mark.parametrize(
    "changes",
    [
        {"lifetime": 1},
        {"default_lifetime_days": 0},
        {"default_lifetime_days": 3651},
        {"default_lifetime_days": True},
        {"default_lifetime_days": "30"},
        {"approvals_needed": 1},
        {"approvals_needed": {"dire": 1}},
        {"approvals_needed": {"high": -1}},
        {"approvals_needed": {"high": 6}},
        {"approvals_needed": {"high": None}},
    ],
)
def test_a_policy_that_can_not_be_meant_is_refused(acme: Organization, changes: dict[str, object]) -> None:
    with pytest.raises(Invalid) as refusal:
        organizations.set_policy(acme, changes=changes, by=operator)

    assert refusal.value.errors[0].field.startswith("policy.")
    assert Organization.objects.get().policy == {}


def test_approvals_need_one_more_decider_than_approvals(acme: Organization) -> None:
    changes = {"approvals_needed": {"high": 1}}

    with pytest.raises(Conflict) as refusal:
        organizations.set_policy(acme, changes=changes, by=operator)
    assert refusal.value.code == "approvers_missing"

    make_member(acme, "approver")
    organizations.set_policy(acme, changes=changes, by=operator)
    assert policy_of(acme).approvals_needed == (0, 0, 1)


@pytest.mark.parametrize(
    ("second", "suffices"),
    [
        ("owner", True),
        ("approver", True),
        ("superuser", True),
        ("admin", False),
        ("administrator by entry", False),
        ("suspended approver", False),
        ("inactive approver", False),
        ("approver elsewhere", False),
        ("superuser elsewhere", False),
        ("denied approver", False),
        ("denied owner", True),
        ("approver denied by a group", False),
    ],
)
def test_deciders_are_who_may_decide_now(acme: Organization, second: str, suffices: bool) -> None:
    role = next((role for role in ("owner", "admin", "approver") if role in second.split()), "member")
    place = make_organization("other") if "elsewhere" in second else acme
    user = make_superuser() if "superuser" in second else make_person(is_active="inactive" not in second)
    row = make_member(place, role, user=user)
    if "suspended" in second:
        membership.suspend(row, by=operator)
    if "administrator" in second:
        make_entry(acme, "/", "Administrator", user=user)
    if "group" in second:
        make_entry(acme, "/", "NoAccess", group=make_group_member(make_group(acme), user=user).group)
    elif "denied" in second:
        make_entry(acme, "/", "NoAccess", user=user)

    with nullcontext() if suffices else pytest.raises(Conflict, match="need at least 2 people"):
        organizations.set_policy(acme, changes={"approvals_needed": {"high": 1}}, by=operator)

    acme.refresh_from_db()
    assert (policy_of(acme).approvals_needed == (0, 0, 1)) is suffices


def test_counting_deciders_asks_as_little_of_many_members_as_of_few(acme: Organization) -> None:
    def queries(needed: int) -> int:
        with CaptureQueriesContext(connection) as context:
            organizations.set_policy(acme, changes={"approvals_needed": {"high": needed}}, by=operator)
        return len(context)

    make_member(acme, "approver")
    few = queries(1)
    for role in ("approver", "owner", "admin", "auditor", "member"):
        make_member(acme, role)

    assert queries(2) == few


def test_who_changes_one_organization_can_not_change_another(acme: Organization) -> None:
    with pytest.raises(Refused):
        organizations.rename(acme, name="Mine", by=session(owner_of(make_organization("other"))))

    assert Organization.objects.get(slug="acme").name == "Acme"


# Entries


def test_an_entry_gives_what_its_setter_holds(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    ada = member(acme)

    entry = organizations.set_entry(
        acme, path=edge.path, role="Operator", user=ada, by=session(owner_of(acme))
    )

    assert (entry.path, entry.role, entry.propagate, entry.user) == ("/fleets/edge", "Operator", True, ada)
    assert session(ada).permits("machines:operate", edge.path, acme.pk)
    assert last_event(action="entry.set").data["subject"] == ada.username


def test_nobody_gives_by_an_entry_what_they_lack_there(acme: Organization) -> None:
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    delegate, ada = member(acme), member(acme)
    make_entry(acme, edge.path, "Administrator", user=delegate)
    by = session(delegate)

    organizations.set_entry(acme, path=edge.path, role="Viewer", user=ada, by=by)
    for path in (core.path, "/", "/nodes/n1"):
        with pytest.raises(Refused):
            organizations.set_entry(acme, path=path, role="Viewer", user=ada, by=by)
    with pytest.raises(Refused):  # a manager holds the machines' scopes, but gives none away
        organizations.set_entry(
            acme, path=edge.path, role="Viewer", user=ada, by=session(fleet_member(edge, "manager"))
        )
    assert [entry.path for entry in AclEntry.objects.filter(user=ada)] == [edge.path]


@pytest.mark.parametrize(
    ("path", "role", "field"),
    [
        ("/fleets/none", "Viewer", "path"),
        ("/fleets/edge/machines/00000000-0000-7000-8000-000000000000", "Viewer", "path"),
        ("fleets/edge", "Viewer", "path"),
        ("/a//b", "Viewer", "path"),
        ("/vms/007", "Viewer", "path"),
        ("/", "Emperor", "role"),
        ("/", "viewer", "role"),
    ],
)
def test_an_entry_names_a_path_and_a_role_that_exist(
    acme: Organization, path: str, role: str, field: str
) -> None:
    make_fleet(acme, "edge")

    with pytest.raises(Invalid) as refusal:
        make_entry(acme, path, role, user=member(acme))

    assert refusal.value.errors[0].field == field
    assert AclEntry.objects.count() == 0


def test_a_vmid_is_stored_as_the_machine_that_bears_it(acme: Organization) -> None:
    machine = make_machine(make_fleet(acme, "edge"), vmid=101)
    make_machine(make_fleet(make_organization("other")), vmid=102)

    borne = make_entry(acme, "/vms/101", "Viewer", user=member(acme))
    free = make_entry(acme, "/vms/102", "Viewer", user=member(acme))

    assert (borne.path, free.path) == (machine.path, "/vms/102")


def test_a_subject_has_one_entry_at_a_path(acme: Organization) -> None:
    ada = member(acme)
    make_entry(acme, "/", "Viewer", user=ada)

    with pytest.raises(Conflict) as refusal:
        make_entry(acme, "/", "Operator", user=ada)

    assert refusal.value.code == "entry_exists"
    make_entry(acme, "/", "Operator", group=make_group(acme))


def test_an_entry_is_for_members_only(acme: Organization) -> None:
    outsider = make_person()

    with pytest.raises(Invalid):
        make_entry(acme, "/", "Viewer", user=outsider)
    assert not AclEntry.objects.exists()

    make_entry(acme, "/", "Viewer", user=member(acme))
    assert AclEntry.objects.count() == 1


def test_naming_a_group_gives_its_admins_more_than_the_role_says_and_takes_that_much(
    acme: Organization,
) -> None:
    edge, group, ada, delegate = make_fleet(acme, "edge"), make_group(acme), member(acme), member(acme)
    make_entry(acme, edge.path, "Administrator", user=delegate)
    few = acting(make_token(delegate, "permissions:manage", "machines:read", "snapshots:read"))

    organizations.set_entry(acme, path=edge.path, role="Viewer", user=ada, by=few)
    with pytest.raises(Refused):
        organizations.set_entry(acme, path=edge.path, role="Viewer", group=group, by=few)
    assert group.entries.count() == 0

    organizations.set_entry(acme, path=edge.path, role="Viewer", group=group, by=session(delegate))
    assert group.entries.count() == 1
