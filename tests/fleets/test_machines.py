"""What is done to machines, by whom, and what the trail says of it."""

from typing import Any

import pytest

from config.edge.refusals import Conflict, IllegalMove, InsufficientScope, Invalid
from fleets import consequences, machines
from fleets.models import AclEntry, Fleet, Machine, MachineAction, Organization
from tests.factories import (
    acting,
    events,
    fleet_member,
    last_event,
    make_consequences,
    make_entry,
    make_fleet,
    make_machine,
    make_organization,
    make_token,
    member,
    operator,
    owner_of,
    session,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def edge() -> Fleet:
    return make_fleet(make_organization("acme"), "edge")


VERBS: dict[str, Any] = {
    "register": lambda machine, by: machines.register(machine.fleet, name="new", by=by),
    "retag": lambda machine, by: machines.retag(machine, tags=["a"], by=by),
    "move": lambda machine, by: machines.move(machine, fleet=machine.fleet, by=by),
    "deregister": lambda machine, by: machines.deregister(machine, by=by),
    "configure": lambda machine, by: machines.configure(machine, changes={"cpus": 2}, by=by),
    "request_action": lambda machine, by: machines.request_action(machine, action="stop", by=by),
}
MAY = {
    "manager": set(VERBS),
    "operator": {"request_action"},
    "viewer": set[str](),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("role", MAY)
def test_each_role_does_to_machines_what_it_holds_and_no_more(edge: Fleet, role: str, verb: str) -> None:
    machine = make_machine(edge)
    by = session(fleet_member(edge, role))
    before = len(events())

    if verb in MAY[role]:
        VERBS[verb](machine, by)
        assert [event.split()[1] for event in events()[before:]] == ["allowed"]
        return
    with pytest.raises(InsufficientScope):
        VERBS[verb](machine, by)
    assert [event.split()[1] for event in events()[before:]] == ["denied"]
    machine.refresh_from_db()
    assert (machine.version, machine.tags, machine.deregistered_at) == (1, [], None)
    assert (Machine.objects.count(), MachineAction.objects.count()) == (1, 0)


@pytest.mark.parametrize("verb", VERBS)
def test_who_rules_another_organization_does_nothing_here(edge: Fleet, verb: str) -> None:
    machine = make_machine(edge)

    with pytest.raises(InsufficientScope):
        VERBS[verb](machine, session(owner_of(make_organization("other"))))
    VERBS[verb](machine, session(owner_of(edge.organization)))


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"register"}))
def test_nothing_is_done_to_a_machine_that_is_gone(edge: Fleet, verb: str) -> None:
    machine = make_machine(edge)
    machines.deregister(machine, by=operator)

    with pytest.raises(IllegalMove):
        VERBS[verb](machine, operator)
    assert MachineAction.objects.count() == 0


@pytest.mark.parametrize("verb", ["retag", "move", "deregister", "configure"])
def test_of_two_changes_of_one_version_the_second_is_refused(edge: Fleet, verb: str) -> None:
    machine = make_machine(edge)
    seen_by_another = Machine.objects.get(pk=machine.pk)
    machines.retag(machine, tags=["first"], by=operator)

    with pytest.raises(Conflict):
        VERBS[verb](seen_by_another, operator)

    assert Machine.objects.get().tags == ["first"]


@pytest.mark.parametrize("vmid", [0, -1, 1_000_000_000, 10**20])
def test_a_vmid_is_what_its_path_can_say(edge: Fleet, vmid: int) -> None:
    with pytest.raises(Invalid) as refusal:
        make_machine(edge, vmid=vmid)

    assert [error.field for error in refusal.value.errors] == ["vmid"]
    assert make_machine(edge, vmid=999_999_999).vmid == 999_999_999


@pytest.mark.parametrize("tag", ["", " ", "a b", "-a", "ä", "a\n", "x" * 64])
def test_a_tag_is_a_plain_word(edge: Fleet, tag: str) -> None:
    machine = make_machine(edge, tags=["env=prod/eu:1.2_x-y"])

    with pytest.raises(Invalid):
        machines.retag(machine, tags=["ok", tag], by=operator)

    assert Machine.objects.get().tags == ["env=prod/eu:1.2_x-y"]


def test_a_vmid_is_unique_among_an_organizations_live_machines(edge: Fleet) -> None:
    core = make_fleet(edge.organization)
    first = make_machine(edge, vmid=101)

    with pytest.raises(Conflict) as refusal:
        make_machine(core, vmid=101)
    assert refusal.value.code == "vmid_taken"
    make_machine(make_fleet(make_organization("other")), vmid=101)
    machines.deregister(first, by=operator)
    make_machine(core, vmid=101)


def test_a_name_is_unique_among_a_fleets_live_machines(edge: Fleet) -> None:
    first = make_machine(edge, "Web-1")

    with pytest.raises(Conflict) as refusal:
        make_machine(edge, "wEB-1")
    assert refusal.value.code == "name_taken"
    make_machine(make_fleet(edge.organization), "web-1")
    machines.deregister(first, by=operator)
    assert make_machine(edge, "web-1").pk != first.pk


@pytest.mark.parametrize("named_by", ["entry", "grant"])
def test_a_vmid_that_free_paths_name_can_not_be_registered(edge: Fleet, named_by: str) -> None:
    organization = edge.organization
    if named_by == "entry":
        make_entry(organization, "/vms/300", "Viewer", user=member(organization))
    else:
        consequences._registered.append(
            make_consequences(has_grants_at=lambda _organization, path: path == "/vms/300")
        )

    try:
        with pytest.raises(Conflict) as refusal:
            make_machine(edge, vmid=300)
    finally:
        if named_by == "grant":
            consequences._registered.pop()

    assert refusal.value.code == "vmid_has_entries"
    AclEntry.objects.all().delete()
    assert make_machine(edge, vmid=300).vmid == 300


def test_what_named_a_machine_reaches_nothing_after_it_is_gone_moved_or_replaced(edge: Fleet) -> None:
    organization = edge.organization
    gone, moved = make_machine(edge, "gone", vmid=1), make_machine(edge, "moved", vmid=2)
    ada = member(organization)
    for machine in (gone, moved):
        make_entry(organization, machine.path, "Viewer", user=ada)
    paths = [gone.path, moved.path]
    assert all(session(ada).permits("machines:read", path, organization.pk) for path in paths)

    machines.deregister(gone, by=operator)
    machines.move(moved, fleet=make_fleet(organization), by=operator)
    again = make_machine(edge, "gone", vmid=1)

    for path in (*paths, moved.path, again.path):
        assert not session(ada).permits("machines:read", path, organization.pk)


def test_moving_needs_the_right_on_both_sides_and_stays_in_the_organization(edge: Fleet) -> None:
    core = make_fleet(edge.organization, "core")
    machine = make_machine(edge)
    abroad = make_fleet(make_organization("other"))

    with pytest.raises(InsufficientScope) as refusal:
        machines.move(machine, fleet=core, by=session(fleet_member(edge, "manager")))
    assert refusal.value.members == {"scope": "machines:write", "path": "/fleets/core"}
    with pytest.raises(Conflict):
        machines.move(machine, fleet=abroad, by=operator)
    assert Machine.objects.get().fleet == edge
    make_machine(core, machine.name)
    with pytest.raises(Conflict) as taken:
        machines.move(machine, fleet=core, by=operator)
    assert taken.value.code == "name_taken"


@pytest.mark.parametrize("verb", ["move", "deregister"])
def test_what_changes_the_meaning_of_paths_raises_the_organizations_version(edge: Fleet, verb: str) -> None:
    machine = make_machine(edge)
    before = Organization.objects.get().version

    VERBS[verb](machine, operator)

    assert Organization.objects.get().version == before + 1


def test_a_configuration_changes_field_by_field_and_the_event_says_which(edge: Fleet) -> None:
    machine = make_machine(edge)
    machines.configure(machine, changes={"cpus": 2, "disks": ["sda"]}, by=operator)
    machines.configure(machine, changes={"cpus": 4, "disks": ["sda"]}, by=operator)

    assert Machine.objects.get().configuration == {
        "cpus": 4,
        "memory": None,
        "disks": ["sda"],
        "networks": [],
    }
    assert last_event().data == {"changes": {"cpus": [2, 4]}}


def test_an_action_that_a_token_asks_for_says_who_it_was(edge: Fleet) -> None:
    machine = make_machine(edge)
    issued = make_token(edge, "machines:operate")

    requested = machines.request_action(machine, action="restart", by=acting(issued))

    assert (requested.state, requested.requested_by) == ("requested", issued.token.principal)
    assert last_event().actor_id == issued.token.pk
