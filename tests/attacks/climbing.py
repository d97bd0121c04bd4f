"""One organization with somebody at every place from which one could climb, and how they try it.

What is tried stands in the tests of escalation; the house is filled once a module (`house` in conftest).
"""

import json
from typing import Any

from rest_framework.test import APIClient

from fleets import role_changes
from fleets.scopes import Scope, parse_scopes
from tests.factories import (
    API,
    application_owner,
    events,
    fleet_member,
    make_application,
    make_entry,
    make_fleet,
    make_group,
    make_group_member,
    make_machine,
    make_organization,
    make_token,
    member,
    operator,
    owner_of,
)
from tests.tokens.issuing import REASON
from tokens.issuance import Issued
from tokens.models import Token

EVERYTHING = sorted(scope.value for scope in Scope)
RULES = ["machines:read", "permissions:manage", "tokens:manage"]


class House:
    """One organization with somebody at every place from which one could climb."""

    def __init__(self) -> None:
        self.acme = make_organization("acme")
        self.edge, self.core = make_fleet(self.acme, "edge"), make_fleet(self.acme, "core")
        self.edge_1 = make_machine(self.edge, "edge-1", vmid=101)
        self.core_1 = make_machine(self.core, "core-1")
        self.crew = make_group(self.acme, "crew")
        make_entry(self.acme, "/fleets/edge", "Viewer", group=self.crew)
        self.owner = owner_of(self.acme)
        self.admin = member(self.acme, "admin")
        self.approver = member(self.acme, "approver")
        self.member = member(self.acme)
        self.manager, self.viewer = fleet_member(self.edge, "manager"), fleet_member(self.edge)
        self.leader = make_group_member(self.crew, "admin").user
        self.worker = make_group_member(self.crew).user
        self.app = make_application(self.acme, "app")
        self.author = application_owner(self.app)
        self.of_app = make_token(self.app, "machines:read", "machines:operate")
        self.keeper = role_changes.add(self.acme, name="Keeper", scopes=parse_scopes(RULES), by=operator)


def said(answer: Any) -> tuple[int, str]:
    """The status, and the code of a refusal."""
    document = answer.json() if answer.content else {}
    return answer.status_code, document.get("code", "")


def send(client: APIClient, method: str, path: str, body: Any = None) -> Any:
    return client.generic(method, API + path, "" if body is None else json.dumps(body), "application/json")


def issue(client: APIClient, **asked: Any) -> Any:
    """POST tokens/; the kind is said by the owner."""
    return send(
        client, "POST", "tokens/", {"name": f"asked-{Token.objects.count()}", "reason": REASON, **asked}
    )


def stored(issued: Issued) -> dict[str, Any]:
    """The token's row, but for when it was used."""
    row = Token.objects.filter(pk=issued.token.pk).values().get()
    return {name: value for name, value in row.items() if not name.startswith("last_used")}


def denials(action: str) -> list[str]:
    return [line for line in events(action=action) if line.endswith("denied")]


def entry_of(**asked: Any) -> dict[str, Any]:
    return {"path": "/fleets/edge", "role": "Viewer", **asked}
