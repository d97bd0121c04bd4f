"""Two organizations that mirror each other: what an attacker has, and what they are after."""

from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Model

from audit.models import Event
from fleets.machines import request_action
from fleets.models import (
    Fleet,
    FleetMembership,
    Group,
    GroupMembership,
    Machine,
    MachineAction,
    Membership,
    Organization,
    User,
)
from fleets.scopes import Scope
from tests import factories
from tokens.issuance import Issued

Row = TypeVar("Row", bound=Model)
EVERYTHING = tuple(sorted(scope.value for scope in Scope))


@dataclass(frozen=True)
class Side:
    """One organization and one of each thing in it."""

    organization: Organization
    owner: User
    admin: User
    member: Membership
    fleet: Fleet
    other_fleet: Fleet
    fleet_member: FleetMembership
    group: Group
    group_member: GroupMembership
    machine: Machine
    action: MachineAction
    token: Issued
    personal: Issued
    event: Event


@dataclass(frozen=True)
class Estate:
    """`ours` is the attacker's own, `theirs` is out of bounds."""

    ours: Side
    theirs: Side
    superuser: User
    superuser_token: Issued


def as_stored(row: Row) -> Row:
    """The row read anew: verbs change the one that they get, and other tests share it."""
    return type(row)._default_manager.get(pk=row.pk)


def make_side(name: str) -> Side:
    owner = factories.make_person(f"{name}-owner")
    organization = factories.make_organization(name, owner=owner)
    admin = factories.member(organization, "admin")
    fleet = factories.make_fleet(organization, f"{name}-edge")
    group = factories.make_group(organization, f"{name}-crew")
    machine = factories.make_machine(fleet, f"{name}-machine", vmid=100)
    return Side(
        organization=organization,
        owner=owner,
        admin=admin,
        member=factories.make_member(organization, user=factories.make_person(f"{name}-member")),
        fleet=fleet,
        other_fleet=factories.make_fleet(organization, f"{name}-core"),
        fleet_member=factories.make_fleet_member(fleet),
        group=group,
        group_member=factories.make_group_member(group),
        machine=machine,
        action=request_action(machine, action="start", by=factories.operator),
        token=factories.make_token(fleet, "machines:read"),
        personal=factories.make_token(owner, *EVERYTHING, privilege_separation=False),
        event=Event.objects.filter(organization_id=organization.pk).latest("id"),
    )


def make_estate() -> Estate:
    ours, theirs = make_side("acme"), make_side("globex")
    superuser = factories.make_superuser("root")
    factories.make_member(ours.organization, user=superuser)
    return Estate(
        ours=ours,
        theirs=theirs,
        superuser=superuser,
        superuser_token=factories.make_token(superuser, *EVERYTHING, privilege_separation=False),
    )
