"""What a principal holds, loaded from the database as the table "who holds what" says, in few queries."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from config.edge.clock import now
from fleets import holdings, membership
from fleets.authority import FLEET_SCOPES, ORGANIZATION_SCOPES, TECHNICAL_FLEET_SCOPES
from fleets.models import Organization, User
from fleets.scopes import ALL_SCOPES
from tests.factories import (
    fleet_member,
    make_entry,
    make_fleet,
    make_fleet_member,
    make_group,
    make_group_member,
    make_machine,
    make_member,
    make_organization,
    make_person,
    make_superuser,
    make_technical_user,
    make_token,
    member,
    operator,
    owner_of,
)

pytestmark = pytest.mark.django_db
NOTHING: frozenset[str] = frozenset()


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def held(user: User, organization: Organization, path: str = "/") -> frozenset[str]:
    return holdings.rights_of(User.objects.get(pk=user.pk), organization.pk).at(path)


@pytest.mark.parametrize("role", ORGANIZATION_SCOPES)
def test_a_member_holds_their_role_everywhere_in_the_organization_and_nothing_elsewhere(
    acme: Organization, role: str
) -> None:
    other = make_organization("other")
    user = owner_of(acme) if role == "owner" else member(acme, role)

    assert held(user, acme) == held(user, acme, "/fleets/any") == ORGANIZATION_SCOPES[role]
    assert held(user, other) == NOTHING


@pytest.mark.parametrize("role", FLEET_SCOPES)
def test_a_fleets_member_holds_their_role_in_the_fleet_only(acme: Organization, role: str) -> None:
    edge, core = make_fleet(acme), make_fleet(acme)
    user = fleet_member(edge, role)

    assert held(user, acme, edge.path) == held(user, acme, make_machine(edge).path) == FLEET_SCOPES[role]
    assert held(user, acme, core.path) == held(user, acme) == NOTHING


def test_a_groups_member_holds_the_group_role_where_entries_name_the_group(acme: Organization) -> None:
    edge, core = make_fleet(acme), make_fleet(acme)
    group = make_group(acme)
    make_entry(acme, edge.path, "Viewer", group=group)
    user, admin = make_group_member(group, "user").user, make_group_member(group, "admin").user

    assert "machines:operate" in held(user, acme, edge.path)
    assert "machines:configure" not in held(user, acme, edge.path)
    assert held(admin, acme, edge.path) >= {"machines:configure", "machines:write", "commands:execute"}
    assert held(user, acme, core.path) == NOTHING


def test_an_explicit_no_access_empties_all_but_an_owners(acme: Organization) -> None:
    edge, core = make_fleet(acme), make_fleet(acme)
    manager, owner, admin = fleet_member(edge, "manager"), owner_of(acme), member(acme, "admin")
    for user in (manager, owner, admin):
        make_entry(acme, edge.path, "NoAccess", user=user)

    assert held(manager, acme, edge.path) == held(admin, acme, edge.path) == NOTHING
    assert held(owner, acme, edge.path) == ALL_SCOPES
    assert held(admin, acme, core.path) == ORGANIZATION_SCOPES["admin"]


def test_holdings_and_entries_add_up(acme: Organization) -> None:
    edge = make_fleet(acme)
    user = fleet_member(edge, "viewer")
    make_entry(acme, edge.path, "Operator", user=user)

    assert held(user, acme, edge.path) == FLEET_SCOPES["viewer"] | {"machines:operate"}


def test_entries_of_another_person_group_or_organization_give_nothing(acme: Organization) -> None:
    other = make_organization("other")
    user = member(acme)
    make_member(other, user=user)
    make_entry(acme, "/", "Viewer", user=member(acme))
    make_entry(acme, "/", "Viewer", group=make_group(acme))
    make_entry(other, "/", "Operator", user=user)

    assert held(user, acme) == NOTHING
    assert "machines:operate" in held(user, other)


def test_who_left_a_group_holds_nothing_by_it(acme: Organization) -> None:
    group = make_group(acme)
    make_entry(acme, "/", "Viewer", group=group)
    row = make_group_member(group)
    assert held(row.user, acme) != NOTHING

    membership.leave_group(row, by=operator)

    assert held(row.user, acme) == NOTHING


def test_a_superuser_holds_everything_and_a_stranger_nothing(acme: Organization) -> None:
    assert held(make_superuser(), acme) == ALL_SCOPES
    assert held(make_person(), acme) == NOTHING


def test_who_is_inactive_or_expired_holds_nothing(acme: Organization) -> None:
    user, boss = member(acme, "auditor"), make_superuser()
    User.objects.filter(pk=user.pk).update(expires_at=now() + timedelta(hours=1))

    assert held(user, acme) == ORGANIZATION_SCOPES["auditor"]
    with time_machine.travel(now() + timedelta(hours=1), tick=False):
        assert held(user, acme) == NOTHING
    User.objects.update(is_active=False)
    assert held(boss, acme) == NOTHING


def test_a_fleets_technical_user_holds_the_fleet(acme: Organization) -> None:
    edge, core = make_fleet(acme), make_fleet(acme)
    technical = make_token(edge, "machines:read").token.principal

    assert held(technical, acme, edge.path) == TECHNICAL_FLEET_SCOPES
    assert held(technical, acme) == held(technical, acme, core.path) == NOTHING
    assert held(technical, make_organization("other"), edge.path) == NOTHING


def test_who_is_active_and_holds_nothing_is_not_taken_for_one_who_is_not_active(acme: Organization) -> None:
    left, boss, stranger = make_member(acme), make_superuser(), make_person()
    membership.leave(left, by=operator)
    plain = member(acme, "member")
    technical = make_technical_user(acme)

    def principal(user: User) -> holdings.Principal:
        return holdings.principal_of(User.objects.get(pk=user.pk), acme.pk)

    for active in (plain, technical):
        assert principal(active) == holdings.Principal(True, holdings.NOTHING)
    for other in (left.user, boss, stranger):
        assert principal(other) == holdings.Principal(False, holdings.NOTHING)


@pytest.mark.parametrize(("kind", "most"), [("person", 6), ("technical", 4)])
def test_the_number_of_queries_does_not_grow(
    acme: Organization, kind: str, most: int, django_assert_max_num_queries: Any
) -> None:
    fleets = [make_fleet(acme) for _ in range(5)]
    machines = [make_machine(fleet) for fleet in fleets for _ in range(3)]
    user = member(acme) if kind == "person" else make_token(fleets[0], "machines:read").token.principal
    for machine in machines:
        make_entry(acme, machine.path, "Operator", user=user)
    if kind == "person":
        for fleet in fleets:
            make_fleet_member(fleet, user=user)
            group = make_group(acme)
            make_group_member(group, user=user)
            make_entry(acme, fleet.path, "Viewer", group=group)

    with django_assert_max_num_queries(most):
        rights = holdings.rights_of(user, acme.pk)

    assert all("machines:operate" in rights.at(machine.path) for machine in machines)
