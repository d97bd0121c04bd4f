"""Eight competitors over who may do what: what is taken is gone for every later call, and two small steps at once give
nobody what neither could give alone.
"""

import itertools
from collections.abc import Callable
from threading import Event as Signal
from typing import Any

import pytest

from audit.models import Event
from config.edge.access import Access
from fleets import entries, holdings, membership, role_changes
from fleets.models import AclEntry, Group, GroupMembership, Membership, OrganizationRole, User
from fleets.scopes import parse_scopes
from tests.factories import (
    fleet_member,
    make_entry,
    make_group,
    make_member,
    make_role,
    make_token,
    member,
    operator,
    owner_of,
    session,
)
from tests.invariants import Trail, assert_hold
from tests.races.contest import COMPETITORS, START_DEADLINE, codes, contest, winners
from tests.races.test_tokens import use
from tests.world import World
from tokens import grants
from tokens.issuance import GrantWish, Issued
from tokens.models import Grant, Token

pytestmark = [pytest.mark.race, pytest.mark.timeout(900)]

RULES_A_GROUP = (
    *("machines:read", "machines:operate", "machines:configure", "machines:write", "commands:execute"),
    *("snapshots:read", "snapshots:write", "permissions:manage"),
)
_names = itertools.count(1)


def test_no_call_that_starts_after_a_role_was_narrowed_is_allowed_what_it_gave(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        role = make_role(world.organization, f"Narrowed-{next(_names)}", "machines:read", "snapshots:read")
        person = member(world.organization)
        make_entry(world.organization, "/", role.name, user=person)
        issued = make_token(person, "machines:read")
        answered = Signal()
        in_use = [Signal() for _ in range(COMPETITORS - 1)]

        outcomes = contest(
            narrowing(role, owner_of(world.organization), after=in_use, then=answered),
            *(use(world, issued, begun, answered) for begun in in_use),
        )

        for told in outcomes[1:]:
            assert told[0] == "204", "it worked before"
            assert told[-1] == "403 insufficient_scope"
            assert told == sorted(told), "refused once, refused for ever"
        assert_hold(trail)


def test_who_leaves_while_they_are_given_access_has_none(
    world: World, trail: Trail, some_rounds: int
) -> None:
    for _ in range(some_rounds):
        leaver = fleet_member(world.fleet, "manager")
        place = Membership.objects.get(user=leaver)
        issued = make_token(leaver, "machines:read", grants=())

        outcomes = contest(
            leaving(place),
            *(entering(world, f"/nodes/n{number}", "Viewer", operator, user=leaver) for number in range(4)),
            *(granting(issued, f"/fleets/edge/{end}".rstrip("/"), leaver) for end in ("", "machines", "")),
        )

        assert outcomes[0] is None
        assert codes(outcomes) <= {
            *("invalid", "conflict", "illegal_move", "forbidden", "grant_exists", "owner_inactive"),
            "exceeds_your_rights",
        }
        assert not AclEntry.objects.filter(user=leaver).exists()
        assert not Grant.objects.filter(token=issued.token).exists()
        assert Token.objects.get(pk=issued.token.pk).status_reason == "owner_left"
        assert not holdings.rights_of(User.objects.get(pk=leaver.pk), world.organization.pk).anywhere
        assert_hold(trail)


def test_a_denial_is_not_lifted_by_joining_a_group_while_the_group_is_named(
    world: World, trail: Trail, some_rounds: int
) -> None:
    """Joining a group that reaches nothing is harmless, and so is naming a group of nobody."""
    ruler = member(world.organization)
    role = make_role(world.organization, "Ruler", *RULES_A_GROUP)
    make_entry(world.organization, "/", role.name, user=ruler)
    for _ in range(some_rounds):
        denied = fleet_member(world.fleet, "manager")
        make_entry(world.organization, "/", "NoAccess", user=denied)
        group = make_group(world.organization)

        outcomes = contest(
            *(joining(group, denied, ruler) for _ in range(COMPETITORS // 2)),
            *(
                entering(world, world.fleet.path, "Viewer", session(ruler), group=group)
                for _ in range(COMPETITORS // 2)
            ),
        )

        assert codes(outcomes) <= {"already_member", "entry_exists", "exceeds_your_rights", "forbidden"}
        has_joined = GroupMembership.objects.present().filter(group=group, user=denied).exists()
        is_named = AclEntry.objects.filter(group=group).exists()
        assert has_joined != is_named
        held = holdings.rights_of(User.objects.get(pk=denied.pk), world.organization.pk)
        assert not held.at(world.fleet.path)
        assert_hold(trail)


def test_who_is_demoted_sets_no_entry_afterwards(world: World, trail: Trail, some_rounds: int) -> None:
    for _ in range(some_rounds):
        place = make_member(world.organization, "admin")
        people = [member(world.organization) for _ in range(COMPETITORS - 1)]
        owner = session(owner_of(world.organization))
        admins = [session(place.user) for _ in people]  # each has read what the admin holds

        outcomes = contest(
            demoting(place, owner),
            *(
                entering(world, "/nodes", "Viewer", by, user=person)
                for by, person in zip(admins, people, strict=True)
            ),
        )

        assert outcomes[0] is None
        assert codes(outcomes) <= {"forbidden"}
        demoted = Event.objects.get(action="member.role_changed", target_id=place.pk, outcome="allowed")
        given = Event.objects.filter(action="entry.set", actor_id=place.user_id, outcome="allowed")
        assert given.count() == len(winners(outcomes[1:])) == AclEntry.objects.filter(user__in=people).count()
        assert all(event.pk < demoted.pk for event in given)
        assert_hold(trail)


def narrowing(role: OrganizationRole, by: User, *, after: list[Signal], then: Signal) -> Callable[[], None]:
    """Take a scope from a role, as it was read before, while everybody is using it."""
    row, who = OrganizationRole.objects.select_related("organization").get(pk=role.pk), session(by)

    def run() -> None:
        try:
            for begun in after:
                assert begun.wait(START_DEADLINE)
            role_changes.change(row, scopes=parse_scopes(["snapshots:read"]), by=who)
        finally:
            then.set()

    return run


def leaving(place: Membership) -> Callable[[], None]:
    return lambda: membership.leave(Membership.objects.get(pk=place.pk), by=operator)


def entering(world: World, path: str, role: str, by: Access, **subject: Any) -> Callable[[], object]:
    return lambda: entries.set_entry(world.organization, path=path, role=role, by=by, **subject)


def granting(issued: Issued, path: str, by: User) -> Callable[[], object]:
    def run() -> object:
        token = Token.objects.presented().get(pk=issued.token.pk)
        return grants.give(token, row=GrantWish(path, "Viewer"), reason="raced", by=session(by))

    return run


def joining(group: Group, person: User, by: User) -> Callable[[], object]:
    return lambda: membership.join_group(group, user=person, role="user", by=session(by))


def demoting(place: Membership, by: Access) -> Callable[[], None]:
    return lambda: membership.change_role(Membership.objects.get(pk=place.pk), role="member", by=by)
