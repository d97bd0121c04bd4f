"""A small estate for races and faults, and the door that its tokens knock on."""

import functools
from dataclasses import dataclass

from django.test import Client
from django.test.client import ClientHandler

from fleets.models import Fleet, Organization, User
from tests import factories
from tokens.issuance import Issued


@dataclass(frozen=True)
class World:
    """An organization, one fleet of it, and the person who manages the fleet."""

    organization: Organization
    fleet: Fleet
    manager: User


def make_world() -> World:
    organization = factories.make_organization("acme")
    fleet = factories.make_fleet(organization, "edge")
    return World(organization, fleet, factories.fleet_member(fleet, "manager"))


def client_of(issued: Issued) -> Client:
    """A program that has the secret; a defect of the product is an answer, as it is behind a web server."""
    client = Client(
        headers={"authorization": f"Bearer {issued.secret.reveal()}"}, raise_request_exception=False
    )
    client.handler = _server()
    return client


@functools.cache
def _server() -> ClientHandler:
    """One for all clients, as there is one in a process: to build the middleware takes as long as two calls."""
    server = ClientHandler(enforce_csrf_checks=False)
    server.load_middleware()
    return server


def door(world: World) -> str:
    """The gate, asked for what a token with machines:read may do."""
    return f"/gate/verify?organization={world.organization.slug}&scope=machines:read&path={world.fleet.path}"
