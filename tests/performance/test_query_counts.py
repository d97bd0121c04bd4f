"""How many queries the product's main job takes: pinned, so that a slower one is a decision and no accident.

Savepoints are left out. A client is warm: its token was used within the minute, as that of a busy program is.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from approvals.models import ApprovalRequest
from audit.models import Event
from fleets.models import Fleet, Organization, User
from fleets.scopes import parse_scopes
from tests.factories import (
    fleet_member,
    make_approver,
    make_entry,
    make_fleet,
    make_fleet_member,
    make_group,
    make_group_member,
    make_machine,
    make_organization,
    make_token,
    member,
    need_approvals,
    owner_of,
    session,
    session_client,
    token_client,
)
from tokens import credentials, issuance, lifecycle, peppers, secret, verification
from tokens.issuance import GrantWish, Issued, Wish
from tokens.lifecycle import Edit
from tokens.restrictions import DAYS, Restrictions, parse_networks, parse_rate, parse_windows

pytestmark = pytest.mark.django_db


def queries(act: Callable[[], object]) -> dict[str, int]:
    """The statements that `act` sends, by their first word."""
    with CaptureQueriesContext(connection) as captured:
        act()
    words = Counter(statement["sql"].split(None, 1)[0] for statement in captured)
    return {word: words[word] for word in ("SELECT", "INSERT", "UPDATE", "DELETE") if words[word]}


def of_call(client: APIClient, path: str, expected: int = 200, **query: Any) -> dict[str, int]:
    def call() -> None:
        answer = client.get(path, query)
        assert answer.status_code == expected, answer.content

    return queries(call)


def at_the_gate(client: APIClient, expected: int = 204) -> dict[str, int]:
    ask = {"organization": "acme", "scope": "machines:read", "path": "/fleets/edge"}

    def call() -> None:
        answer = client.get("/gate/verify", ask)
        assert answer.status_code == expected, answer.content

    return queries(call)


def warm(issued: Issued) -> APIClient:
    client = token_client(issued)
    assert client.get("/api/v1/whoami/").status_code == 200
    return client


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


@pytest.fixture
def edge(acme: Organization) -> Fleet:
    return make_fleet(acme, "edge")


# Verification


def test_a_fleet_token_at_the_gate(edge: Fleet) -> None:
    assert at_the_gate(warm(make_token(edge, "machines:read"))) == {"SELECT": 10, "INSERT": 1}


def test_a_personal_token_at_the_gate(edge: Fleet) -> None:
    manager = fleet_member(edge, "manager")
    assert at_the_gate(warm(make_token(manager, "machines:read"))) == {"SELECT": 11, "INSERT": 1}


def test_a_first_use_also_notes_the_last_use_of_token_and_secret(edge: Fleet) -> None:
    assert at_the_gate(token_client(make_token(edge, "machines:read")))["UPDATE"] == 2


def test_a_refused_call_costs_no_more_than_an_allowed_one(edge: Fleet) -> None:
    allowed = at_the_gate(warm(make_token(edge, "machines:read")))
    refused = at_the_gate(warm(make_token(edge, "machines:operate")), 403)
    assert sum(refused.values()) <= sum(allowed.values())


def test_restrictions_cost_no_query_while_valkey_counts(edge: Fleet) -> None:
    hours = {"days": list(DAYS), "start": "00:00", "end": "24:00"}
    restricted = Restrictions(parse_networks(["127.0.0.0/8"]), parse_rate("9/minute"), parse_windows([hours]))
    client = warm(make_token(edge, "machines:read", restrictions=restricted))

    assert at_the_gate(client) == at_the_gate(warm(make_token(edge, "machines:read")))


def test_whoami(edge: Fleet) -> None:
    assert of_call(warm(make_token(edge, "machines:read")), "/api/v1/whoami/") == {"SELECT": 9, "INSERT": 1}


def test_a_malformed_secret_touches_no_store(db: None) -> None:
    for value in ("Bearer", "Bearer x", "Bearer thp_" + "0" * 55, "Basic YTpi"):
        found = credentials.extract({"HTTP_AUTHORIZATION": value})
        assert isinstance(found, credentials.Credential)
        assert queries(lambda found=found: verification.prove(found)) == {}  # type: ignore[misc]


def test_an_unknown_secret_is_one_read(db: None) -> None:
    peppers.for_a_new_secret()  # proven once a process
    unknown = secret.generate("personal", secret.generate_id())
    found = credentials.extract({"HTTP_X_AUTH_TOKEN": unknown})
    assert isinstance(found, credentials.Credential)
    assert queries(lambda: verification.prove(found)) == {"SELECT": 1}


def test_verification_costs_the_same_however_much_its_principal_holds(
    acme: Organization, edge: Fleet
) -> None:
    little, much = fleet_member(edge, "viewer"), fleet_member(edge, "viewer")
    for number in range(6):
        fleet = make_fleet(acme, f"other-{number}")
        make_fleet_member(fleet, "operator", user=much)
        make_entry(acme, fleet.path, "Viewer", user=much)
        group = make_group(acme)
        make_entry(acme, make_machine(fleet).path, "GroupUser", group=group)
        make_group_member(group, user=much)
    _enter(little, acme)

    assert at_the_gate(warm(make_token(much, "machines:read"))) == at_the_gate(
        warm(make_token(little, "machines:read"))
    )


def test_verification_costs_the_same_for_one_machine_and_for_thirty(edge: Fleet) -> None:
    machines = [make_machine(edge) for _ in range(30)]
    paths = ("/fleets/edge",)

    def client(count: int) -> APIClient:
        rows = tuple(
            GrantWish(path, "Viewer") for path in (*paths, *(machine.path for machine in machines[:count]))
        )
        return warm(make_token(edge, "machines:read", grants=rows))

    assert at_the_gate(client(30)) == at_the_gate(client(1))


def _enter(user: User, organization: Organization) -> None:
    """One entry and one group, so that their queries are not left out for there being none."""
    fleet = make_fleet(organization, "one-more")
    group = make_group(organization)
    make_entry(organization, make_machine(fleet).path, "GroupUser", group=group)
    make_entry(organization, fleet.path, "Viewer", user=user)
    make_group_member(group, user=user)


# Changes


def test_a_token_is_issued_and_edited_without_asking_for_what_is_there(
    acme: Organization, edge: Fleet
) -> None:
    """Of a new token nothing is replaced; that its organization, owner and principal exist is known."""
    make_token(edge, "machines:read")
    token, owner = make_token(edge, "machines:read").token, session(owner_of(acme))
    renamed = lifecycle.edit(token, change=Edit(name="renamed"), by=owner)  # what a process asks once

    issue = queries(lambda: make_token(edge, "machines:read"))
    edit = queries(lambda: lifecycle.edit(renamed, change=Edit(name="again"), by=owner))

    assert issue == {"SELECT": 9, "INSERT": 8, "UPDATE": 1, "DELETE": 1}
    assert edit == {"SELECT": 13, "INSERT": 3, "UPDATE": 2, "DELETE": 1}


# Lists


def test_the_token_list_with_one_row_and_with_thirty(acme: Organization, edge: Fleet) -> None:
    client = session_client(owner_of(acme))

    def make() -> None:
        make_token(edge, "machines:read", machines=[make_machine(edge)])
        make_token(member(acme, "auditor"), "machines:read")

    make()
    one = of_call(client, "/api/v1/tokens/")
    for _ in range(15):
        make()
    thirty = of_call(client, "/api/v1/tokens/", limit=200)

    assert thirty == one


def test_the_machine_list_with_one_row_and_with_thirty(edge: Fleet) -> None:
    make_machine(edge, tags=["a", "b"])
    client = warm(make_token(edge, "machines:read"))
    one = of_call(client, "/api/v1/machines/")
    assert one == {"SELECT": 14, "INSERT": 1}
    for _ in range(30):
        make_machine(edge, tags=["a", "b"])

    assert of_call(client, "/api/v1/machines/", limit=200) == one


def test_the_list_of_events_with_few_rows_and_with_many(acme: Organization, edge: Fleet) -> None:
    client = session_client(owner_of(acme))
    few = of_call(client, "/api/v1/audit/events/", limit=1)
    for _ in range(10):
        make_machine(edge)

    assert Event.objects.count() > 10
    assert of_call(client, "/api/v1/audit/events/", limit=200) == few


def test_the_list_of_approvals_with_one_row_and_with_several(acme: Organization, edge: Fleet) -> None:
    """Who was shown a secret of each token is asked of all of them at once; so is which of them an auditor sees."""
    client, admin = session_client(make_approver(acme)), session(member(acme, "admin"))
    overseeing = session_client(member(acme, "auditor"))
    need_approvals(acme)

    def make(number: int) -> None:
        wish = Wish(scopes=parse_scopes(["commands:execute"]))
        issuance.issue(acme, owner=edge, name=f"risky-{number}", wish=wish, reason="A pilot", by=admin)

    make(0)
    one = of_call(client, "/api/v1/approvals/", status="open")
    overseen = of_call(overseeing, "/api/v1/approvals/", status="open")
    for number in range(1, 5):
        make(number)
        make_fleet(acme)

    assert ApprovalRequest.objects.waiting().count() == 5
    assert of_call(client, "/api/v1/approvals/", status="open") == one
    assert of_call(overseeing, "/api/v1/approvals/", status="open") == overseen
    assert overseen["SELECT"] <= 20
    assert one["SELECT"] <= 20
