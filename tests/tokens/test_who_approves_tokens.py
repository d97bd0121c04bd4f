"""Who may agree to what a token asks for, and that whoever asked could still do it then."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from approvals import decisions
from approvals.models import ApprovalRequest
from fleets import membership
from fleets.models import FleetMembership, Membership, User
from tests.factories import (
    acting,
    make_approver,
    make_entry,
    make_fleet_member,
    make_superuser,
    make_technical_user,
    make_token,
    member,
    need_approvals,
    operator,
    session,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import issue, present, wish
from tests.tokens.waiting import EDGE, EXECUTE, approve, call, edit, executing, refusal, request_of
from tokens import issuance, lifecycle
from tokens.issuance import Issued
from tokens.models import Token


def test_nobody_decides_on_what_they_asked_for_in_whatever_shape_they_come(
    world: World, approver: User
) -> None:
    """In their session, by their own token, as a superuser, by a technical user, as who edited it."""
    boss = make_superuser()
    bot = make_technical_user(world.acme)
    for path in ("/", EDGE):
        make_entry(world.acme, path, "Administrator", user=bot)
    for person in (world.owner, boss):
        issued = executing(world, by=person)
        assert refusal(approve, issued, person) == "own_request"
        assert present(issued).status == "pending"

    deciding = make_token(world.owner, "approvals:decide")
    own = executing(world, by=world.owner)
    assert refusal(approve, own, acting(deciding)) == "own_request"

    of_bot = issuance.issue(
        world.acme,
        owner=bot,
        name="bot",
        wish=wish("tokens:manage", *EXECUTE),
        by=operator,
    )
    Token.objects.filter(pk=of_bot.token.pk).update(created_by=None)
    lifecycle.rotate(present(of_bot), by=session(world.owner))
    fresh = lifecycle.rotate(present(of_bot), by=session(world.owner))
    by_bot = issue(acting(fresh), world.edge, wish(*EXECUTE))
    assert refusal(approve, by_bot, world.owner) == "own_request", "they know the secret that asked"
    assert refusal(approve, by_bot, acting(fresh)) == "forbidden", "a technical user decides nothing"

    for issued in (own, by_bot):
        assert not request_of(issued).decisions.exists()
        approve(issued, approver)
        assert present(issued).status == "active"


def test_who_may_decide_later_could_not_when_it_was_asked_for(world: World, approver: User) -> None:
    newcomer = member(world.acme)
    issued = executing(world)
    place = Membership.objects.get(user=newcomer)

    membership.change_role(place, role="approver", by=operator)

    assert refusal(approve, issued, newcomer) == "forbidden"
    approve(executing(world), newcomer)
    approve(issued, approver)


def test_who_learns_a_secret_has_no_vote_and_loses_one(world: World, approver: User) -> None:
    knowing = make_fleet_member(world.edge, "manager", user=make_approver(world.acme)).user
    third = make_approver(world.acme)
    need_approvals(world.acme, high=2)
    issued = make_token(world.edge, "machines:read")
    edit(issued, world.manager, wish=wish(*EXECUTE))
    approve(issued, knowing)

    lifecycle.rotate(present(issued), overlap=timedelta(hours=1), by=session(knowing))

    approve(issued, approver)
    assert present(issued).scopes == ["machines:read"], "one of the two knows what it would do more with"
    assert refusal(approve, issued, knowing) == "own_request"
    approve(issued, third)
    assert present(issued).scopes == sorted(EXECUTE)


@pytest.mark.parametrize("times", [1, 2])
def test_who_lets_a_token_rotate_itself_knows_what_it_is_given(
    world: World, approver: User, times: int
) -> None:
    make_fleet_member(world.edge, "manager", user=approver)
    issued = make_token(world.edge, "machines:read")
    shown = lifecycle.rotate(present(issued), by=session(approver))
    for generation in range(2, 2 + times):
        shown = lifecycle.rotate(present(issued), generation=generation, by=acting(shown))

    edit(issued, world.manager, wish=wish(*EXECUTE))

    assert refusal(approve, issued, approver) == "own_request"
    approve(issued, world.owner)
    assert present(issued).scopes == sorted(EXECUTE)


def test_a_vote_is_void_once_its_voter_may_not_decide_any_more(world: World, approver: User) -> None:
    leaving, third = make_approver(world.acme), make_approver(world.acme)
    need_approvals(world.acme, high=2)
    issued = executing(world)
    approve(issued, leaving)
    membership.change_role(Membership.objects.get(user=leaving), role="member", by=operator)

    approve(issued, approver)

    assert present(issued).status == "pending"
    approve(issued, third)
    assert present(issued).status == "active"


def lost_their_fleet(world: World, asked: Issued) -> None:
    membership.leave_fleet(FleetMembership.objects.get(user=world.manager), by=operator)


def were_suspended(world: World, asked: Issued) -> None:
    membership.suspend(Membership.objects.get(user=world.manager), by=operator)


def were_denied_it(world: World, asked: Issued) -> None:
    make_entry(world.acme, EDGE, "NoAccess", user=world.manager)


@pytest.mark.parametrize("lose", [lost_their_fleet, were_suspended, were_denied_it])
@pytest.mark.parametrize("what", ["issue", "change"])
def test_what_its_asker_could_not_do_any_more_is_not_done(
    world: World, approver: User, what: str, lose: Callable[[World, Issued], None]
) -> None:
    issued = executing(world) if what == "issue" else make_token(world.edge, "machines:read")
    if what == "change":
        edit(issued, world.manager, wish=wish(*EXECUTE))
    before = present(issued)

    lose(world, issued)

    assert refusal(approve, issued, approver) == "requester_lost_right"
    assert (present(issued).status, present(issued).scopes) == (before.status, before.scopes)
    request = request_of(issued)
    decisions.reject(request, digest=request.diff_digest, comment="They left", by=session(approver))
    assert present(issued).open_request is None


@pytest.mark.parametrize("how", ["revoked", "disabled", "narrowed"])
def test_what_a_token_asked_for_needs_that_token_as_it_is(world: World, approver: User, how: str) -> None:
    parent = make_token(world.manager, "tokens:manage", *EXECUTE)
    issued = issue(acting(parent), world.edge, wish(*EXECUTE))
    twin = issue(acting(parent), world.edge, wish(*EXECUTE))
    approve(twin, approver)
    assert call(twin) == "works"

    if how == "revoked":
        lifecycle.revoke(present(parent), by=session(world.manager))
    elif how == "disabled":
        lifecycle.disable(present(parent), by=session(world.manager))
    else:
        edit(parent, world.manager, wish=wish("tokens:manage", "machines:read"))

    assert refusal(approve, issued, approver) == "requester_lost_right"
    assert call(twin) == "works", "what was agreed to lives on"


def test_who_widens_what_waits_is_who_has_to_hold_it_then(world: World, approver: User) -> None:
    issued = executing(world)
    lost_their_fleet(world, issued)
    assert refusal(approve, issued, approver) == "requester_lost_right"

    edit(issued, world.admin, wish=wish("commands:execute"))
    assert refusal(approve, issued, approver) == "requester_lost_right", "less is no other's wish"
    edit(issued, world.admin, wish=wish(*EXECUTE, "machines:write"))

    approve(issued, approver)
    assert present(issued).status == "active"
    assert set(ApprovalRequest.objects.get().originators.all()) == {world.manager, world.admin}


def test_it_is_kept_who_was_shown_a_secret(world: World) -> None:
    def shown(issued: Issued) -> set[str]:
        return set(present(issued).secrets.latest("generation").shown_to)

    by_manager = issue(session(world.manager), world.edge, wish("machines:read"))
    parent = make_token(world.owner, "tokens:manage", "machines:read")
    by_token = issue(acting(parent), world.edge, wish("machines:read"))
    by_operator = make_token(world.edge, "machines:read")

    assert shown(by_manager) == {str(world.manager.pk)}
    assert shown(by_token) == {str(world.owner.pk)}
    assert shown(by_operator) == set()
    lifecycle.rotate(present(by_manager), by=session(world.admin))
    assert shown(by_manager) == {str(world.admin.pk)}
    itself = lifecycle.rotate(present(by_token), generation=1, by=acting(by_token))
    assert shown(itself) == {str(world.owner.pk), str(present(by_token).principal_id)}
