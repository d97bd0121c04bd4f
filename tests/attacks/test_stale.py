"""If-Match at every verb on what has an entity tag: who decided by what they read before changes nothing. And what
the body of a DELETE says is read, not passed over.

The commands are those of test_bodies, which misses none; what takes no body comes from the URL map.
"""

import json
import re

import pytest

from tests.attacks.estate import Estate
from tests.attacks.test_bodies import COMMANDS, Command, Sender, assert_refused, nothing_changes
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
