"""Moving a machine to another fleet, judged by effect: nobody may do to it what they might not, nor its mover."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.edge.access import Access
from config.edge.refusals import DomainError
from fleets import machines, membership
from fleets.models import Fleet, Machine, Organization, User
from tests.factories import (
    acting,
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
    make_role,
    make_superuser,
    make_technical_user,
    make_token,
    member,
    operator,
    owner_of,
    session,
    session_client,
)
from tokens.issuance import GrantWish

MOVES = "Mover"  # a role that gives nothing but to move


@dataclass(frozen=True)
class Yard:
    """Two fleets, a machine in the first, and somebody who may write machines in both, and nothing else."""

    acme: Organization
    edge: Fleet
    core: Fleet
    machine: Machine
    mover: User


@pytest.fixture
def yard(db: None) -> Yard:
    acme = make_organization("acme")
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    make_role(acme, MOVES, "machines:write")
    mover = member(acme)
    for fleet in (edge, core):
        make_entry(acme, fleet.path, MOVES, user=mover)
    return Yard(acme, edge, core, make_machine(edge), mover)


def moving(yard: Yard, to: Fleet, by: Access) -> str:
    """What a move answers; it is where it went then, or where it was."""
    before = Machine.objects.get(pk=yard.machine.pk)
    try:
        machines.move(before, fleet=to, by=by)
    except DomainError as refusal:
        assert Machine.objects.get(pk=yard.machine.pk).fleet_id != to.pk
        return refusal.code
    assert Machine.objects.get(pk=yard.machine.pk).fleet == to
    return "done"


def test_who_may_only_write_machines_moves_one_to_where_nobody_may_do_more(yard: Yard) -> None:
    assert moving(yard, yard.core, session(yard.mover)) == "done"
    assert last_event(action="machine.moved").data == {"changes": {"fleet": ["edge", "core"]}}


def as_fleet_member(yard: Yard) -> None:
    fleet_member(yard.core, "operator")


def as_fleet_token(yard: Yard) -> None:
    make_token(yard.core, "machines:read")


def by_an_entry(yard: Yard) -> None:
    make_entry(yard.acme, yard.core.path, "Viewer", user=member(yard.acme))


def by_an_entry_on_machines(yard: Yard) -> None:
    make_entry(yard.acme, f"{yard.core.path}/machines", "Viewer", user=member(yard.acme))


def by_a_group(yard: Yard) -> None:
    group = make_group(yard.acme)
    make_group_member(group)
    make_entry(yard.acme, yard.core.path, "Viewer", group=group)


def by_a_group_token(yard: Yard) -> None:
    group = make_group(yard.acme)
    make_entry(yard.acme, yard.core.path, "Viewer", group=group)
    make_token(group, "machines:read")


def as_technical_user(yard: Yard) -> None:
    make_entry(yard.acme, yard.core.path, "Viewer", user=make_technical_user(yard.acme))


def by_a_denial_left_behind(yard: Yard) -> None:
    make_entry(yard.acme, yard.machine.path, "NoAccess", user=member(yard.acme, "auditor"))


def by_a_denial_of_the_fleet_left_behind(yard: Yard) -> None:
    make_entry(yard.acme, yard.edge.path, "NoAccess", user=member(yard.acme, "admin"))


def by_a_group_s_denial_left_behind(yard: Yard) -> None:
    group = make_group(yard.acme)
    make_group_member(group, user=member(yard.acme, "auditor"))
    make_entry(yard.acme, yard.machine.path, "NoAccess", group=group)


def by_a_narrower_role_left_behind(yard: Yard) -> None:
    reader = member(yard.acme)
    make_entry(yard.acme, "/", "Operator", user=reader)
    make_entry(yard.acme, yard.machine.path, "Viewer", user=reader)


def while_suspended(yard: Yard) -> None:
    suspended = fleet_member(yard.core, "viewer")
    membership.suspend(suspended.memberships.get(), by=operator)


def themselves(yard: Yard) -> None:
    make_entry(yard.acme, f"{yard.core.path}/machines", "Administrator", user=yard.mover)


GAINS = (
    *(as_fleet_member, as_fleet_token, by_an_entry, by_an_entry_on_machines, by_a_group, by_a_group_token),
    *(as_technical_user, by_a_denial_left_behind, by_a_denial_of_the_fleet_left_behind),
    *(by_a_group_s_denial_left_behind, by_a_narrower_role_left_behind, while_suspended, themselves),
)


@pytest.mark.parametrize("gain", GAINS, ids=lambda gain: gain.__name__)
def test_nobody_gains_what_the_mover_may_not_do_to_the_machine(
    yard: Yard, gain: Callable[[Yard], Any]
) -> None:
    gain(yard)

    assert moving(yard, yard.core, session(yard.mover)) == "exceeds_your_rights"
    assert events(action="machine.moved") == ["machine.moved denied"]
    for by in (session(owner_of(yard.acme)), session(make_superuser()), operator):
        assert moving(yard, yard.core, by) == "done"
        machines.move(Machine.objects.get(), fleet=yard.edge, by=operator)


def test_what_the_mover_may_do_to_the_machine_where_it_is_others_may_gain(yard: Yard) -> None:
    """It counts what they hold on it before, not in the fleet where it goes."""
    as_fleet_member(yard)
    make_fleet_member(yard.core, "manager", user=yard.mover)
    assert moving(yard, yard.core, session(yard.mover)) == "exceeds_your_rights"

    make_fleet_member(yard.edge, "manager", user=yard.mover)
    assert moving(yard, yard.core, session(yard.mover)) == "done"


def test_who_loses_by_a_move_or_has_the_same_on_both_sides_is_not_in_its_way(yard: Yard) -> None:
    fleet_member(yard.edge, "manager")
    make_token(yard.edge, "machines:read")
    member(yard.acme, "auditor")
    both = fleet_member(yard.edge, "operator")
    make_fleet_member(yard.core, "viewer", user=both)

    assert moving(yard, yard.core, session(yard.mover)) == "done"


def test_entries_on_a_path_sleep_while_the_machine_is_elsewhere_and_are_judged_when_it_comes_back(
    yard: Yard,
) -> None:
    reader, auditor = member(yard.acme), member(yard.acme, "auditor")
    make_entry(yard.acme, yard.machine.path, "Viewer", user=reader)
    assert moving(yard, yard.core, session(yard.mover)) == "done"
    assert moving(yard, yard.edge, session(yard.mover)) == "exceeds_your_rights"
    assert moving(yard, yard.edge, operator) == "done"

    make_entry(yard.acme, yard.machine.path, "NoAccess", user=auditor)
    assert moving(yard, yard.core, operator) == "done"
    assert moving(yard, yard.edge, operator) == "done"
    assert not session(auditor).permits("machines:read", yard.machine.path, yard.acme.pk)
    assert session(reader).permits("machines:read", yard.machine.path, yard.acme.pk)


def test_a_token_gains_nothing_by_its_own_move_though_its_principal_holds_it(yard: Yard) -> None:
    """Its rows say what it may do in each fleet."""
    rows = (GrantWish(yard.edge.path, MOVES), GrantWish(yard.core.path, "Administrator"))
    program = make_token(owner_of(yard.acme), "machines:write", "files:read", grants=rows)
    narrow = make_token(owner_of(yard.acme), "machines:write", grants=rows)

    assert moving(yard, yard.core, acting(program)) == "exceeds_your_rights"
    assert moving(yard, yard.core, acting(narrow)) == "done"


def test_a_token_s_sleeping_row_does_not_wake_by_its_own_move(yard: Yard) -> None:
    owner = owner_of(yard.acme)
    machines.move(Machine.objects.get(), fleet=yard.core, by=operator)
    there = Machine.objects.get().path
    rows = (GrantWish("/", MOVES), GrantWish(there, "Administrator"))
    program = make_token(owner, "machines:write", "files:read", grants=rows)
    machines.move(Machine.objects.get(), fleet=yard.edge, by=operator)

    assert moving(yard, yard.core, acting(program)) == "exceeds_your_rights"


def test_a_token_does_not_move_a_machine_into_the_reach_of_who_made_it(yard: Yard) -> None:
    maker = fleet_member(yard.core, "operator")
    bot = make_technical_user(yard.acme)
    for fleet in (yard.edge, yard.core):
        make_entry(yard.acme, fleet.path, MOVES, user=bot)
    program = make_token(bot, "machines:write")
    type(program.token).objects.filter(pk=program.token.pk).update(created_by=maker)

    assert moving(yard, yard.core, acting(program)) == "exceeds_your_rights"


def test_the_answer_names_what_would_be_given_and_where(yard: Yard) -> None:
    as_fleet_member(yard)
    client = session_client(yard.mover)

    refused = client.post(f"/api/v1/machines/{yard.machine.pk}/move/", {"fleet": "core"})

    assert (refused.status_code, refused.json()["code"]) == (403, "exceeds_your_rights")
    assert "machines:operate" in refused.json()["detail"]
    assert Machine.objects.get().fleet == yard.edge


def test_a_move_costs_the_same_however_many_there_are(yard: Yard) -> None:
    group = make_group(yard.acme)
    make_entry(yard.acme, yard.core.path, "Viewer", group=group)
    by = session(owner_of(yard.acme))

    def queries_with_more(count: int) -> int:
        for _ in range(count):
            fleet_member(yard.core)
            make_group_member(group)
            make_token(yard.core, "machines:read")
            make_token(group, "machines:read")
            make_entry(yard.acme, yard.core.path, "Viewer", user=make_technical_user(yard.acme))
        machine = make_machine(yard.edge)
        with CaptureQueriesContext(connection) as queries:
            machines.move(machine, fleet=yard.core, by=by)
        return len(queries)

    assert queries_with_more(1) == queries_with_more(5)
