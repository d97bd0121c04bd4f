"""What belongs to another organization does not exist, wherever it is named.

Nothing here lists endpoints: the addresses come from the URL map, the filters from the views, the fields from the
OpenAPI description. What is new there and not told here how to fill fails by name.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.admindocs.views import simplify_regex
from django.db import models, transaction
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from audit.models import Event, OutboxRow
from config.edge.description import described
from tests import factories
from tests.attacks.clients import bearer_client, session_client
from tests.attacks.doors import assert_problem, without_id
from tests.attacks.estate import Estate, Side
from tests.attacks.tables import Attempt
from tokens import secret
from tokens.admin.choices import owner_choices
from tokens.issuance import Issued

pytestmark = pytest.mark.django_db

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
Id = Callable[[Side], object]

# Whose id stands at a place of an address. Everything below a place is covered with it.
PLACES: dict[str, Id] = {
    "/api/v1/organizations/<pk>": lambda side: side.organization.pk,
    "/api/v1/members/<pk>": lambda side: side.member.pk,
    "/api/v1/invitations/<pk>": lambda side: side.invitation.pk,
    "/api/v1/groups/<pk>": lambda side: side.group.pk,
    "/api/v1/groups/<group_id>": lambda side: side.group.pk,
    "/api/v1/groups/<group_id>/members/<pk>": lambda side: side.group_member.pk,
    "/api/v1/fleets/<pk>": lambda side: side.fleet.pk,
    "/api/v1/fleets/<fleet_id>": lambda side: side.fleet.pk,
    "/api/v1/fleets/<fleet_id>/members/<pk>": lambda side: side.fleet_member.pk,
    "/api/v1/applications/<pk>": lambda side: side.application.pk,
    "/api/v1/applications/<application_id>": lambda side: side.application.pk,
    "/api/v1/applications/<application_id>/members/<pk>": lambda side: side.application_member.pk,
    "/api/v1/technical-users/<technical_user_id>": lambda side: side.technical_user.pk,
    "/api/v1/machines/<pk>": lambda side: side.machine.pk,
    "/api/v1/machines/<machine_id>": lambda side: side.machine.pk,
    "/api/v1/templates/<pk>": lambda side: side.template.pk,
    "/api/v1/networks/<pk>": lambda side: side.network.pk,
    "/api/v1/images/<pk>": lambda side: side.image.pk,
    "/api/v1/roles/<pk>": lambda side: side.role.pk,
    "/api/v1/acl/<pk>": lambda side: side.entry.pk,
    "/api/v1/tokens/<pk>": lambda side: side.token.token.pk,
    "/api/v1/tokens/<token_id>": lambda side: side.granted.token.pk,
    "/api/v1/tokens/<token_id>/grants/<n>": lambda side: side.granted.token.grants.get().number,
    "/api/v1/tokens/<token_id>/emergency-access/<pk>": lambda side: side.granted.token.emergencies.get().pk,
    "/api/v1/approvals/<pk>": lambda side: side.approval.pk,
    "/api/v1/audit/events/<pk>": lambda side: side.event.pk,
    "/api/v1/webhooks/<pk>": lambda side: side.webhook.pk,
    "/api/v1/webhooks/<webhook_id>": lambda side: side.webhook.pk,
    "/api/v1/webhooks/<webhook_id>/deliveries/<pk>": lambda side: side.webhook.deliveries.get().event_id,
}
# More that could stand there, where rows of one table differ in who sees them.
BESIDE: dict[str, dict[str, Id]] = {
    "/api/v1/approvals/<pk>": {"of a token": lambda side: side.own_approval.pk},
    "/api/v1/members/<pk>": {"suspended": lambda side: side.suspended.pk},
    "/api/v1/acl/<pk>": {"of a person": lambda side: side.entry_of_user.pk},
    "/api/v1/technical-users/<technical_user_id>": {
        "of a token": lambda side: side.token.token.principal_id,
        "of a group's token": lambda side: side.of_group.token.principal_id,
        "of an application's token": lambda side: side.of_application.token.principal_id,
        "of the organization's token": lambda side: side.of_organization.token.principal_id,
    },
    "/api/v1/tokens/<pk>": {
        "personal": lambda side: side.personal.token.pk,
        "separated": lambda side: side.separated.token.pk,
        "disabled": lambda side: side.disabled.token.pk,
        "of the group": lambda side: side.of_group.token.pk,
        "of the organization": lambda side: side.of_organization.token.pk,
        "of the application": lambda side: side.of_application.token.pk,
        "of the technical user": lambda side: side.of_technical_user.token.pk,
    },
}
ROWS: dict[str, Id] = {  # by the label of a model that the admin shows
    "fleets.organization": lambda side: side.organization.pk,
    "fleets.membership": lambda side: side.member.pk,
    "fleets.user": lambda side: side.member.user_id,
    "fleets.group": lambda side: side.group.pk,
    "fleets.groupmembership": lambda side: side.group_member.pk,
    "fleets.fleet": lambda side: side.fleet.pk,
    "fleets.fleetmembership": lambda side: side.fleet_member.pk,
    "fleets.application": lambda side: side.application.pk,
    "fleets.applicationmembership": lambda side: side.application_member.pk,
    "fleets.machine": lambda side: side.machine.pk,
    "fleets.machineaction": lambda side: side.action.pk,
    "fleets.machinetemplate": lambda side: side.template.pk,
    "fleets.network": lambda side: side.network.pk,
    "fleets.image": lambda side: side.image.pk,
    "fleets.aclentry": lambda side: side.entry.pk,
    "fleets.organizationrole": lambda side: side.role.pk,
    "fleets.technicaluser": lambda side: side.token.token.principal.pk,
    "tokens.token": lambda side: side.token.token.pk,
    "audit.event": lambda side: side.event.pk,
    "audit.webhookendpoint": lambda side: side.webhook.pk,
    "audit.webhookdelivery": lambda side: side.webhook.deliveries.get().pk,
    "audit.outboxrow": lambda _: OutboxRow.objects.filter(kind="mail")[0].pk,  # the installation's
    "approvals.approvalrequest": lambda side: side.approval.pk,
}
NO_IDS = {"/admin/<app_label>", "/admin/<url>"}  # a section, and Django's answer to every other address
NO_IDS |= {"/admin/invitation/<token>", "/admin/password-reset/<token>"}  # signed links are no ids


# The URL map


@cache
def patterns() -> tuple[tuple[str, URLPattern], ...]:
    """Every address of the house, as `/api/v1/machines/<pk>/`."""

    def walk(resolver: URLResolver, before: str) -> Iterator[tuple[str, URLPattern]]:
        for entry in resolver.url_patterns:
            route = before + str(entry.pattern).removeprefix("^")
            if isinstance(entry, URLResolver):
                yield from walk(entry, route)
            else:
                readable = re.sub(r"<\w+:(\w+)>", r"<\1>", route)
                yield simplify_regex(readable), entry

    return tuple(walk(get_resolver(), ""))


def places(route: str) -> list[str]:
    """The beginnings of a route that end in a parameter."""
    return [route[: found.end()] for found in re.finditer(r"<\w+>", route)]


def id_at(place: str) -> Id:
    if place in PLACES:
        return PLACES[place]
    found = re.fullmatch(r"/admin/(\w+)/(\w+)/<object_id>", place)
    label = f"{found[1]}.{found[2]}" if found else ""
    if label in ROWS:
        return ROWS[label]
    raise AssertionError(
        f"Nobody has said whose id stands at {place}. Add it to PLACES (an admin page's model to ROWS) in {__file__}, "
        "so that another organization's id is tried there."
    )


def filled_in(route: str, *ids: object) -> str:
    for value in ids:
        route = re.sub(r"<\w+>", str(value), route, count=1)
    return route


def offered(route: str) -> list[str]:
    """The methods that an address takes."""
    callback = next(pattern.callback for readable, pattern in patterns() if readable == route)
    view = getattr(callback, "cls", None)
    written = [name for name in map(str.lower, METHODS) if hasattr(view, name)] if view else ["get", "post"]
    return [method for method in METHODS if method.lower() in getattr(callback, "actions", written)]


ROUTES = sorted({route for route, _ in patterns() if "<" in route and not set(places(route)) & NO_IDS})
API_ROUTES = [route for route in ROUTES if not route.startswith("/admin/")]
ADMIN_ROUTES = [route for route in ROUTES if route.startswith("/admin/")]


def test_every_parameter_of_every_address_is_told_how_to_be_filled() -> None:
    for route in ROUTES:
        for place in places(route):
            id_at(place)

    assert len(API_ROUTES) > 20, "the URL map was not read"


def test_a_route_that_nobody_thought_of_is_noticed() -> None:
    with pytest.raises(AssertionError, match="Nobody has said whose id stands at /api/v1/secrets/<pk>"):
        id_at("/api/v1/secrets/<pk>")


# The callers: all that one organization can give, and a superuser's token besides

CALLERS: dict[str, Callable[[Estate], APIClient]] = {
    "an admin's session": lambda estate: session_client(estate.ours.admin),
    "the owner's token": lambda estate: bearer_client(estate.ours.personal),
    "a superuser's token": lambda estate: bearer_client(estate.superuser_token),
}
every_caller = pytest.mark.parametrize("caller", CALLERS)


def call(client: APIClient, method: str, address: str, body: Any = None) -> Any:
    """One request whose effects are undone."""
    with transaction.atomic():
        text = "" if method in {"GET", "HEAD", "OPTIONS"} else json.dumps(body or {})
        response = client.generic(method, address, text, "application/json")
        transaction.set_rollback(True)
    assert response.status_code < 500, response.content
    return response


def ids_of(side: Side) -> set[str]:
    values = vars(side).values()
    rows = [value.token if isinstance(value, Issued) else value for value in values]
    return {str(row.pk) for row in rows}


def never_used(value: object) -> object:
    """An id of the same form that nobody has."""
    return secret.generate_id() if re.fullmatch("[0-9A-Za-z]{16}", str(value)) else uuid4()


@pytest.mark.parametrize("route", API_ROUTES)
def test_another_organization_s_id_is_answered_as_one_that_does_not_exist(
    route: str, estate: Estate, attempt: Attempt
) -> None:
    ids = [(of(estate.ours), of(estate.theirs)) for of in map(id_at, places(route))]
    trail = Event.objects.filter(organization_id=estate.theirs.organization.pk).count()

    for caller, are_theirs in itertools.product(CALLERS, itertools.product((False, True), repeat=len(ids))):
        if not any(are_theirs):
            continue
        client = CALLERS[caller](estate)
        values = [pair[is_theirs] for pair, is_theirs in zip(ids, are_theirs, strict=True)]
        unknown = [
            never_used(value) if is_theirs else value
            for value, is_theirs in zip(values, are_theirs, strict=True)
        ]
        for method in offered(route):
            with attempt(f"{caller}: {method} {filled_in(route, *values)}"):
                response = call(client, method, filled_in(route, *values))
                assert_problem(response, 404, "not_found")
                assert without_id(response) == without_id(call(client, method, filled_in(route, *unknown)))

    assert Event.objects.filter(organization_id=estate.theirs.organization.pk).count() == trail


@pytest.mark.parametrize(
    "route", [route for route in API_ROUTES if len(places(route)) == 1 and places(route)[0] in BESIDE]
)
def test_no_row_of_another_organization_is_there_whatever_it_is_of(
    route: str, estate: Estate, attempt: Attempt
) -> None:
    beside = {name: (of(estate.ours), of(estate.theirs)) for name, of in BESIDE[places(route)[0]].items()}

    for caller, method in itertools.product(CALLERS, offered(route)):
        client = CALLERS[caller](estate)
        (_, one_of_theirs), *_ = beside.values()
        nobody = call(client, method, filled_in(route, never_used(one_of_theirs)))
        for name, (ours, theirs) in beside.items():
            with attempt(f"{caller}: {method} {name}"):
                response = call(client, method, filled_in(route, theirs))
                assert response.status_code == 404, response.content
                assert without_id(response) == without_id(nobody)
                if caller == "an admin's session":
                    assert call(client, method, filled_in(route, ours)).status_code not in {404, 405}


@pytest.mark.parametrize("route", API_ROUTES)
def test_a_method_that_is_not_offered_says_nothing_of_the_id(route: str, estate: Estate) -> None:
    client = CALLERS["the owner's token"](estate)
    addresses = [
        filled_in(route, *(id_at(place)(side) for place in places(route)))
        for side in (estate.ours, estate.theirs)
    ]

    for method in ("OPTIONS", *METHODS):
        if method not in offered(route):
            assert [call(client, method, address).status_code for address in addresses] == [405, 405]


@pytest.mark.parametrize("route", API_ROUTES)
def test_one_s_own_id_is_there(route: str, estate: Estate) -> None:
    callers = [CALLERS[caller](estate) for caller in ("an admin's session", "the owner's token")]
    own = filled_in(route, *(id_at(place)(estate.ours) for place in places(route)))

    answers = {
        method: {call(client, method, own).status_code for client in callers} for method in offered(route)
    }

    assert answers, "no method at all"
    assert not [method for method, statuses in answers.items() if statuses & {404, 405}]


# The lists and their filters

MISSING, EMPTY, PLAIN = (
    "missing",
    "empty",
    "plain",
)  # 404; a page without rows; names nothing that anybody owns
FILTERS: dict[tuple[str, str], tuple[str, Id]] = {
    ("organizations", "slug"): (EMPTY, lambda side: side.organization.slug),
    ("organizations", "search"): (EMPTY, lambda side: side.organization.name),
    ("members", "username"): (EMPTY, lambda side: side.member.user.username),
    ("members", "search"): (EMPTY, lambda side: side.member.user.name),
    ("invitations", "username"): (EMPTY, lambda side: side.invitation.user.username),
    ("fleets", "slug"): (EMPTY, lambda side: side.fleet.slug),
    ("fleets", "search"): (EMPTY, lambda side: side.fleet.name),
    ("groups", "slug"): (EMPTY, lambda side: side.group.slug),
    ("groups", "search"): (EMPTY, lambda side: side.group.name),
    ("applications", "slug"): (EMPTY, lambda side: side.application.slug),
    ("applications", "search"): (EMPTY, lambda side: side.application.name),
    ("machines", "fleet"): (MISSING, lambda side: side.fleet.slug),
    ("machines", "tag"): (EMPTY, lambda side: f"{side.organization.slug}-tag"),
    ("machines", "vmid"): (EMPTY, lambda side: side.machine.vmid),
    ("machines", "name"): (EMPTY, lambda side: side.machine.name),
    ("machines", "search"): (EMPTY, lambda side: side.machine.name),
    ("templates", "name"): (EMPTY, lambda side: side.template.name),
    ("templates", "search"): (EMPTY, lambda side: side.template.name),
    ("networks", "name"): (EMPTY, lambda side: side.network.name),
    ("networks", "search"): (EMPTY, lambda side: side.network.name),
    ("images", "name"): (EMPTY, lambda side: side.image.name),
    ("images", "search"): (EMPTY, lambda side: side.image.name),
    ("acl", "user"): (EMPTY, lambda side: side.admin.username),
    ("acl", "group"): (EMPTY, lambda side: side.group.slug),
    ("acl", "path"): (EMPTY, lambda side: side.fleet.path),
    ("tokens", "owner"): (MISSING, lambda side: f"fleet:{side.fleet.slug}"),
    ("tokens", "machine"): (MISSING, lambda side: side.machine.pk),
    ("tokens", "search"): (EMPTY, lambda side: side.fleet.slug),
    ("tokens/<pk>/activity", "request_id"): (
        EMPTY,
        lambda side: Event.objects.changes_of("token", side.token.token.pk).latest("id").request_id,
    ),
    ("approvals", "subject"): (EMPTY, lambda side: side.own_approval.subject_id),
    ("approvals", "requested_by"): (EMPTY, lambda side: side.admin.username),
    ("audit/events", "actor"): (EMPTY, lambda side: f"person:{side.owner.pk}"),
    ("audit/events", "target"): (EMPTY, lambda side: side.fleet.pk),
    ("audit/events", "token"): (EMPTY, lambda side: side.token.token.pk),
    ("audit/events", "request_id"): (EMPTY, lambda side: side.event.request_id),
}
PLAIN_FILTERS = {
    *("is_active", "role", "suspended", "kind", "status", "risk", "scope", "expires_before", "unused_since"),
    *("action", "outcome", "since", "until", "state", "decidable"),
}


def lists() -> Iterator[tuple[str, frozenset[str]]]:
    """Every list of the API, and the names of its filters."""
    for route, pattern in patterns():
        view = getattr(pattern.callback, "cls", None)
        if view is not None and "list" in getattr(pattern.callback, "actions", {}).values():
            filters = getattr(getattr(view, "filterset_class", None), "base_filters", {})
            yield route, frozenset(filters) | {"organization"}


LISTS = dict(lists())
IN_PERSON = "/api/v1/webhooks/"  # never for a token


def resource(route: str) -> str:
    return route.removeprefix("/api/v1/").strip("/")


def how(route: str, name: str) -> tuple[str, Id]:
    """What a list answers to a filter that names something of another organization, and that something."""
    if name == "organization":
        return MISSING, lambda side: side.organization.slug
    if name in PLAIN_FILTERS:
        return PLAIN, lambda _: None
    found = FILTERS.get((resource(route), name))
    assert found, f"Add the filter {name} of {route} to FILTERS (or PLAIN_FILTERS) in {__file__}."
    return found


def test_every_filter_of_every_list_is_told_what_it_names() -> None:
    for route, names in LISTS.items():
        for name in names:
            how(route, name)

    assert len(LISTS) > 10


@pytest.mark.parametrize("route", LISTS)
def test_a_list_holds_nothing_of_another_organization(route: str, estate: Estate, attempt: Attempt) -> None:
    address = filled_in(route, *(id_at(place)(estate.ours) for place in places(route)))

    for caller, client_of in CALLERS.items():
        with attempt(caller):
            response = call(client_of(estate), "GET", f"{address}?limit=200")
            if route.startswith(IN_PERSON) and caller != "an admin's session":
                assert_problem(response, 403, "forbidden")
                continue
            assert response.status_code == 200, response.content
            assert response.json()["results"], (
                "there is something that could leak, and something that is ours"
            )
            text = response.content.decode()
            assert "globex" not in text
            assert not [key for key in ids_of(estate.theirs) if key in text]


@pytest.mark.parametrize("route", LISTS)
def test_a_filter_finds_nothing_of_another_organization(route: str, estate: Estate, attempt: Attempt) -> None:
    address = filled_in(route, *(id_at(place)(estate.ours) for place in places(route)))

    for caller, name in itertools.product(CALLERS, sorted(LISTS[route] - PLAIN_FILTERS)):
        client = CALLERS[caller](estate)
        outcome, of = how(route, name)
        with attempt(f"{caller}: {name}"):
            theirs = call(client, "GET", f"{address}?{name}={of(estate.theirs)}")
            nobodys = call(client, "GET", f"{address}?{name}={_unknown(name, of(estate.theirs))}")
            ours = call(client, "GET", f"{address}?{name}={of(estate.ours)}")

            if outcome == MISSING:
                assert_problem(theirs, 404, "not_found")
            else:
                assert (theirs.status_code, theirs.json()["results"]) == (200, [])
            assert without_id_of_page(theirs) == without_id_of_page(nobodys)
            if route.startswith(IN_PERSON) and caller != "an admin's session":
                assert_problem(ours, 403, "forbidden")
                continue
            assert ours.status_code == 200, "the positive twin"
            assert ours.json()["results"]


def _unknown(name: str, value: object) -> object:
    if name == "vmid":
        return 987_654
    if name == "path":
        return "/fleets/no-such-fleet"
    text = str(value)
    kind, colon, rest = text.rpartition(":")
    return f"{kind}{colon}{never_used(rest) if re.fullmatch('[0-9a-f-]{36}', rest) else 'no-such-thing'}"


def without_id_of_page(response: Any) -> tuple[int, dict[str, Any]]:
    """Status and document; headers of a page name nothing."""
    return response.status_code, {
        name: each for name, each in response.json().items() if name != "request_id"
    }


# What a body names

REFERENCES = {
    *("organization", "owner", "fleet", "machine", "machines", "group", "user", "username", "grants", "path"),
    *("principal", "target", "token", "template", "network", "image"),
}
# Fields that name nothing that somebody has: values, choices, and what is made by the request itself.
PLAIN_FIELDS = {
    *(
        "name",
        "slug",
        "description",
        "email",
        "reason",
        "policy",
        "propagate",
        "scopes",
        "kind",
        "tags",
        "vmid",
    ),
    *("cpus", "memory", "disks", "networks", "configuration", "action", "cidr", "operating_system"),
    *("extended", "privilege_separation", "expires_at", "expires_in", "rotate_every", "overlap"),
    *("allowed_networks", "rate_limit", "access_windows", "hours", "password"),
    *("url", "actions", "enabled"),
    *("comment", "diff_digest"),
    "narrowed",  # what it names is refused by tests/tokens/test_approvals_of_tokens.py
}
Body = Callable[[Any], dict[str, Any]]

ISSUE = {"name": "new", "scopes": ["machines:read"], "reason": "because"}
RULE = {"path": "/nodes", "role": "Viewer"}
BODIES: dict[tuple[str, str, str], tuple[int, Body]] = {
    ("post", "tokens/", "organization"): (
        404,
        lambda side: {**ISSUE, "organization": side.organization.slug},
    ),
    ("post", "tokens/", "owner"): (
        404,
        lambda side: {**ISSUE, "kind": "fleet", "owner": side.fleet.slug},
    ),
    ("post", "tokens/", "machines"): (
        404,
        lambda side: {**ISSUE, "machines": [str(side.machine.pk)]},
    ),
    # an entry under what does not exist is a 400 (3-domain.md), the same as for what never did
    ("post", "tokens/", "grants"): (
        400,
        lambda side: {**ISSUE, "grants": [{"path": side.fleet.path, "role": "Viewer"}]},
    ),
    ("post", "tokens/revoke-all/", "organization"): (
        404,
        lambda side: {
            "organization": side.organization.slug,
            "owner": f"fleet:{side.fleet.slug}",
            "reason": "because",
        },
    ),
    ("post", "tokens/revoke-all/", "owner"): (
        404,
        lambda side: {"owner": f"fleet:{side.fleet.slug}", "reason": "because"},
    ),
    # an own role of another organization is as unknown as one that nobody has
    ("post", "tokens/", "role"): (
        400,
        lambda side: {"name": "new", "role": side.role.name, "reason": "because"},
    ),
    ("patch", "tokens/{id}/", "role"): (400, lambda side: {"role": side.role.name}),
    ("patch", "token/", "role"): (400, lambda side: {"role": side.role.name}),
    ("post", "tokens/{token_id}/grants/", "role"): (
        400,
        lambda side: {"path": "/fleets/acme-edge/machines", "role": side.role.name},
    ),
    ("post", "acl/", "role"): (400, lambda side: {**RULE, "role": side.role.name, "group": "acme-crew"}),
    ("patch", "acl/{id}/", "role"): (400, lambda side: {"role": side.role.name}),
    ("patch", "tokens/{id}/", "machines"): (404, lambda side: {"machines": [str(side.machine.pk)]}),
    ("patch", "tokens/{id}/", "grants"): (
        400,
        lambda side: {"grants": [{"path": side.fleet.path, "role": "Viewer"}]},
    ),
    ("patch", "token/", "machines"): (404, lambda side: {"machines": [str(side.machine.pk)]}),
    ("patch", "token/", "grants"): (
        400,
        lambda side: {"grants": [{"path": side.fleet.path, "role": "Viewer"}]},
    ),
    ("post", "tokens/{token_id}/grants/", "path"): (400, lambda side: {"path": side.fleet.path}),
    ("post", "machines/", "organization"): (
        404,
        lambda side: {
            "organization": side.organization.slug,
            "fleet": side.fleet.slug,
            "name": "new",
        },
    ),
    ("post", "machines/", "fleet"): (404, lambda side: {"fleet": side.fleet.slug, "name": "new"}),
    # what is made names it among other fields: the answer says which one, and the same for what never existed
    ("post", "machines/", "template"): (
        400,
        lambda side: {"fleet": "acme-edge", "name": "new", "template": str(side.template.pk)},
    ),
    ("post", "templates/", "image"): (400, lambda side: {"name": "new", "image": str(side.image.pk)}),
    ("post", "templates/", "network"): (400, lambda side: {"name": "new", "network": str(side.network.pk)}),
    ("patch", "templates/{id}/", "image"): (400, lambda side: {"image": str(side.image.pk)}),
    ("patch", "templates/{id}/", "network"): (400, lambda side: {"network": str(side.network.pk)}),
    ("post", "templates/", "organization"): (
        404,
        lambda side: {"organization": side.organization.slug, "name": "new"},
    ),
    ("post", "networks/", "organization"): (
        404,
        lambda side: {"organization": side.organization.slug, "name": "new"},
    ),
    ("post", "images/", "organization"): (
        404,
        lambda side: {"organization": side.organization.slug, "name": "new"},
    ),
    ("post", "roles/", "organization"): (
        404,
        lambda side: {
            "organization": side.organization.slug,
            "name": "new",
            "scopes": ["machines:read"],
        },
    ),
    ("post", "acl/", "organization"): (
        404,
        lambda side: {"organization": side.organization.slug, **RULE, "group": side.group.slug},
    ),
    ("post", "acl/", "path"): (400, lambda side: {**RULE, "path": side.fleet.path, "group": "acme-crew"}),
    ("post", "acl/", "user"): (404, lambda side: {**RULE, "user": side.member.user.username}),
    ("post", "acl/", "group"): (404, lambda side: {**RULE, "group": side.group.slug}),
    ("post", "machines/{id}/move/", "fleet"): (404, lambda side: {"fleet": side.other_fleet.slug}),
    ("post", "fleets/", "organization"): (
        404,
        lambda side: {"organization": side.organization.slug, "slug": "new", "name": "New"},
    ),
    ("post", "groups/", "organization"): (
        404,
        lambda side: {"organization": side.organization.slug, "slug": "new", "name": "New"},
    ),
    ("post", "webhooks/", "organization"): (
        404,
        lambda side: {
            "organization": side.organization.slug,
            "url": "https://hooks.example/",
            "actions": ["*"],
        },
    ),
    ("post", "applications/", "organization"): (
        404,
        lambda side: {"organization": side.organization.slug, "slug": "new", "name": "New"},
    ),
    ("post", "technical-users/", "organization"): (
        404,
        lambda side: {"organization": side.organization.slug, "username": "new"},
    ),
    ("post", "applications/{application_id}/members/", "username"): (
        404,
        lambda side: {"username": side.member.user.username},
    ),
    ("post", "members/", "organization"): (
        404,
        lambda side: {"organization": side.organization.slug, "username": "new", "role": "member"},
    ),
    ("post", "fleets/{fleet_id}/members/", "username"): (
        404,
        lambda side: {"username": side.member.user.username, "role": "viewer"},
    ),
    ("post", "groups/{group_id}/members/", "username"): (
        404,
        lambda side: {"username": side.member.user.username, "role": "user"},
    ),
}
NAMES_NOBODY = {  # usernames are the installation's: a new one may be anybody's
    ("post", "members/", "username"),
    ("post", "technical-users/", "username"),
}


def commands() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path, properties of the body) of every operation in the OpenAPI description."""
    document = described()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            reference = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            component = document["components"]["schemas"].get(reference, {})
            yield method, path.removeprefix("/api/v1/"), component.get("properties", {})


def test_every_reference_in_every_body_is_told_how_to_be_filled() -> None:
    described = {
        (method, path, name)
        for method, path, properties in commands()
        for name, schema in properties.items()
        if is_reference(name, schema) and not schema.get("readOnly")
    }

    assert described - BODIES.keys() == NAMES_NOBODY, "add what is missing to BODIES"


def is_reference(name: str, schema: dict[str, Any]) -> bool:
    """A role is one where it is written as text: it may be an organization's own. Else it is a choice."""
    return name in REFERENCES or (name == "role" and schema.get("type") == "string")


def test_every_other_field_of_every_body_names_nothing_that_somebody_has() -> None:
    others = {
        name
        for _, _, properties in commands()
        for name, schema in properties.items()
        if not schema.get("readOnly") and not is_reference(name, schema)
    }

    assert others - {"role"} == PLAIN_FIELDS, (
        "add what is new to REFERENCES, or to PLAIN_FIELDS if it names nothing"
    )


class Nothing:
    """A side of which nothing exists."""

    organization = SimpleNamespace(slug="no-such-organization")
    fleet = other_fleet = SimpleNamespace(slug="no-such-fleet", path="/fleets/no-such-fleet")
    machine = template = network = image = SimpleNamespace(pk=uuid4())
    group = SimpleNamespace(slug="no-such-group")
    role = SimpleNamespace(name="no-such-role")
    member = SimpleNamespace(user=SimpleNamespace(username="no-such-person"))


def send_body(client: APIClient, key: tuple[str, str, str], estate: Estate, body: dict[str, Any]) -> Any:
    method, path, _ = key
    address = re.sub(r"\{(\w+)\}", r"<\1>", f"/api/v1/{path}")
    route = address.replace("<id>", "<pk>")
    values = (id_at(place)(estate.ours) for place in places(route))
    if path == "tokens/{id}/":  # the owner's own
        values = (pk for pk in [estate.ours.separated.token.pk])
    return call(client, method.upper(), filled_in(route, *values), body)


@pytest.mark.parametrize("key", BODIES, ids=" ".join)
def test_a_body_that_names_another_organization_s_thing_names_nothing(
    key: tuple[str, str, str], estate: Estate, attempt: Attempt
) -> None:
    status, body = BODIES[key]

    for caller, client_of in CALLERS.items():
        client = bearer_client(estate.ours.separated) if key[1] == "token/" else client_of(estate)
        with attempt(caller):
            response = send_body(client, key, estate, body(estate.theirs))

            assert response.status_code == status, response.content
            assert without_id(response) == without_id(send_body(client, key, estate, body(Nothing)))


@every_caller
@pytest.mark.parametrize("together", [[], ["ours"]], ids=["alone", "beside one of ours"])
def test_one_foreign_machine_refuses_all_of_them(together: list[str], caller: str, estate: Estate) -> None:
    client = CALLERS[caller](estate)  # all or nothing
    machines = [str(estate.ours.machine.pk)] * len(together) + [str(estate.theirs.machine.pk)]
    issued = Event.objects.filter(action="token.issued", outcome="allowed").count()

    response = client.post("/api/v1/tokens/", {**ISSUE, "machines": machines})

    assert_problem(response, 404, "not_found")
    assert Event.objects.filter(action="token.issued", outcome="allowed").count() == issued


# Paths and scopes that an address asks about

ASKED = ["tokens/<pk>/permissions/", "token/permissions/"]


@pytest.mark.parametrize("route", ASKED)
@every_caller
def test_a_path_of_another_organization_is_asked_about_in_vain(
    route: str, caller: str, estate: Estate
) -> None:
    client = CALLERS[caller](estate)
    if "session" in caller and route == "token/permissions/":
        client = bearer_client(estate.ours.separated)
    address = filled_in(f"/api/v1/{route}", estate.ours.token.token.pk)
    theirs, ours = estate.theirs, estate.ours
    nowhere = f"/fleets/no-such-fleet/machines/{uuid4()}"

    for path in (theirs.fleet.path, theirs.machine.path):
        answer = call(client, "GET", f"{address}?path={path}")
        nobody = call(client, "GET", f"{address}?path={nowhere}")
        assert answer.status_code == nobody.status_code == 400
        assert answer.json()["code"] == nobody.json()["code"]
        assert answer.json()["errors"] == nobody.json()["errors"]
    for path in (ours.fleet.path, ours.machine.path, f"/vms/{ours.machine.vmid}"):
        assert call(client, "GET", f"{address}?path={path}").status_code == 200
    free = call(client, "GET", f"{address}?path=/vms/{theirs.machine.vmid}").json()
    assert free["path"] == f"/vms/{theirs.machine.vmid}", "their vmid is a free path here"


# Admin pages

PLAIN_PAGES = sorted(
    {route for route, _ in patterns() if route.startswith("/admin/") and "<" not in route}
    - {"/admin/logout/"}
)


@pytest.fixture
def person(estate: Estate) -> APIClient:
    return session_client(estate.ours.admin)


def admin_url(route: str, side: Side) -> str:
    return filled_in(route, *(id_at(place)(side) for place in places(route)))


@pytest.mark.parametrize("route", ADMIN_ROUTES)
def test_another_organization_s_admin_pages_are_not_there(
    route: str, person: APIClient, estate: Estate
) -> None:
    for method in ("GET", "POST"):
        response = call(person, method, admin_url(route, estate.theirs))
        if response.status_code == 405:  # a page that is only read says so before it looks
            assert call(person, method, admin_url(route, estate.ours)).status_code == 405
            continue
        assert response.status_code == 404, f"{method} {admin_url(route, estate.theirs)}"
        assert not [key for key in ids_of(estate.theirs) if key in response.content.decode()]


NOT_THE_OWNERS = {  # pages for somebody else: who asked, superusers
    "/admin/tokens/token/<object_id>/start-emergency/",
    "/admin/tokens/token/<object_id>/stop-emergency/",
    "/admin/approvals/approvalrequest/<object_id>/withdraw/",
}


@pytest.mark.parametrize("route", ADMIN_ROUTES)
def test_one_s_own_admin_pages_are_there(route: str, estate: Estate) -> None:
    is_installations = route.startswith("/admin/audit/outboxrow/")
    client = session_client(estate.superuser if is_installations else estate.ours.owner)

    response = call(client, "GET", admin_url(route, estate.ours))

    assert response.status_code == (403 if route in NOT_THE_OWNERS else 200), response.content
    assert not [key for key in ids_of(estate.theirs) if key in response.content.decode()]
    assert "globex" not in response.content.decode()


@pytest.mark.parametrize("route", PLAIN_PAGES)
def test_no_admin_page_shows_or_offers_another_organization_s_things(
    route: str, person: APIClient, estate: Estate
) -> None:
    response = call(person, "GET", route)

    text = response.content.decode()
    assert "globex" not in text
    assert not [key for key in ids_of(estate.theirs) if key in text]


@pytest.mark.parametrize("section", sorted({model._meta.app_label for model in admin.site._registry}))
def test_no_section_of_the_admin_shows_another_organization_s_things(
    section: str, person: APIClient, estate: Estate
) -> None:
    response = call(person, "GET", f"/admin/{section}/")

    assert response.status_code == 200
    text = response.content.decode()
    assert "globex" not in text
    assert not [key for key in ids_of(estate.theirs) if key in text]


@pytest.mark.parametrize("label", [model._meta.label_lower for model in admin.site._registry])
def test_an_admin_list_finds_nothing_of_another_organization(
    label: str, person: APIClient, estate: Estate
) -> None:
    model_admin = next(
        each for model, each in admin.site._registry.items() if model._meta.label_lower == label
    )
    page = f"/admin/{label.replace('.', '/')}/"
    parameters = {"q", "id", "organization"}
    parameters |= {str(getattr(entry, "parameter_name", entry)) for entry in model_admin.list_filter}
    theirs = estate.theirs
    values = {str(row.pk) for row in (theirs.organization, theirs.machine, theirs.token.token)}
    values |= {theirs.organization.slug, theirs.fleet.slug}

    for parameter in sorted(parameters):
        for value in sorted(values):
            response = call(person, "GET", f"{page}?{parameter}={value}")
            rest = response.content.decode().replace(value, "")
            assert "globex" not in rest, f"{page}?{parameter}={value}"
            assert not [key for key in ids_of(estate.theirs) - {value} if key in rest]


def test_a_token_cannot_be_made_for_an_owner_of_another_organization(
    person: APIClient, estate: Estate
) -> None:
    ours = owner_choices(factories.session(estate.ours.admin))
    theirs = owner_choices(factories.session(estate.theirs.admin))
    assert ours
    assert theirs

    answers = {
        choice.key: [
            call(person, method, f"/admin/tokens/token/add/?for={choice.key}").status_code
            for method in METHODS[:3]
        ]
        for choice in (*ours, *theirs)
    }

    assert answers == {choice.key: [200] * 3 for choice in ours} | {
        choice.key: [404] * 3 for choice in theirs
    }


def test_autocompletion_offers_nothing_of_another_organization(person: APIClient, estate: Estate) -> None:
    fields = [
        (model._meta.app_label, model._meta.model_name, field.name)
        for model in admin.site._registry
        for field in model._meta.get_fields()
        if isinstance(field, models.ForeignKey | models.ManyToManyField)
    ]
    assert fields

    for app_label, model_name, field_name in fields:
        query = f"app_label={app_label}&model_name={model_name}&field_name={field_name}&term="
        response = call(person, "GET", f"/admin/autocomplete/?{query}")
        assert response.status_code in {200, 403, 404}
        text = response.content.decode()
        assert "globex" not in text
        assert not [key for key in ids_of(estate.theirs) if key in text]


def test_a_superuser_s_session_sees_both_so_that_there_is_something_to_hide(estate: Estate) -> None:
    client = factories.session_client(estate.superuser)

    for side in (estate.ours, estate.theirs):
        assert client.get(f"/api/v1/machines/{side.machine.pk}/").status_code == 200
