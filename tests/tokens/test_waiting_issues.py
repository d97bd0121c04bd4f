"""A new token that waits: nothing risky works before somebody else agreed, by whatever way it was asked for."""

from typing import Any

import pytest
import time_machine

from approvals import decisions, requests
from approvals.models import ApprovalRequest
from config.edge.clock import now
from config.edge.refusals import Invalid
from fleets import organizations
from fleets.models import User
from tests.factories import (
    acting,
    as_stored,
    last_event,
    make_approver,
    make_entry,
    make_fleet_member,
    need_approvals,
    operator,
    session,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import issue, present, wish
from tests.tokens.waiting import (
    AT_HOME,
    DAY,
    EDGE,
    EXECUTE,
    approve,
    call,
    edit,
    executing,
    refusal,
    request_of,
    trail,
)
from tokens import lifecycle
from tokens.changes import Edit
from tokens.issuance import Expiry
from tokens.models import Token


def test_a_risky_token_waits_and_works_once_somebody_else_agreed(world: World, approver: User) -> None:
    issued = executing(world, reason="Nightly repair", expiry=Expiry(lifetime=7 * DAY))

    request = request_of(issued)
    assert (present(issued).status, call(issued)) == ("pending", "token_pending")
    assert (request.kind, request.needed, request.reason) == ("token_issue", 1, "Nightly repair")
    assert request.diff_words == [
        f"may use commands:execute on {EDGE}",
        f"may use machines:read on {EDGE}",
        "works for 7d from its approval",
        "works from any network",
    ]
    assert set(request.originators.all()) == {world.manager}
    assert request.diff["changes"]["scopes"] == [None, sorted(EXECUTE)]

    with time_machine.travel(now() + 2 * DAY):
        approve(issued, approver, comment="Fine for a week")

    token = present(issued)
    assert token.status == "active"
    assert token.approved_at is not None
    assert token.approved_at - token.created_at > 2 * DAY
    assert token.expires_at == token.approved_at + 7 * DAY
    assert (token.lifetime, token.open_request) == (None, None)
    assert call(issued) == "works"
    assert trail(issued) == ["token.issued", "approval.requested", "approval.granted", "token.activated"]
    activated = last_event(action="token.activated")
    assert (activated.actor_id, activated.reason) == (str(approver.pk), "Nightly repair")
    assert activated.data["approval"] == str(request.pk)
    assert token.version == 2


@pytest.mark.parametrize("how", ["rejected", "withdrawn", "lapsed"])
def test_what_is_not_approved_ends_for_ever_with_all_that_it_had(
    world: World, approver: User, how: str
) -> None:
    issued = issue(
        session(world.manager),
        world.edge,
        wish(*EXECUTE, machines=(world.edge_1.pk,)),
    )
    request = request_of(issued)

    if how == "rejected":
        decisions.reject(request, digest=request.diff_digest, comment="No", by=session(approver))
    elif how == "withdrawn":
        requests.withdraw(request, reason="No need", by=session(world.manager))
    else:
        with time_machine.travel(now() + 3 * DAY):
            requests.lapse(request, by=operator)

    token = present(issued)
    assert (token.status, token.status_reason, token.open_request) == ("rejected", how, None)
    assert (list(token.grants.all()), list(token.machine_rows.all())) == ([], [])
    assert not token.principal.is_active
    assert call(issued) == "token_rejected"
    assert trail(issued)[2:] == [f"approval.{how}", "token.rejected"]
    assert last_event(action="token.rejected").data["approval"] == str(request.pk)
    again = ApprovalRequest.objects.get(pk=request.pk)
    assert (
        refusal(decisions.approve, again, digest=again.diff_digest, by=session(world.owner)) == "illegal_move"
    )


def test_where_nobody_else_could_agree_there_is_no_token_and_no_secret(world: World) -> None:
    type(world.acme).objects.update(policy={"approvals_needed": {"high": 1}})
    users = User.objects.count()

    assert refusal(executing, world, by=world.owner) == "approvers_missing"

    assert (Token.objects.count(), User.objects.count()) == (0, users)
    assert executing(world).token.status == "pending", "the owner decides on what others ask for"


def test_an_end_that_came_before_the_approval_is_no_end_to_begin_with(world: World, approver: User) -> None:
    issued = executing(world, expiry=Expiry(at=now() + DAY))

    with time_machine.travel(now() + 2 * DAY, tick=False):
        assert refusal(approve, issued, approver) == "expired_meanwhile"
        assert present(issued).status == "pending"
        edit(issued, world.manager, expires_at=now() + DAY)
        approve(issued, approver)

    assert present(issued).status == "active"


@pytest.mark.parametrize("edited_by_the_operator", [False, True])
@pytest.mark.parametrize(
    ("asked", "stricter", "allowed"),
    [
        (Expiry(), {"never_allowed": False}, Expiry(lifetime=30 * DAY)),
        (Expiry(), {"never_allowed": False, "maximum_lifetime_days": 30}, Expiry(lifetime=30 * DAY)),
        (Expiry(), {"maximum_lifetime_days": 30}, Expiry(lifetime=30 * DAY)),
        (Expiry(lifetime=31 * DAY), {"maximum_lifetime_days": 30}, Expiry(lifetime=30 * DAY)),
        (Expiry(at=now() + 40 * DAY), {"maximum_lifetime_days": 30}, Expiry(at=now() + 29 * DAY)),
        (None, {"networks_required": {"high": True}}, None),
    ],
)
def test_what_the_policy_came_to_forbid_is_not_approved_until_it_is_asked_for_otherwise(
    world: World,
    approver: User,
    asked: Expiry | None,
    stricter: dict[str, Any],
    allowed: Expiry | None,
    edited_by_the_operator: bool,
) -> None:
    issued, beside = executing(world, expiry=asked), executing(world, expiry=allowed, restrictions=AT_HOME)
    if edited_by_the_operator:
        wider = Edit(wish=wish(*EXECUTE, "files:read"))
        lifecycle.edit(present(issued), change=wider, by=operator)
    before = present(issued)
    organizations.set_policy(as_stored(world.acme), changes=stricter, by=operator)

    assert refusal(approve, issued, approver) == "requester_lost_right"

    token = present(issued)
    assert (token.status, token.version, call(issued)) == ("pending", before.version, "token_pending")
    assert not request_of(issued).decisions.exists()
    approve(beside, approver)
    assert call(beside) == "works"
    edit(issued, world.manager, restrictions=AT_HOME, expires_at=now() + 29 * DAY)
    approve(issued, approver)
    assert call(issued) == "works"


def test_a_widening_of_what_waits_answers_for_its_end_though_that_stays(world: World, approver: User) -> None:
    issued = executing(world, expiry=Expiry())
    organizations.set_policy(as_stored(world.acme), changes={"never_allowed": False}, by=operator)

    with pytest.raises(Invalid) as refused:
        edit(issued, world.manager, wish=wish(*EXECUTE, "files:read"))

    assert [(error.field, error.code) for error in refused.value.errors] == [
        ("expires_at", "never_not_allowed")
    ]
    assert present(issued).scopes == sorted(EXECUTE)


def test_low_risk_and_the_operator_need_nobody(world: World, approver: User) -> None:
    assert issue(session(world.manager), world.edge, wish("machines:read")).token.status == "active"
    assert issue(operator, world.edge, wish(*EXECUTE)).token.status == "active"
    assert not ApprovalRequest.objects.exists()


def test_an_edit_of_what_waits_changes_what_is_decided_and_who_may(world: World, approver: User) -> None:
    editor = make_fleet_member(world.edge, "manager", user=make_approver(world.acme)).user
    other = make_approver(world.acme)
    need_approvals(world.acme, high=2)
    issued = executing(world)
    seen = request_of(issued)
    decisions.approve(seen, digest=seen.diff_digest, by=session(approver))

    edit(issued, editor, wish=wish(*EXECUTE, "machines:write"), expires_at=now() + 5 * DAY)

    request = request_of(issued)
    assert request.pk == seen.pk
    assert f"may use machines:write on {EDGE}" in request.diff_words
    assert present(issued).scopes == sorted([*EXECUTE, "machines:write"])
    assert refusal(decisions.approve, seen, digest=seen.diff_digest, by=session(other)) == "diff_changed"
    assert refusal(approve, issued, editor) == "own_request"
    assert not request.decisions.filter(voided_at=None).exists()
    approve(issued, other)
    assert present(issued).status == "pending", "the first vote was on something else"
    approve(issued, approver)
    assert present(issued).status == "active"
    assert trail(issued).count("approval.granted") == 3
    assert present(issued).version == 1 + 2


def test_who_approves_reads_why_it_is_what_it_is_now(world: World, approver: User) -> None:
    issued = executing(world, reason="Nightly report")

    edit(issued, world.manager, reason="Replace files", wish=wish(*EXECUTE, "files:write"))

    assert request_of(issued).reason == "Replace files"
    approve(issued, approver)
    assert last_event(action="token.activated").reason == "Replace files"


def test_a_group_that_gains_later_lets_a_token_do_no_more_than_was_agreed_to(
    world: World, approver: User
) -> None:
    """A group gained later: the ceiling stands, whatever its principal comes to hold."""
    issued = issue(session(world.manager), world.manager, wish("commands:execute"))
    approve(issued, approver)
    make_entry(world.acme, "/", "Administrator", user=world.manager)

    assert acting(issued).rights(world.acme.pk).anywhere == {"commands:execute"}


def test_splitting_what_is_risky_over_tokens_lowers_no_risk(world: World, approver: User) -> None:
    """Each holds what makes it risky, or is none."""
    tokens = [issue(session(world.manager), world.edge, wish(scope)).token for scope in EXECUTE]

    assert [(token.risk, token.status) for token in tokens] == [(2, "pending"), (0, "active")]
    whole = issue(session(world.manager), world.manager, wish("machines:read", privilege_separation=False))
    assert whole.token.status == "pending", "its rights are all that its owner comes to hold"
