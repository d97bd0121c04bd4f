"""Access entries: who sets, changes and removes them, and that nobody gains by one what its writer does not hold."""

from collections.abc import Callable
from typing import Any

import pytest

from audit.models import Event
from config.edge.access import Access
from config.edge.refusals import Conflict, Invalid, Refused
from fleets import entries, holdings, machines, membership
from fleets.models import AclEntry, Fleet, Organization, User
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
    make_organization,
    make_person,
    make_role,
    make_technical_user,
    make_token,
    member,
    operator,
    owner_of,
    session,
)
from tests.tokens.issuing import wish
from tokens import issuance

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def delegate_of(acme: Organization, path: str, role: str = "Administrator") -> User:
    """A plain member who manages permissions there."""
    user = member(acme)
    make_entry(acme, path, role, user=user)
    return user


def stored() -> list[tuple[Any, ...]]:
    return list(AclEntry.objects.order_by("pk").values_list("path", "role", "propagate", "user", "group"))


def version(row: Any) -> int:
    found: int = type(row).objects.values_list("version", flat=True).get(pk=row.pk)
    return found


# Setting


def test_an_entry_gives_what_its_setter_holds(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    ada = member(acme)

    entry = entries.set_entry(acme, path=edge.path, role="Operator", user=ada, by=session(owner_of(acme)))

    assert (entry.path, entry.role, entry.propagate, entry.user) == ("/fleets/edge", "Operator", True, ada)
    assert session(ada).permits("machines:operate", edge.path, acme.pk)
    assert last_event(action="entry.set").data["subject"] == ada.username


def test_nobody_gives_by_an_entry_what_they_lack_there(acme: Organization) -> None:
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    delegate, ada = member(acme), member(acme)
    make_entry(acme, edge.path, "Administrator", user=delegate)
    by = session(delegate)

    entries.set_entry(acme, path=edge.path, role="Viewer", user=ada, by=by)
    for path in (core.path, "/", "/nodes/n1"):
        with pytest.raises(Refused):
            entries.set_entry(acme, path=path, role="Viewer", user=ada, by=by)
    with pytest.raises(Refused):  # a manager holds the machines' scopes, but gives none away
        entries.set_entry(
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

    entries.set_entry(acme, path=edge.path, role="Viewer", user=ada, by=few)
    with pytest.raises(Refused):
        entries.set_entry(acme, path=edge.path, role="Viewer", group=group, by=few)
    assert group.entries.count() == 0

    entries.set_entry(acme, path=edge.path, role="Viewer", group=group, by=session(delegate))
    assert group.entries.count() == 1


def test_an_entry_is_for_members_technical_users_and_open_groups_of_the_organization(
    acme: Organization,
) -> None:
    globex, bot, ada = make_organization("globex"), make_technical_user(acme), member(acme)
    removed = make_technical_user(acme)
    removed.is_active = False
    removed.save(update_fields=["is_active"])

    for user in (member(globex), make_technical_user(globex), removed, make_person()):
        with pytest.raises(Invalid) as refusal:
            make_entry(acme, "/", "Viewer", user=user)
        assert refusal.value.errors[0].field == "user"
    assert stored() == []

    for user in (ada, bot):
        make_entry(acme, "/", "Viewer", user=user)
    assert AclEntry.objects.count() == 2


def test_a_technical_user_holds_what_an_entry_gives_it(acme: Organization) -> None:
    edge, bot = make_fleet(acme, "edge"), make_technical_user(acme)
    program = make_token(bot, "machines:read", "machines:operate")
    assert not acting(program).permits("machines:read", edge.path, acme.pk)

    entries.set_entry(acme, path=edge.path, role="Viewer", user=bot, by=session(owner_of(acme)))

    assert acting(program).rights(acme.pk).at(edge.path) == {"machines:read"}


def test_an_entry_of_a_user_raises_the_users_version_and_one_of_a_group_the_organizations(
    acme: Organization,
) -> None:
    ada, group = member(acme), make_group(acme)
    of_acme, of_ada = version(acme), version(ada)

    entry = make_entry(acme, "/", "Viewer", user=ada)
    assert (version(acme), version(ada)) == (of_acme, of_ada + 1)
    entries.change_entry(entry, changes={"role": "Operator"}, by=operator)
    entries.remove_entry(entry, by=operator)
    assert (version(acme), version(ada)) == (of_acme, of_ada + 3)

    make_entry(acme, "/", "Viewer", group=group)
    assert (version(acme), version(ada)) == (of_acme + 1, of_ada + 3)


@pytest.mark.parametrize("closed", ["fleet", "machine"])
def test_an_entry_on_what_is_closed_is_refused(acme: Organization, closed: str) -> None:
    edge, ada = make_fleet(acme, "edge"), member(acme)
    machine = make_machine(edge)
    path = edge.path if closed == "fleet" else machine.path
    make_entry(acme, path, "Viewer", user=ada)  # the positive twin
    if closed == "fleet":
        Fleet.objects.filter(pk=edge.pk).update(closed_at="2026-01-01T00:00:00Z")
    else:
        machines.deregister(machine, by=operator)

    dead = AclEntry.objects.get()
    for call in (
        lambda: make_entry(acme, path, "Viewer", user=member(acme)),
        lambda: entries.change_entry(dead, changes={"role": "Operator"}, by=operator),
    ):
        with pytest.raises(Invalid) as refusal:
            call()
        assert [(error.field, error.code) for error in refusal.value.errors] == [("path", "unknown_path")]
    assert stored() == [(path, "Viewer", True, ada.pk, None)]

    entries.remove_entry(dead, by=operator)  # it can still be taken away
    assert stored() == []


def test_a_vmid_that_an_entry_names_as_free_is_not_registered(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    entry = make_entry(acme, "/vms/7", "Viewer", user=member(acme))

    with pytest.raises(Conflict) as refusal:
        make_machine(edge, vmid=7)
    assert refusal.value.code == "vmid_has_entries"
    assert not edge.machines.exists()

    entries.remove_entry(entry, by=operator)
    make_machine(edge, vmid=7)
    assert edge.machines.count() == 1


# Changing and removing


def test_an_entry_is_changed_and_removed_by_who_manages_permissions_there(acme: Organization) -> None:
    edge, ada = make_fleet(acme, "edge"), member(acme)
    by = session(delegate_of(acme, edge.path))
    entry = make_entry(acme, edge.path, "Viewer", user=ada)

    entries.change_entry(entry, changes={"role": "Operator"}, by=by)
    assert session(ada).permits("machines:operate", edge.path, acme.pk)
    assert last_event(action="entry.changed").data == {
        "path": edge.path,
        "role": "Operator",
        "propagate": True,
        "subject": ada.username,
        "changes": {"role": ["Viewer", "Operator"]},
    }
    entries.change_entry(entry, changes={"propagate": False}, by=by)
    assert not session(ada).permits("machines:operate", f"{edge.path}/machines", acme.pk)
    entries.remove_entry(entry, by=by)

    assert session(ada).rights(acme.pk).at(edge.path) == frozenset()
    event = last_event(action="entry.removed")
    assert (event.target_type, event.target_label) == ("entry", "Operator on /fleets/edge")
    assert event.data == {"path": edge.path, "role": "Operator", "propagate": False, "subject": ada.username}


CHANGES: dict[str, Callable[[AclEntry, Access], Any]] = {
    "change": lambda entry, by: entries.change_entry(entry, changes={"role": "NoAccess"}, by=by),
    "remove": lambda entry, by: entries.remove_entry(entry, by=by),
}
every_change = pytest.mark.parametrize("change", CHANGES)


@every_change
def test_nobody_else_changes_an_entry(acme: Organization, change: str) -> None:
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    ada = member(acme)
    entry = make_entry(acme, edge.path, "Viewer", user=ada)
    callers = {
        "who manages permissions elsewhere": session(delegate_of(acme, core.path)),
        "who holds all but permissions": session(fleet_member(edge, "manager")),
        "who it names": session(ada),
        "an owner of another organization": session(owner_of(make_organization())),
    }
    before = stored()

    for by in callers.values():
        with pytest.raises(Refused):
            CHANGES[change](entry, by)
    assert stored() == before
    assert len([event for event in events(action__startswith="entry.") if "denied" in event]) == len(callers)

    CHANGES[change](entry, session(owner_of(acme)))
    assert stored() != before


@every_change
def test_what_was_changed_or_removed_meanwhile_is_a_conflict(acme: Organization, change: str) -> None:
    entry = make_entry(acme, "/", "Viewer", user=member(acme))
    stale = AclEntry.objects.get()
    entries.change_entry(entry, changes={"role": "Operator"}, by=operator)

    with pytest.raises(Conflict):
        CHANGES[change](stale, operator)
    assert [row[1] for row in stored()] == ["Operator"]

    entries.remove_entry(entry, by=operator)
    with pytest.raises(Conflict):
        CHANGES[change](stale, operator)
    assert stored() == []


# Nobody exceeds themselves: judged by effect


def uncovering(acme: Organization, edge: Fleet) -> dict[str, tuple[AclEntry, Callable[[Access], Any]]]:
    """Changes at edge that give somebody there what is above it, though no role that is written says so.

    Each is about a member who is an administrator of everything but what is denied or narrowed at edge.
    """
    found = {}

    def denied(name: str, role: str, change: Callable[[AclEntry, Access], Any], **fields: Any) -> None:
        boss = member(acme)
        make_entry(acme, "/", "Administrator", user=boss)
        entry = make_entry(acme, edge.path, role, user=boss, **fields)
        found[name] = entry, lambda by: change(AclEntry.objects.get(pk=entry.pk), by)

    denied("removing a NoAccess", "NoAccess", lambda entry, by: entries.remove_entry(entry, by=by))
    denied("removing a narrower role", "Viewer", lambda entry, by: entries.remove_entry(entry, by=by))
    denied(
        "keeping a NoAccess to the path alone",
        "NoAccess",
        lambda entry, by: entries.change_entry(entry, changes={"propagate": False}, by=by),
    )
    denied(
        "keeping a narrower role to the path alone",
        "Viewer",
        lambda entry, by: entries.change_entry(entry, changes={"propagate": False}, by=by),
    )
    admin = member(acme, "admin")  # holds it by what they are, but where an entry denies
    entry = make_entry(acme, edge.path, "NoAccess", user=admin)
    found["letting an admin see a little again"] = (
        entry,
        lambda by: entries.change_entry(AclEntry.objects.get(pk=entry.pk), changes={"role": "Viewer"}, by=by),
    )
    machine = make_machine(edge)
    found["letting an admin see a machine below"] = (
        entry,
        lambda by: entries.set_entry(acme, path=machine.path, role="Viewer", user=admin, by=by),
    )
    return found


UNCOVERING = [
    "removing a NoAccess",
    "removing a narrower role",
    "keeping a NoAccess to the path alone",
    "keeping a narrower role to the path alone",
    "letting an admin see a little again",
    "letting an admin see a machine below",
]


@pytest.mark.parametrize("name", UNCOVERING)
def test_nobody_uncovers_what_they_do_not_hold(acme: Organization, name: str) -> None:
    edge = make_fleet(acme, "edge")
    make_role(acme, "Delegate", "permissions:manage", "machines:read", "snapshots:read")
    few, all_of_it = delegate_of(acme, edge.path, "Delegate"), delegate_of(acme, edge.path)
    entry, change = uncovering(acme, edge)[name]
    subject = entry.user
    assert subject is not None
    before, held = stored(), session(subject).rights(acme.pk)

    with pytest.raises(Refused) as refusal:
        change(session(few))

    assert refusal.value.code == "exceeds_your_rights"
    assert stored() == before
    assert session(subject).rights(acme.pk) == held
    denied = Event.objects.filter(action__startswith="entry.", outcome="denied").get()
    assert denied.reason == "exceeds_your_rights"

    change(session(all_of_it))  # the positive twin: who holds it at edge
    assert stored() != before


def test_what_a_suspended_member_will_hold_again_is_not_uncovered_by_who_lacks_it(
    acme: Organization,
) -> None:
    edge = make_fleet(acme, "edge")
    make_role(acme, "Delegate", "permissions:manage", "machines:read", "snapshots:read")
    few, admin = delegate_of(acme, edge.path, "Delegate"), member(acme, "admin")
    entry = make_entry(acme, edge.path, "NoAccess", user=admin)
    membership.suspend(admin.memberships.get(), by=operator)

    with pytest.raises(Refused) as refusal:
        entries.remove_entry(entry, by=session(few))

    assert refusal.value.code == "exceeds_your_rights"
    membership.resume(admin.memberships.get(), by=operator)
    assert session(admin).rights(acme.pk).at(edge.path) == frozenset()


def test_only_who_may_decide_gives_back_the_right_to_decide(acme: Organization) -> None:
    approver = member(acme, "approver")
    entry = make_entry(acme, "/", "NoAccess", user=approver)

    with pytest.raises(Refused) as refusal:
        entries.remove_entry(entry, by=session(member(acme, "admin")))
    assert "approvals:decide" in refusal.value.detail
    assert session(approver).rights(acme.pk).at("/") == frozenset()

    entries.remove_entry(entry, by=session(owner_of(acme)))
    assert session(approver).permits("approvals:decide", "/", acme.pk)


SUBJECTS_OF_GROUPS = ["member", "admin of the group", "technical user"]


@pytest.mark.parametrize("subject", SUBJECTS_OF_GROUPS)
def test_what_a_group_uncovers_is_judged_for_each_who_belongs_to_it(acme: Organization, subject: str) -> None:
    """The group is denied edge/secret; above it reaches all of edge by another entry."""
    edge, group = make_fleet(acme, "edge"), make_group(acme)
    secret = make_machine(edge)
    make_entry(acme, edge.path, "GroupAdmin", group=group)
    entry = make_entry(acme, secret.path, "NoAccess", group=group)
    if subject == "technical user":
        make_token(group, "machines:read", "machines:operate")
    else:
        make_group_member(group, "admin" if "admin" in subject else "user")
    make_role(acme, "Delegate", "permissions:manage", "machines:read", "snapshots:read")
    few, all_of_it = delegate_of(acme, edge.path, "Delegate"), delegate_of(acme, edge.path)

    with pytest.raises(Refused) as refusal:
        entries.remove_entry(entry, by=session(few))
    assert refusal.value.code == "exceeds_your_rights"
    assert AclEntry.objects.filter(pk=entry.pk).exists()

    entries.remove_entry(entry, by=session(all_of_it))
    assert not AclEntry.objects.filter(pk=entry.pk).exists()


def test_a_narrower_entry_for_a_group_is_set_by_who_holds_what_it_says(acme: Organization) -> None:
    edge, group = make_fleet(acme, "edge"), make_group(acme)
    make_group_member(group)
    make_entry(acme, "/", "GroupAdmin", group=group)

    entries.set_entry(
        acme, path=edge.path, role="NoAccess", group=group, by=session(delegate_of(acme, edge.path))
    )

    assert session(group.memberships.get().user).rights(acme.pk).at(edge.path) == frozenset()


@pytest.mark.parametrize("people", [1, 30])
def test_judging_a_groups_entry_takes_the_same_number_of_queries_for_few_and_for_many(
    acme: Organization, people: int, django_assert_num_queries: Any
) -> None:
    edge, group = make_fleet(acme, "edge"), make_group(acme)
    make_entry(acme, edge.path, "GroupUser", group=group)
    for _ in range(people):
        make_group_member(group)
        make_token(group, "machines:read")
    core = make_fleet(acme, "core")
    users = User.objects.filter(group_memberships__group=group)

    with django_assert_num_queries(11):
        found = holdings.rights_but_for_suspension(
            [*users, *User.objects.filter(technical__group=group)], acme.pk
        )
    assert len(found) == 2 * people
    with django_assert_num_queries(0):
        assert all(rights.at(edge.path) for rights in found.values())
    entries.set_entry(acme, path=core.path, role="Viewer", group=group, by=session(owner_of(acme)))


# What tokens write


@pytest.mark.parametrize(
    "subject", ["principal", "creator", "group of the principal", "group of the creator"]
)
@pytest.mark.parametrize("verb", ["set", "change", "remove"])
def test_a_token_writes_no_entry_for_its_principal_or_who_made_it(
    acme: Organization, subject: str, verb: str
) -> None:
    boss, bot = member(acme, "admin"), make_technical_user(acme)
    make_entry(acme, "/", "Administrator", user=bot)
    issued = issue_for(bot, boss)
    group = make_group(acme)
    if subject.startswith("group"):
        make_group_member(group, user=boss)
    program = make_token(boss, "permissions:manage", "machines:read", "snapshots:read")
    by = acting(program if "principal" in subject else issued)
    named: dict[str, Any] = {"group": group} if subject.startswith("group") else {"user": boss}
    if verb != "set":
        make_entry(acme, "/nodes", "Viewer", **named)
    before = stored()

    def call(caller: Access, **about: Any) -> None:
        if verb == "set":
            entries.set_entry(acme, path="/nodes", role="NoAccess", by=caller, **about)
        elif verb == "change":
            entries.change_entry(AclEntry.objects.get(path="/nodes"), changes={"role": "NoAccess"}, by=caller)
        else:
            entries.remove_entry(AclEntry.objects.get(path="/nodes"), by=caller)

    with pytest.raises(Refused) as refusal:
        call(by, **named)
    assert refusal.value.code == "writes_for_itself"
    assert stored() == before

    call(session(owner_of(acme)), **named)
    assert stored() != before


def issue_for(bot: User, boss: User) -> Any:
    """A token that acts as the technical user and was made by the person."""
    asked = wish("permissions:manage", "machines:read", "snapshots:read")
    organization = bot.technical.organization
    return issuance.issue(organization, owner=bot, name="bot", wish=asked, reason="why", by=session(boss))


def test_a_token_writes_entries_for_others_as_far_as_it_goes(acme: Organization) -> None:
    boss, ada, group = member(acme, "admin"), member(acme), make_group(acme)
    by = acting(make_token(boss, "permissions:manage", "machines:read", "snapshots:read"))

    entry = entries.set_entry(acme, path="/nodes", role="Viewer", user=ada, by=by)
    for role, subject in (("Operator", {"user": member(acme)}), ("Viewer", {"group": group})):
        with pytest.raises(
            Refused
        ):  # its owner could; its ceiling can't, nor what GroupAdmin gives a group's admins
            entries.set_entry(acme, path="/nodes", role=role, by=by, **subject)
    with pytest.raises(Refused):
        entries.change_entry(entry, changes={"role": "Operator"}, by=by)

    assert stored() == [("/nodes", "Viewer", True, ada.pk, None)]
    assert last_event(action="entry.set", outcome="allowed").actor_type == "token"


# Who sees them


def test_who_manages_permissions_at_the_root_sees_all_entries_and_others_those_of_their_paths(
    acme: Organization, django_assert_num_queries: Any
) -> None:
    edge, core, ada = make_fleet(acme, "edge"), make_fleet(acme, "core"), member(acme)
    below = make_machine(edge)
    paths = [edge.path, core.path, below.path, "/"]
    for path in paths:
        make_entry(acme, path, "Viewer", user=ada)
    lead = fleet_member(edge, "manager")
    make_entry(acme, edge.path, "Administrator", user=lead)
    make_entry(make_organization(), "/", "Viewer", group=make_group(Organization.objects.latest("pk")))

    def seen(by: Access) -> list[str]:
        return sorted(entry.path for entry in entries.seen(acme, by).filter(user=ada))

    by = session(lead)
    by.rights(acme.pk)
    with django_assert_num_queries(2):
        assert seen(by) == sorted([edge.path, below.path])
    assert seen(session(owner_of(acme))) == sorted(paths)
    assert seen(session(ada)) == []
    assert entries.seen(acme, session(owner_of(acme))).count() == len(paths) + 1
