"""The estate that the tests of tokens are about: two fleets of one organization, and who looks after them."""

from dataclasses import dataclass

import pytest

from fleets.models import Fleet, Machine, Organization, User
from tests.factories import fleet_member, make_fleet, make_machine, make_organization, member, owner_of


@dataclass(frozen=True)
class World:
    acme: Organization
    owner: User
    admin: User
    auditor: User
    manager: User  # of edge
    edge: Fleet
    core: Fleet
    edge_1: Machine
    edge_2: Machine
    core_1: Machine


@pytest.fixture
def world(db: None) -> World:
    acme = make_organization("acme")
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    return World(
        acme=acme,
        owner=owner_of(acme),
        admin=member(acme, "admin"),
        auditor=member(acme, "auditor"),
        manager=fleet_member(edge, "manager"),
        edge=edge,
        core=core,
        edge_1=make_machine(edge, "edge-1"),
        edge_2=make_machine(edge, "edge-2"),
        core_1=make_machine(core, "core-1"),
    )


@pytest.fixture
def other(db: None) -> Fleet:
    """A fleet of another organization."""
    return make_fleet(make_organization("globex"), "edge")
