"""If-Match at every verb on what has an entity tag: who decided by what they read before changes nothing. And what
the body of a DELETE says is read, not passed over. And the description names the headers where they count.

The commands are those of test_bodies, which misses none; what takes no body comes from the URL map.
"""

import json
import re

import pytest
from django.db import transaction

from config.edge.description import described
from tests.attacks.estate import Estate
from tests.attacks.tables import nothing_changes
from tests.attacks.test_bodies import COMMANDS, Command, Sender, assert_refused
from tests.attacks.test_other_organizations import API_ROUTES, offered

pytestmark = pytest.mark.django_db

STALE = '"0"'
UNTAGGED = {  # beside the verbs that make something in a list: what they are about has no entity tag
    ("POST", "tokens/revoke-all/"),
    ("POST", "machines/{machine_id}/actions/"),
    ("POST", "fleets/{fleet_id}/members/"),
    ("POST", "groups/{group_id}/members/"),
    ("POST", "applications/{application_id}/members/"),
    ("POST", "organizations/{id}/policy-preview/"),
    ("POST", "webhooks/{webhook_id}/deliveries/{id}/retry/"),
    ("DELETE", "webhooks/{webhook_id}/deliveries/{id}/"),
}
DELETIONS = [
    Command(
        "DELETE",
        re.sub("<(pk|(.+?))>", lambda found: f"{{{found[2] or 'id'}}}", route.removeprefix("/api/v1/")),
        {},
    )
    for route in ["/api/v1/token/", *API_ROUTES]
    if "DELETE" in offered(route)
]


def is_tagged(command: Command) -> bool:
    makes_in_a_list = command.method == "POST" and command.path.count("/") == 1
    return not makes_in_a_list and (command.method, command.path) not in UNTAGGED


@pytest.mark.parametrize(
    "command",
    [command for command in [*COMMANDS, *DELETIONS] if is_tagged(command)],
    ids=lambda command: f"{command.method} {command.path}",
)
def test_what_was_changed_since_it_was_read_stays(command: Command, estate: Estate) -> None:
    sender, body = Sender(command, estate), json.dumps(command.body).encode()

    with nothing_changes():
        stale = sender.raw(body, HTTP_IF_MATCH=STALE)
        malformed = sender.raw(body, HTTP_IF_MATCH="7")

    assert_refused(stale, 412)
    assert stale.json()["code"] == "precondition_failed"
    assert_refused(malformed, 400)


@pytest.mark.parametrize("command", DELETIONS, ids=lambda command: command.path)
def test_a_body_of_a_deletion_that_says_what_is_not_asked_is_refused_by_name(
    command: Command, estate: Estate
) -> None:
    sender = Sender(command, estate)

    with nothing_changes():
        response = sender.raw(b'{"resaon": "because"}')

    assert_refused(response, 400)
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [
        ("resaon", "unknown_field")
    ]


def naming(header: str) -> set[tuple[str, str]]:
    """The operations whose description names a header."""
    return {
        (method.upper(), path.removeprefix("/api/v1/"))
        for path, methods in described()["paths"].items()
        for method, operation in methods.items()
        if header in {parameter["name"] for parameter in operation.get("parameters", ())}
    }


def test_if_match_is_described_exactly_where_it_counts() -> None:
    tagged = {(command.method, command.path) for command in [*COMMANDS, *DELETIONS] if is_tagged(command)}

    assert naming("If-Match") - {("POST", "tokens/{token_id}/emergency-access/")} == tagged


def test_an_idempotency_key_is_described_exactly_where_it_is_read(estate: Estate) -> None:
    read = set()

    for command in COMMANDS:
        with transaction.atomic():
            body = json.dumps(command.body).encode()
            response = Sender(command, estate).raw(body, HTTP_IDEMPOTENCY_KEY="a b")
            transaction.set_rollback(True)
        if response.status_code == 400 and response.json()["code"] == "bad_idempotency_key":
            read.add((command.method, command.path))

    by_superusers = {("POST", "organizations/"), ("POST", "tokens/{token_id}/emergency-access/")}
    assert naming("Idempotency-Key") - by_superusers == read
