"""Every change that the API offers, ready to be sent while something is broken."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.test import Client

from fleets import membership
from fleets.models import Membership
from tests import factories
from tests.factories import make_token
from tests.world import World, client_of
from tokens import lifecycle
from tokens.models import Token

API = "/api/v1/"
Send = Callable[[], Any]  # answers as a test client does


@dataclass(frozen=True)
class Command:
    """One change: what it answers when all is well, and how to get ready to send it while all is."""

    name: str
    status: int
    prepare: Callable[[World], Send]


def issue(world: World) -> Send:
    body = {"kind": "fleet", "owner": "edge", "name": "new", "scopes": ["machines:read"]}
    return _by_the_owner(world, "post", "tokens/", body)


def edit(world: World) -> Send:
    return _by_the_owner(world, "patch", f"tokens/{_token(world)}/", {"scopes": ["machines:read"]})


def rotate(world: World) -> Send:
    return _by_the_owner(world, "post", f"tokens/{_token(world)}/rotate/", {"overlap": "1h"})


def disable(world: World) -> Send:
    return _by_the_owner(world, "post", f"tokens/{_token(world)}/disable/", {})


def enable(world: World) -> Send:
    token = _token(world)
    lifecycle.disable(Token.objects.get(pk=token), by=factories.operator)
    return _by_the_owner(world, "post", f"tokens/{token}/enable/", {})


def revoke(world: World) -> Send:
    return _by_the_owner(world, "post", f"tokens/{_token(world)}/revoke/", {})


def revoke_all(world: World) -> Send:
    fleet = factories.make_fleet(world.organization)
    for _ in range(3):
        make_token(fleet, "machines:read")
    body = {"owner": f"fleet:{fleet.slug}", "reason": "They leaked"}
    return _by_the_owner(world, "post", "tokens/revoke-all/", body)


def rotate_itself(world: World) -> Send:
    return _by_itself(world, "post", "token/rotate/", {})


def narrow_itself(world: World) -> Send:
    return _by_itself(world, "patch", "token/", {"scopes": ["machines:read"]})


def revoke_itself(world: World) -> Send:
    return _by_itself(world, "delete", "token/", None)


def register(world: World) -> Send:
    return _by_the_owner(world, "post", "machines/", {"fleet": "edge", "name": "new", "vmid": 7})


def retag(world: World) -> Send:
    return _by_the_owner(world, "patch", f"machines/{_machine(world)}/", {"tags": ["new"]})


def move(world: World) -> Send:
    other = factories.make_fleet(world.organization)
    return _by_the_owner(world, "post", f"machines/{_machine(world)}/move/", {"fleet": other.slug})


def configure(world: World) -> Send:
    return _by_the_owner(world, "patch", f"machines/{_machine(world)}/configuration/", {"cpus": 2})


def request_action(world: World) -> Send:
    return _by_the_owner(world, "post", f"machines/{_machine(world)}/actions/", {"action": "start"})


def deregister(world: World) -> Send:
    return _by_the_owner(world, "delete", f"machines/{_machine(world)}/", None)


def invite(world: World) -> Send:
    body = {"username": "new", "name": "New", "role": "member"}
    return _by_the_owner(world, "post", "members/", body)


def change_role(world: World) -> Send:
    return _by_the_owner(world, "patch", f"members/{_member(world)}/", {"role": "auditor"})


def suspend(world: World) -> Send:
    return _by_the_owner(world, "post", f"members/{_member(world)}/suspend/", {})


def resume(world: World) -> Send:
    place = Membership.objects.get(pk=_member(world))
    membership.suspend(place, by=factories.operator)
    return _by_the_owner(world, "post", f"members/{place.pk}/resume/", {})


def leave(world: World) -> Send:
    return _by_the_owner(world, "delete", f"members/{_member(world)}/", None)


def join_fleet(world: World) -> Send:
    body = {"username": factories.member(world.organization).username, "role": "viewer"}
    return _by_the_owner(world, "post", f"fleets/{world.fleet.pk}/members/", body)


def change_fleet_role(world: World) -> Send:
    place = factories.make_fleet_member(world.fleet, "operator")
    path = f"fleets/{world.fleet.pk}/members/{place.pk}/"
    return _by_the_owner(world, "patch", path, {"role": "viewer"})


def leave_fleet(world: World) -> Send:
    place = factories.make_fleet_member(world.fleet, "operator")
    return _by_the_owner(world, "delete", f"fleets/{world.fleet.pk}/members/{place.pk}/", None)


def leave_group(world: World) -> Send:
    group = factories.make_group(world.organization)
    place = factories.make_group_member(group)
    return _by_the_owner(world, "delete", f"groups/{group.pk}/members/{place.pk}/", None)


def open_fleet(world: World) -> Send:
    return _by_the_owner(world, "post", "fleets/", {"slug": "new", "name": "New"})


def close_fleet(world: World) -> Send:
    fleet = factories.make_fleet(world.organization)
    factories.make_machine(fleet)
    make_token(fleet, "machines:read")
    return _by_the_owner(world, "delete", f"fleets/{fleet.pk}/", None)


def close_group(world: World) -> Send:
    group = factories.make_group(world.organization)
    factories.make_entry(world.organization, "/nodes/n1", "Viewer", group=group)
    return _by_the_owner(world, "delete", f"groups/{group.pk}/", None)


def join_application(world: World) -> Send:
    application = factories.make_application(world.organization)
    body = {"username": factories.member(world.organization).username}
    return _by_the_owner(world, "post", f"applications/{application.pk}/members/", body)


def make_technical_user(world: World) -> Send:
    return _by_the_owner(world, "post", "technical-users/", {"username": "robot"})


def remove_technical_user(world: World) -> Send:
    user = factories.make_technical_user(world.organization)
    return _by_the_owner(world, "delete", f"technical-users/{user.pk}/", None)


def set_policy(world: World) -> Send:
    body = {"policy": {"default_lifetime_days": 30}}
    return _by_the_owner(world, "patch", f"organizations/{world.organization.pk}/", body)


CREATING = (
    *(issue, register, request_action, invite, join_fleet, open_fleet),
    *(join_application, make_technical_user),
)
DELETING = (
    *(revoke_itself, deregister, leave, leave_fleet, leave_group),
    *(close_fleet, close_group, remove_technical_user),
)
COMMANDS = [
    *(Command(prepare.__name__, 201, prepare) for prepare in CREATING),
    *(Command(prepare.__name__, 204, prepare) for prepare in DELETING),
    *(
        Command(prepare.__name__, 200, prepare)
        for prepare in (
            *(edit, rotate, disable, enable, revoke, revoke_all, rotate_itself, narrow_itself),
            *(retag, move, configure, change_role, suspend, resume, change_fleet_role, set_policy),
        )
    ),
]
# What no verification depends on, so that no other process need learn of it.
UNPUBLISHED = {"retag", "configure", "request_action", "open_fleet", "make_technical_user"}


def _token(world: World) -> str:
    return make_token(world.fleet, "machines:read", "snapshots:read").token.pk


def _machine(world: World) -> str:
    return str(factories.make_machine(world.fleet).pk)


def _member(world: World) -> str:
    """A member with a token of their own, who manages the fleet."""
    person = factories.fleet_member(world.fleet, "manager")
    make_token(person, "machines:read")
    return str(person.memberships.get().pk)


def _by_the_owner(world: World, method: str, path: str, body: dict[str, Any] | None) -> Send:
    client = Client(raise_request_exception=False)
    client.force_login(factories.owner_of(world.organization))
    return _sending(client, method, path, body)


def _by_itself(world: World, method: str, path: str, body: dict[str, Any] | None) -> Send:
    issued = make_token(world.fleet, "machines:read", "snapshots:read")
    return _sending(client_of(issued), method, path, body)


def _sending(client: Client, method: str, path: str, body: dict[str, Any] | None) -> Send:
    content = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
    return partial(getattr(client, method), API + path, **content)
