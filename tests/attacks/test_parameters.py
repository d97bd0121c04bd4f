"""Away from the lists: what stands in a query and is not asked for.

The addresses come from the URL map, as in test_other_organizations.
"""

import itertools
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.attacks.clients import bearer_client, session_client
from tests.attacks.estate import Estate, Side
from tests.attacks.tables import nothing_changes
from tests.attacks.test_bodies import ISSUE
from tests.attacks.test_other_organizations import (
    call,
    filled_in,
    id_at,
    offered,
    patterns,
    places,
)

pytestmark = pytest.mark.django_db

ROUTES = sorted({route for route, _ in patterns() if route.startswith("/api/v1/")} - {"/api/v1/docs/"})
UNKNOWN = ("foo", "secret", "format", "path__regex")
OF_ITSELF = ("/api/v1/token/", "/api/v1/whoami/", "/api/v1/reauthenticate/", "/api/v1/schema/")
ELSEWHERE = "globex"
REVOKE_ALL = {"owner": "fleet:acme-edge", "reason": "because"}
READ_FIRST = {"/api/v1/tokens/": ISSUE, "/api/v1/tokens/revoke-all/": REVOKE_ALL}  # before the organization
every_route = pytest.mark.parametrize("route", ROUTES)


def address(route: str, side: Side) -> str:
    return filled_in(route, *(id_at(place)(side) for place in places(route)))


def client_for(route: str, estate: Estate) -> APIClient:
    """Somebody who may ask: people in their session, but of a token about itself that token."""
    if route.startswith("/api/v1/token/"):
        return bearer_client(estate.ours.personal)
    return session_client(estate.ours.owner)


def said(response: Any) -> tuple[int, list[tuple[str, str]]]:
    """The status, and the fields that a 400 names."""
    errors = response.json().get("errors", []) if response.status_code == 400 else []
    return response.status_code, [(error["field"], error["code"]) for error in errors]


def takes_an_organization(method: str, route: str) -> bool:
    """What is about the caller alone, or opens a new organization, is about none that could be named."""
    return not route.startswith(OF_ITSELF) and (method, route) != ("POST", "/api/v1/organizations/")


@every_route
def test_a_parameter_that_an_address_does_not_know_is_refused_by_name(route: str, estate: Estate) -> None:
    client = client_for(route, estate)

    for method, name in itertools.product(offered(route), UNKNOWN):
        response = call(client, method, f"{address(route, estate.ours)}?{name}=1")
        assert said(response) == (400, [(name, "unknown_parameter")]), f"{method} {name}"


@every_route
def test_an_organization_is_taken_where_it_means_something_and_refused_elsewhere(
    route: str, estate: Estate
) -> None:
    client = client_for(route, estate)
    here = address(route, estate.ours)

    for method in offered(route):
        body = READ_FIRST.get(route)
        foreign = call(client, method, f"{here}?organization={ELSEWHERE}", body)
        twice = call(client, method, f"{here}?organization=acme&organization=acme", body)
        ours = call(client, method, f"{here}?organization=acme", body)
        unnamed = call(client, method, here, body)
        if takes_an_organization(method, route):
            assert foreign.status_code == 404, method
            assert said(twice) == (400, [("organization", "repeated_parameter")]), method
            assert said(ours) == said(unnamed), f"{method}: what is named is what was meant"
        else:
            refused = (400, [("organization", "unknown_parameter")])
            assert said(foreign) == said(ours) == refused, method


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("tokens/", ISSUE),
        ("tokens/revoke-all/", REVOKE_ALL),
        ("machines/", {"fleet": "acme-edge", "name": "new"}),
        ("webhooks/", {"url": "https://hooks.example/", "actions": ["token.*"]}),
    ],
)
def test_a_query_and_a_body_never_name_two_organizations(
    path: str, body: dict[str, Any], estate: Estate
) -> None:
    client = session_client(estate.superuser)  # who sees both
    named = {**body, "organization": "acme"}

    with nothing_changes():
        differs = call(client, "POST", f"/api/v1/{path}?organization={ELSEWHERE}", named)
    agrees = call(client, "POST", f"/api/v1/{path}?organization=acme", named)

    assert said(differs) == (400, [("organization", "contradiction")])
    assert agrees.status_code in {200, 201}, agrees.content
