"""The estate that the tests of tokens are about: two fleets of one organization, and who looks after them."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from config.edge import context
from config.edge.context import RequestContext
from fleets.models import Fleet, Machine, Organization, User
from tests.factories import (
    fleet_member,
    make_approver,
    make_fleet,
    make_machine,
    make_organization,
    member,
    need_approvals,
    owner_of,
)
from tests.remembering import remembered


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


@remembered
def make_world(slug: str = "acme") -> World:
    acme = make_organization(slug)
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
def world(db: None) -> World:
    return make_world()


@pytest.fixture
def other(db: None) -> Fleet:
    """A fleet of another organization."""
    return make_fleet(make_organization("globex"), "edge")


@pytest.fixture
def approver(world: World) -> User:
    """High risk needs one approval in acme from now on; the owner could give it too."""
    found = make_approver(world.acme)
    need_approvals(world.acme)
    return found


@pytest.fixture
def at_home() -> Iterator[None]:
    """Whatever calls, calls from here."""
    with context.bound(RequestContext(address="127.0.0.1")):
        yield
