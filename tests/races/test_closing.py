"""Owners that close while their tokens are issued, rotated, edited: nothing of theirs is left that works."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from fleets import entries, machines, membership, owners, technical_users
from fleets.models import AclEntry, Machine, Organization, TechnicalUser, User
from fleets.scopes import parse_scopes
from tests import factories
from tests.factories import make_entry, make_token, operator, session
from tests.invariants import Trail, assert_hold
from tests.races.contest import COMPETITORS, codes, contest, winners
from tests.world import World, client_of
from tokens import issuance, lifecycle
from tokens.issuance import Issued, Wish
from tokens.kinds import Owner
from tokens.models import Token

pytestmark = [pytest.mark.race, pytest.mark.timeout(900)]

READS = Wish(scopes=parse_scopes(["machines:read"]))
KINDS = ("fleet", "group", "application", "technical_user")
each_kind = pytest.mark.parametrize("kind", KINDS)
_numbers = itertools.count(1)


@each_kind
def test_what_closes_while_tokens_are_issued_keeps_none(
    world: World, trail: Trail, some_rounds: int, kind: str
) -> None:
    admin = factories.member(world.organization, "admin")
    for _ in range(some_rounds):
        owner = make_owner(world.organization, kind)

        outcomes = contest(closing(owner), *[issuing(world.organization, owner, admin)] * (COMPETITORS - 1))

        assert not isinstance(outcomes[0], Exception), outcomes[0]
        assert codes(outcomes[1:]) <= {"owner_closed", "owner_inactive"}
        assert not Token.objects.of_owner(owner).not_ended().exists()
        for issued in winners(outcomes[1:]):
            assert client_of(issued).get("/api/v1/whoami/").status_code == 401
        assert_hold(trail)


@each_kind
def test_what_closes_while_its_tokens_are_rotated_and_edited_leaves_no_secret_that_works(
    world: World, trail: Trail, some_rounds: int, kind: str
) -> None:
    admin = factories.member(world.organization, "admin")
    for _ in range(some_rounds):
        owner = make_owner(world.organization, kind)
        issued = [make_token(owner, "machines:read") for _ in range(3)]

        outcomes = contest(
            closing(owner),
            *(rotating(one, admin) for one in (*issued, issued[0])),
            *(widening(one, admin) for one in issued),
        )

        assert not isinstance(outcomes[0], Exception), outcomes[0]
        assert codes(outcomes[1:]) <= {"owner_closed", "owner_inactive", "conflict", "illegal_move"}
        assert not Token.objects.of_owner(owner).not_ended().exists()
        rotated = [one for one in winners(outcomes[1:]) if isinstance(one, Issued)]
        for one in (*issued, *rotated):
            assert client_of(one).get("/api/v1/whoami/").status_code == 401
        assert_hold(trail)


@pytest.mark.parametrize("kind", ["fleet", "group", "application"])
def test_what_closes_while_people_join_closes_once_and_lets_nobody_in_afterwards(
    world: World, trail: Trail, some_rounds: int, kind: str
) -> None:
    for _ in range(some_rounds):
        owner = make_owner(world.organization, kind)
        people = [factories.member(world.organization) for _ in range(COMPETITORS - 2)]

        outcomes = contest(closing(owner), closing(owner), *(joining(owner, person) for person in people))

        assert len(winners(outcomes[:2])) == 1
        assert codes(outcomes) <= {"illegal_move", "conflict", "owner_closed"}
        assert factories.events(action=f"{kind}.closed", target_id=str(owner.pk)) == [
            f"{kind}.closed allowed"
        ]
        assert owner.memberships.count() == len(winners(outcomes[2:]))
        assert_hold(trail)


def test_a_fleet_that_closes_while_machines_come_and_change_leaves_no_live_one(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        fleet, other = (make_owner(world.organization, "fleet") for _ in range(2))
        there, visiting = factories.make_machine(fleet), factories.make_machine(other)
        vmid = 1000 + next(_numbers)

        outcomes = contest(
            closing(fleet),
            partial(machines.register, fleet, name="new", vmid=vmid, by=operator),
            partial(machines.register, fleet, name="newer", by=operator),
            on(machines.move, visiting, fleet=fleet),
            on(machines.move, there, fleet=other),
            on(machines.retag, there, tags=["x"]),
            on(machines.deregister, there),
        )

        assert not isinstance(outcomes[0], Exception), outcomes[0]
        assert codes(outcomes[1:]) <= {"owner_closed", "conflict", "illegal_move"}
        assert not Machine.objects.filter(fleet=fleet, deregistered_at=None).exists()
        assert factories.make_machine(world.fleet, vmid=vmid).vmid == vmid
        assert_hold(trail)


@pytest.mark.parametrize("kind", ["group", "technical_user"])
def test_nothing_comes_to_name_what_is_gone(world: World, trail: Trail, some_rounds: int, kind: str) -> None:
    for _ in range(some_rounds):
        owner = make_owner(world.organization, kind)
        named: dict[str, Any] = {"group": owner} if kind == "group" else {"user": owner}

        outcomes = contest(
            closing(owner),
            *(setting(world.organization, f"/nodes/n{number}", named) for number in range(COMPETITORS - 1)),
        )

        assert not isinstance(outcomes[0], Exception), outcomes[0]
        assert codes(outcomes[1:]) <= {"owner_closed", "invalid"}
        assert not AclEntry.objects.filter(**named).exists()
        assert_hold(trail)


def make_owner(organization: Organization, kind: str) -> Any:
    if kind == "technical_user":
        user = factories.make_technical_user(organization)
        make_entry(organization, "/", "Viewer", user=user)
        return user
    makers: dict[str, Any] = {
        "fleet": factories.make_fleet,
        "group": factories.make_group,
        "application": factories.make_application,
    }
    owner = makers[kind](organization)
    if kind == "group":
        make_entry(organization, "/", "GroupUser", group=owner)
    return owner


def closing(owner: Any) -> Callable[[], Any]:
    if isinstance(owner, User):
        rows = TechnicalUser.objects.select_related("user", "organization")
        return lambda: technical_users.remove(rows.get(pk=owner.pk), by=operator)
    close = getattr(owners, f"close_{owner._meta.model_name}")
    return lambda: close(type(owner).objects.get(pk=owner.pk), by=operator)


def issuing(organization: Organization, owner: Owner, by: User) -> Callable[[], Issued]:
    return lambda: issuance.issue(
        organization, owner=owner, name=f"raced-{next(_numbers)}", wish=READS, by=session(by)
    )


def rotating(issued: Issued, by: User) -> Callable[[], Issued]:
    return lambda: lifecycle.rotate(present(issued.token), by=session(by))


def widening(issued: Issued, by: User) -> Callable[[], Token]:
    """For a group's, with another role of its technical user."""
    wish = Wish(scopes=parse_scopes(["machines:read", "snapshots:read"]))
    change = lifecycle.Edit(wish=wish)
    return lambda: lifecycle.edit(present(issued.token), change=change, reason="raced", by=session(by))


def joining(owner: Any, person: User) -> Callable[[], Any]:
    kind = owner._meta.model_name
    role = {"fleet": "viewer", "group": "user", "application": "owner"}[kind]
    return lambda: getattr(membership, f"join_{kind}")(owner, user=person, role=role, by=operator)


def setting(organization: Organization, path: str, named: dict[str, Any]) -> Callable[[], Any]:
    return lambda: entries.set_entry(organization, path=path, role="Viewer", by=operator, **named)


def on(verb: Callable[..., Any], row: Any, **said: Any) -> Callable[[], Any]:
    return lambda: verb(present(row), **said, by=operator)


def present(row: Any) -> Any:
    return type(row).objects.get(pk=row.pk)
