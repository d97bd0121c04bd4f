"""Votes, edits, ends and departures at once: one of them counts, and what was agreed to is what there is."""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from approvals import decisions, requests
from approvals.models import ApprovalRequest, Decision
from audit.models import Event
from config.edge.refusals import ChangedMeanwhile
from fleets import membership, organizations
from fleets.models import FleetMembership, Membership, Organization, User
from fleets.organization_policy import policy_of
from fleets.scopes import parse_scopes
from tests.factories import (
    as_stored,
    events,
    fleet_member,
    make_approver,
    make_request,
    make_token,
    need_approvals,
    operator,
    session,
)
from tests.invariants import Trail, assert_hold
from tests.races.contest import COMPETITORS, codes, contest, winners
from tests.world import World
from tokens import issuance, lifecycle
from tokens.changes import Edit
from tokens.issuance import Issued, Wish
from tokens.models import Token

pytestmark = [pytest.mark.race, pytest.mark.timeout(900)]

RISKY = Wish(scopes=parse_scopes(["commands:execute", "machines:read"]))
WIDER = Edit(wish=Wish(scopes=parse_scopes(["commands:execute", "machines:read", "machines:write"])))
NARROWER = Edit(wish=Wish(scopes=parse_scopes(["machines:read"])))
REFUSED = {"conflict", "illegal_move", "diff_changed", "requester_lost_right"}
_names = itertools.count(1)


@dataclass(frozen=True)
class Court:
    """Who decides in the world: eight, and two of them have to agree where that is asked."""

    world: World
    approvers: list[User]


@pytest.fixture
def court(world: World) -> Court:
    return Court(world, [make_approver(world.organization) for _ in range(COMPETITORS)])


@pytest.fixture(scope="session")
def rounds_of_votes(rounds: int) -> int:
    """What the product promises: 25 times in `make test`, 200 in the soak."""
    return 4 * rounds if "SOAK_ROUNDS" in os.environ else 25


def test_of_eight_votes_at_once_two_count_and_the_token_becomes_active_once(
    court: Court, trail: Trail, rounds_of_votes: int
) -> None:
    need_approvals(court.world.organization, high=2)
    for _ in range(rounds_of_votes):
        issued = waiting(court)
        request = request_of(issued)

        outcomes = contest(*(vote(request, user) for user in court.approvers))

        assert len(winners(outcomes)) == 2
        assert codes(outcomes) <= {"conflict", "illegal_move"}
        assert stored(request).status == "approved"
        assert Decision.objects.filter(request=request, voided_at=None).count() == 2
        assert Decision.objects.filter(request=request).count() == 2
        assert counted(issued) == {
            "token.issued": 1,
            "approval.requested": 1,
            "approval.granted": 2,
            "token.activated": 1,
        }
        assert (present(issued).status, present(issued).version) == ("active", 2)
        assert_hold(trail)


def test_an_approval_and_an_edit_at_once_never_make_active_what_nobody_saw(
    court: Court, trail: Trail, some_rounds: int
) -> None:
    need_approvals(court.world.organization)
    for _ in range(some_rounds):
        issued = waiting(court)
        request = request_of(issued)

        outcomes = contest(
            *(vote(request, user) for user in court.approvers[:4]),
            *(editing(issued, court.world.manager, WIDER) for _ in range(2)),
            *(editing(issued, court.world.manager, NARROWER) for _ in range(2)),
        )

        assert codes(outcomes) <= REFUSED
        agreed = Event.objects.filter(action="token.activated", target_id=issued.token.pk).first()
        if agreed is None:
            assert present(issued).status == "pending"
            assert not stored(request).decisions.filter(voided_at=None).exists()
        else:
            assert len(winners(outcomes[:4])) == 1
            assert stored(request).status == "approved"
        assert_hold(trail)


@pytest.mark.parametrize("of", ["issue", "change"])
def test_an_approval_beside_everything_that_ends_the_request_is_one_end(
    court: Court, trail: Trail, some_rounds: int, of: str
) -> None:
    need_approvals(court.world.organization)
    for _ in range(some_rounds):
        issued = waiting(court, of)
        request = request_of(issued)

        outcomes = contest(
            *(vote(request, user) for user in court.approvers[:3]),
            *(rejection(request, user) for user in court.approvers[3:5]),
            withdrawal(request, court.world.manager),
            revoking(issued, court.world.manager),
            *((editing(issued, court.world.manager, NARROWER),) if of == "change" else ()),
        )

        assert codes(outcomes) <= REFUSED
        ends = [action for action in counted(issued) if action in ENDS]
        assert len(ends) == 1
        assert counted(issued)[ends[0]] == 1
        assert stored(request).status == ends[0].partition(".")[2].replace("granted", "approved")
        assert present(issued).status in ("revoked", "rejected")
        assert_hold(trail)


def test_an_approval_while_who_asked_or_owns_it_leaves_leaves_nothing_of_theirs(
    court: Court, trail: Trail, some_rounds: int
) -> None:
    world = court.world
    need_approvals(world.organization)
    for _ in range(some_rounds):
        leaver = fleet_member(world.fleet, "manager")
        personal = waiting(court, by=leaver, owner=leaver)
        of_fleet = waiting(court, "change", by=leaver)
        asked = [request_of(personal), request_of(of_fleet)]

        outcomes = contest(
            leaving(leaver),
            leaving_the_fleet(leaver),
            *(vote(request, user) for request in asked for user in court.approvers[:3]),
        )

        assert codes(outcomes) <= REFUSED | {"forbidden"}
        assert present(personal).status == "revoked"
        assert present(of_fleet).status == "active"
        widened = stored(asked[1]).status == "approved"
        assert ("commands:execute" in present(of_fleet).scopes) == widened
        assert_hold(trail)


def test_changes_that_are_asked_for_at_once_leave_one_that_waits(
    court: Court, trail: Trail, some_rounds: int
) -> None:
    need_approvals(court.world.organization)
    for _ in range(some_rounds):
        issued = make_token(court.world.fleet, "machines:read")

        outcomes = contest(
            *(editing(issued, court.world.manager, WIDER, fresh=False) for _ in range(COMPETITORS))
        )

        assert codes(outcomes) <= {"conflict"}
        found = ApprovalRequest.objects.filter(subject_id=issued.token.pk)
        assert found.filter(status="open").count() == 1
        assert found.filter(status="superseded").count() == len(winners(outcomes)) - 1
        assert present(issued).open_request == found.get(status="open")
        assert present(issued).scopes == ["machines:read"]
        assert_hold(trail)


def test_an_approval_of_a_weaker_policy_beside_another_change_of_it_is_done_or_superseded(
    court: Court, trail: Trail, some_rounds: int
) -> None:
    """Whichever comes first, nothing waits for ever, and only what was agreed to is weakened."""
    acme = court.world.organization
    for number in range(some_rounds):
        lay_down(acme, {"approvals_needed": {"high": 1}, "never_allowed": False})
        request = make_request(acme, never_allowed=True)
        outcomes = contest(
            *(vote(request, user) for user in court.approvers[:3]),
            rejection(request, court.approvers[3]),
            reminding(request),
            partial(lay_down, acme, {"unused_limit_days": 30 + number}),
            partial(lay_down, acme, {"default_lifetime_days": 60 + number}),
        )

        assert codes(outcomes) <= REFUSED
        rules, status = policy_of(as_stored(acme)), stored(request).status
        assert status in {"approved", "rejected", "superseded"}
        assert rules.never_allowed == (status == "approved")
        assert (rules.unused_limit_days, rules.default_lifetime_days) == (30 + number, 60 + number)
        ends = [name for name in ENDS if ended_so(request, name)]
        assert [name.partition(".")[2].replace("granted", "approved") for name in ends] == [status]
        assert_hold(trail)


def lay_down(organization: Organization, changes: dict[str, Any]) -> None:
    """Read anew as often as somebody else was faster."""
    while True:
        try:
            organizations.set_policy(as_stored(organization), changes=changes, by=operator)
        except ChangedMeanwhile:
            continue
        return


def reminding(request: ApprovalRequest) -> Callable[[], None]:
    row = stored(request)
    return lambda: requests.remind(row, by=operator)


def ended_so(request: ApprovalRequest, action: str) -> bool:
    key = str(request.pk)
    return Event.objects.filter(action=action, outcome="allowed", data__approval=key).exists()


ENDS = {"approval.granted", "approval.rejected", "approval.withdrawn", "approval.superseded"}


def waiting(court: Court, of: str = "issue", *, by: User | None = None, owner: Any = None) -> Issued:
    """A token of the fleet that waits, or of which a change waits."""
    world = court.world
    owner, by = owner or world.fleet, by or world.manager
    if of == "issue":
        return issuance.issue(
            world.organization,
            owner=owner,
            name=f"raced-{next(_names)}",
            wish=RISKY,
            reason="raced",
            by=session(by),
        )
    issued = make_token(owner, "machines:read", "snapshots:read")
    lifecycle.edit(present(issued), change=WIDER, reason="raced", by=session(by))
    return issued


def present(issued: Issued) -> Token:
    return Token.objects.presented().get(pk=issued.token.pk)


def stored(request: ApprovalRequest) -> ApprovalRequest:
    return ApprovalRequest.objects.get(pk=request.pk)


def request_of(issued: Issued) -> ApprovalRequest:
    found = present(issued).open_request
    assert found is not None
    return found


def counted(issued: Issued) -> dict[str, int]:
    """How often what happened to it."""
    found: dict[str, int] = {}
    for text in events(target_id=issued.token.pk, outcome="allowed"):
        action = text.partition(" ")[0]
        found[action] = found.get(action, 0) + 1
    return found


def vote(request: ApprovalRequest, by: User) -> Callable[[], ApprovalRequest]:
    row = stored(request)  # each has read its own
    return lambda: decisions.approve(row, digest=row.diff_digest, by=session(by))


def rejection(request: ApprovalRequest, by: User) -> Callable[[], ApprovalRequest]:
    row = stored(request)
    return lambda: decisions.reject(row, digest=row.diff_digest, comment="raced", by=session(by))


def withdrawal(request: ApprovalRequest, by: User) -> Callable[[], ApprovalRequest]:
    row = stored(request)
    return lambda: requests.withdraw(row, by=session(by))


def revoking(issued: Issued, by: User) -> Callable[[], Token]:
    return lambda: lifecycle.revoke(present(issued), by=session(by))


def editing(issued: Issued, by: User, change: Edit, *, fresh: bool = True) -> Callable[[], Token]:
    """Of what is read when it begins, or was read before."""
    row = None if fresh else present(issued)
    return lambda: lifecycle.edit(row or present(issued), change=change, reason="raced", by=session(by))


def leaving(user: User) -> Callable[[], None]:
    place = Membership.objects.get(user=user)
    return lambda: membership.leave(place, by=operator)


def leaving_the_fleet(user: User) -> Callable[[], None]:
    place = FleetMembership.objects.get(user=user)
    return lambda: membership.leave_fleet(place, by=operator)
