"""Eight competitors over people, machines and requests: each happens once, and somebody is always left in charge."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from fleets import entries, machines, membership
from fleets.models import AclEntry, Machine, Membership, User
from tests.factories import make_machine, make_member, make_organization, make_person, operator, session
from tests.invariants import Trail, assert_hold
from tests.races.contest import COMPETITORS, codes, contest, winners
from tests.world import World
from tokens.models import Token

pytestmark = [pytest.mark.race, pytest.mark.timeout(900)]

_numbers = itertools.count(1000)


def test_owners_who_all_leave_at_once_leave_one_behind(world: World, trail: Trail, some_rounds: int) -> None:
    for _ in range(some_rounds):
        organization = make_organization()
        for _ in range(COMPETITORS - 1):
            make_member(organization, "owner")
        owners = Membership.objects.filter(organization=organization)

        outcomes = contest(*(leaving(owner) for owner in owners))

        assert len(winners(outcomes)) == COMPETITORS - 1
        assert codes(outcomes) == {"last_owner"}
        assert owners.present().count() == 1
        assert_hold(trail)


def test_two_last_owners_who_leave_and_demote_each_other_leave_one(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        organization = make_organization()
        make_member(organization, "owner")
        one, other = Membership.objects.filter(organization=organization)

        outcomes = contest(
            *(leaving(owner) for owner in (one, other)),
            *(demoting(owner, by.user) for owner, by in ((one, other), (other, one))),
            *(suspending(owner, by.user) for owner, by in ((one, other), (other, one))),
        )

        assert winners(outcomes)
        assert codes(outcomes) <= {"last_owner", "illegal_move", "conflict", "forbidden"}
        assert Membership.objects.active().filter(organization=organization, role="owner").count() == 1
        assert_hold(trail)


def test_a_person_joins_once(world: World, trail: Trail, some_rounds: int) -> None:
    for _ in range(some_rounds):
        person = make_person()

        outcomes = contest(*[joining(world, person)] * COMPETITORS)

        assert len(winners(outcomes)) == 1
        assert codes(outcomes) == {"already_member"}
        assert person.memberships.count() == 1
        assert_hold(trail)


def test_who_leaves_while_joining_the_fleet_is_in_neither(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        place = make_member(world.organization)
        join = [joining_fleet(world, place.user) for _ in range(COMPETITORS - 1)]

        outcomes = contest(leaving(place), *join)

        assert outcomes[0] is None
        assert codes(outcomes) <= {"invalid", "already_member"}
        assert not place.user.fleet_memberships.present().exists()
        assert_hold(trail)


def test_a_vmid_is_borne_by_one_live_machine(world: World, trail: Trail, some_rounds: int) -> None:
    for _ in range(some_rounds):
        vmid = next(_numbers)

        outcomes = contest(*(registering(world, f"{vmid}-{n}", vmid) for n in range(COMPETITORS)))

        assert len(winners(outcomes)) == 1
        assert codes(outcomes) == {"vmid_taken"}
        assert Machine.objects.filter(vmid=vmid).count() == 1
        assert_hold(trail)


def test_a_vmid_passes_on_only_once_its_machine_is_gone(world: World, trail: Trail, some_rounds: int) -> None:
    for _ in range(some_rounds):
        vmid = next(_numbers)
        old = make_machine(world.fleet, vmid=vmid)

        outcomes = contest(
            *(deregistering(old) for _ in range(COMPETITORS // 2)),
            *(registering(world, f"{vmid}-{n}", vmid) for n in range(COMPETITORS // 2)),
        )

        assert len(winners(outcomes[: COMPETITORS // 2])) == 1
        assert len(winners(outcomes[COMPETITORS // 2 :])) <= 1
        assert codes(outcomes) <= {"conflict", "illegal_move", "vmid_taken"}
        assert Machine.objects.live().filter(vmid=vmid).count() <= 1
        assert_hold(trail)


def test_a_free_path_never_comes_to_mean_a_machine_behind_an_entry(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        vmid = next(_numbers)
        people = [world.manager, *(make_member(world.organization).user for _ in range(3))]

        outcomes = contest(
            *(setting_an_entry(world, person, f"/vms/{vmid}") for person in people),
            *(registering(world, f"{vmid}-{n}", vmid) for n in range(COMPETITORS // 2)),
        )

        assert codes(outcomes) <= {"vmid_taken", "vmid_has_entries"}
        is_borne = Machine.objects.live().filter(vmid=vmid).exists()
        is_free_for_entries = AclEntry.objects.filter(path=f"/vms/{vmid}").exists()
        assert is_borne != is_free_for_entries
        assert_hold(trail)


def test_one_request_sent_eight_times_issues_one_token(world: World, trail: Trail, some_rounds: int) -> None:
    for _ in range(some_rounds):
        name = f"once-{next(_numbers)}"
        body = {"kind": "fleet", "owner": "edge", "name": name, "scopes": ["machines:read"]}

        answers = contest(*[sending(world.manager, body, key=name)] * COMPETITORS)

        issued = [answer for answer in answers if answer["status"] == 201]
        assert len(issued) == 1
        token = Token.objects.get(name=name)
        assert issued[0]["id"] == token.pk
        repeated = [answer for answer in answers if answer is not issued[0]]
        assert {(answer["status"], answer["code"], answer["id"]) for answer in repeated} == {
            (409, "already_done", token.pk)
        }
        assert not any("secret" in answer for answer in repeated)
        assert_hold(trail)


def leaving(place: Membership) -> Callable[[], None]:
    return lambda: membership.leave(Membership.objects.get(pk=place.pk), by=operator)


def demoting(place: Membership, by: User) -> Callable[[], None]:
    return lambda: membership.change_role(Membership.objects.get(pk=place.pk), role="member", by=session(by))


def suspending(place: Membership, by: User) -> Callable[[], None]:
    return lambda: membership.suspend(Membership.objects.get(pk=place.pk), by=session(by))


def joining(world: World, person: User) -> Callable[[], object]:
    return lambda: membership.join(world.organization, user=person, role="member", by=operator)


def joining_fleet(world: World, person: User) -> Callable[[], object]:
    return lambda: membership.join_fleet(world.fleet, user=person, role="viewer", by=operator)


def registering(world: World, name: str, vmid: int) -> Callable[[], object]:
    return lambda: machines.register(world.fleet, name=name, vmid=vmid, by=operator)


def deregistering(machine: Machine) -> Callable[[], None]:
    return lambda: machines.deregister(Machine.objects.get(pk=machine.pk), by=operator)


def setting_an_entry(world: World, person: User, path: str) -> Callable[[], object]:
    def run() -> object:
        entry = entries.set_entry(world.organization, path=path, role="Viewer", user=person, by=operator)
        return entry.path

    return run


def sending(person: User, body: dict[str, Any], *, key: str) -> Callable[[], dict[str, Any]]:
    """POST the body; the answer, with its status."""
    signed_in = Client()
    signed_in.force_login(person)

    def run() -> dict[str, Any]:
        client = Client()
        client.cookies = signed_in.cookies
        response = client.post(
            "/api/v1/tokens/",
            json.dumps(body),
            content_type="application/json",
            headers={"idempotency-key": key},
        )
        return {"code": "", **response.json(), "status": response.status_code}

    return run
