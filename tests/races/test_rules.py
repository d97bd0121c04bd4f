"""Eight competitors over roles, entries and a token's rows: what is gone is not named, what ended is given nothing."""

import itertools
import random
from collections.abc import Callable

import pytest

from fleets import entries, role_changes
from fleets.models import AclEntry, OrganizationRole, User
from tests.factories import events, make_entry, make_role, make_token, member, operator, owner_of, session
from tests.invariants import Trail, assert_hold
from tests.races.contest import COMPETITORS, codes, contest, winners
from tests.world import World, client_of, door
from tokens import grants, lifecycle
from tokens.issuance import GrantWish, Issued
from tokens.models import Grant, Token

pytestmark = [pytest.mark.race, pytest.mark.timeout(900)]

_names = itertools.count(1)


def test_what_is_revoked_meanwhile_is_granted_nothing(
    world: World, trail: Trail, some_rounds: int, chance: random.Random
) -> None:
    for _ in range(some_rounds):
        issued = make_token(world.fleet, "machines:read", grants=(GrantWish("/fleets/edge", "NoAccess"),))
        others: list[Callable[[], object]] = [
            giving(issued, "/fleets/edge/machines", world.manager) for _ in range(3)
        ]
        others += [taking(issued, 1, world.manager) for _ in range(3)]
        others.append(giving(issued, "/fleets/edge", world.manager))
        chance.shuffle(others)

        outcomes = contest(revoking(issued, world.manager), *others)

        assert len(winners(outcomes[:1])) == 1, "the revocation wins over whatever else goes on"
        assert codes(outcomes) <= {"conflict", "illegal_move", "grant_exists", "not_found"}
        assert present(issued).status == Token.Status.REVOKED
        assert not Grant.objects.filter(token=issued.token).exists()
        assert client_of(issued).get(door(world)).status_code == 401
        assert_hold(trail)


def test_rows_given_at_once_are_one_at_a_path_and_none_is_lost(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        issued = make_token(world.fleet, "machines:read", grants=())

        outcomes = contest(
            *(giving(issued, "/fleets/edge", world.manager) for _ in range(COMPETITORS // 2)),
            *(giving(issued, "/fleets/edge/machines", world.manager) for _ in range(COMPETITORS // 2)),
        )

        given = winners(outcomes)
        assert codes(outcomes) <= {"conflict", "grant_exists"}
        assert 1 <= len(given) <= 2
        rows = list(Grant.objects.filter(token=issued.token).order_by("number").values_list("number", "path"))
        assert sorted((grant.number, grant.path) for grant in given) == rows
        assert client_of(issued).get(door(world)).status_code == (
            204 if "/fleets/edge" in dict(rows).values() else 403
        )
        assert_hold(trail)


def test_a_role_is_removed_or_named_never_both(world: World, trail: Trail, some_rounds: int) -> None:
    people = [member(world.organization) for _ in range(COMPETITORS - 1)]
    for _ in range(some_rounds):
        role = make_role(world.organization, f"Raced-{next(_names)}", "machines:read")

        outcomes = contest(
            unmaking(role, owner_of(world.organization)),
            *(naming(world, role, person) for person in people),
        )

        named = AclEntry.objects.filter(role=role.name).count()
        is_removed = OrganizationRole.objects.get(pk=role.pk).removed_at is not None
        assert is_removed == (named == 0)
        assert codes(outcomes) <= {"role_in_use", "invalid"}
        assert named in {0, len(people)}
        AclEntry.objects.all().delete()
        assert_hold(trail)


def test_an_entry_is_changed_or_removed_once(world: World, trail: Trail, some_rounds: int) -> None:
    for _ in range(some_rounds):
        entry = make_entry(world.organization, "/nodes", "Viewer", user=member(world.organization))
        changes = [changing(entry) for _ in range(COMPETITORS // 2)]
        removals = [removing(entry) for _ in range(COMPETITORS // 2)]

        outcomes = contest(*changes, *removals)

        assert len(winners(outcomes)) == 1, "each has read the same version"
        assert codes(outcomes) == {"conflict"}
        happened = events(target_id=str(entry.pk), outcome="allowed")[1:]
        is_there = AclEntry.objects.filter(pk=entry.pk, role="Operator").exists()
        assert happened == ["entry.changed allowed" if is_there else "entry.removed allowed"]
        AclEntry.objects.all().delete()
        assert_hold(trail)


def present(issued: Issued) -> Token:
    return Token.objects.presented().get(pk=issued.token.pk)


def revoking(issued: Issued, by: User) -> Callable[[], object]:
    return lambda: lifecycle.revoke(present(issued), by=session(by))


def giving(issued: Issued, path: str, by: User) -> Callable[[], Grant]:
    return lambda: grants.give(present(issued), row=GrantWish(path, "Viewer"), reason="raced", by=session(by))


def taking(issued: Issued, number: int, by: User) -> Callable[[], object]:
    return lambda: grants.take(present(issued), number=number, reason="raced", by=session(by))


def unmaking(role: OrganizationRole, by: User) -> Callable[[], object]:
    return lambda: role_changes.remove(role, by=session(by))


def naming(world: World, role: OrganizationRole, person: User) -> Callable[[], object]:
    return lambda: entries.set_entry(
        world.organization, path="/nodes", role=role.name, user=person, by=operator
    )


def changing(entry: AclEntry) -> Callable[[], object]:
    row = AclEntry.objects.get(pk=entry.pk)
    return lambda: entries.change_entry(row, changes={"role": "Operator"}, by=operator)


def removing(entry: AclEntry) -> Callable[[], object]:
    row = AclEntry.objects.get(pk=entry.pk)
    return lambda: entries.remove_entry(row, by=operator)
