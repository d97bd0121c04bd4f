"""Who decides, on exactly what they saw, and never on their own request; when enough agree, it is done at once."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from approvals import decisions, policy
from approvals.models import ApprovalRequest, Decision
from audit.models import OutboxRow
from config.edge.access import Access
from config.edge.refusals import DomainError, Invalid, Refused
from fleets import access, membership, organizations
from fleets.models import Organization, User
from fleets.organization_policy import policy_of
from tests.approvals.conftest import Place
from tests.factories import (
    acting,
    as_stored,
    events,
    fleet_member,
    last_event,
    make_approver,
    make_fleet,
    make_member,
    make_organization,
    make_person,
    make_request,
    make_superuser,
    make_token,
    member,
    need_approvals,
    operator,
    raise_risks,
    session,
)
from tests.tokens.issuing import issue, wish
from tests.tokens.waiting import request_of
from tokens.issuance import Issued

pytestmark = pytest.mark.django_db
Status = ApprovalRequest.Status


def approve(request: ApprovalRequest, by: User | Access, **more: Any) -> ApprovalRequest:
    access = session(by) if isinstance(by, User) else by
    return decisions.approve(request, **{"digest": request.diff_digest, **more}, by=access)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(DomainError) as caught:
        call()
    return caught.value.code


def is_done(place: Place) -> bool:
    return policy_of(as_stored(place.acme)).never_allowed


def untouched(request: ApprovalRequest, place: Place) -> bool:
    request.refresh_from_db()
    return request.status == Status.OPEN and not request.decisions.exists() and not is_done(place)


def as_operator_for(user: User) -> Access:
    return access.operator("root@tests", on_behalf_of=user)


# What a decision does


def test_an_approval_does_what_was_asked_at_once_and_says_so(place: Place) -> None:
    request = make_request(place.acme, by=place.admin, reason="The pilot")

    done = approve(request, place.ada, comment="Fine")

    assert done.status == Status.APPROVED
    assert done.closed_at is not None
    assert is_done(place)
    assert policy_of(as_stored(place.acme)).self_approval
    vote = Decision.objects.get()
    assert (vote.user, vote.verdict, vote.comment) == (place.ada, "approve", "Fine")
    assert vote.diff_digest == request.diff_digest
    granted = last_event(action="approval.granted")
    assert (granted.target_id, granted.reason) == (str(place.acme.pk), "Fine")
    assert granted.data["approval"] == str(request.pk)
    assert (granted.data["granted"], granted.data["needed"], granted.data["narrowed"]) == (1, 1, False)
    changed = last_event(action="policy.changed")
    assert (changed.actor_id, changed.reason) == (str(place.ada.pk), "The pilot")
    assert changed.data["approval"] == str(request.pk)


def test_one_rejection_ends_it_and_says_why(place: Place) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)
    approve(request, place.ada)

    done = decisions.reject(
        request, digest=request.diff_digest, comment="Not before the audit", by=session(place.ben)
    )

    assert (done.status, done.closed_at is not None) == (Status.REJECTED, True)
    assert last_event(action="approval.rejected").reason == "Not before the audit"
    assert not is_done(place)
    assert refusal(lambda: approve(request, place.owner)) == "illegal_move"


@pytest.mark.parametrize("comment", ["", " \t", "\u200b\u3164"])
def test_a_rejection_without_words_is_refused(place: Place, comment: str) -> None:
    request = make_request(place.acme, by=place.admin)

    with pytest.raises(Invalid) as caught:
        decisions.reject(request, digest=request.diff_digest, comment=comment, by=session(place.ada))

    assert caught.value.errors[0].field == "comment"
    assert untouched(request, place)


def test_of_two_approvals_the_second_does_it(place: Place) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)

    first = approve(request, place.ada)
    assert (first.status, is_done(place)) == (Status.OPEN, False)
    assert refusal(lambda: approve(request, place.ada)) == "already_decided"
    assert (
        refusal(
            lambda: decisions.reject(request, digest=request.diff_digest, comment="No", by=session(place.ada))
        )
        == "already_decided"
    )

    assert approve(request, place.ben).status == Status.APPROVED
    assert is_done(place)
    assert events(action="approval.granted") == ["approval.granted allowed"] * 2
    assert last_event(action="approval.granted").data["granted"] == 2
    assert events(action="policy.changed", actor_id=str(place.ben.pk)) == ["policy.changed allowed"]


# On exactly what was seen


def test_a_decision_is_bound_to_the_digest_that_was_seen(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)

    for digest in ("", "0" * 64, request.diff_digest.upper()):
        said: dict[str, Any] = {"digest": digest, "comment": "No", "by": session(place.ada)}
        for verb in (decisions.approve, decisions.reject):
            assert refusal(partial(verb, request, **said)) == "diff_changed"

    assert untouched(request, place)
    assert approve(request, place.ada).status == Status.APPROVED


def stricter(place: Place) -> None:
    organizations.set_policy(
        as_stored(place.acme), changes={"unused_limit_days": 30}, by=session(place.owner)
    )


def weaker_by_the_operator(place: Place) -> None:
    organizations.set_policy(as_stored(place.acme), changes={"self_approval": True}, by=operator)


def with_riskier_scopes(place: Place) -> None:
    raise_risks(place.acme, **{"machines:read": "high"})


def harder_to_approve(place: Place) -> None:
    make_approver(place.acme)
    organizations.set_policy(
        as_stored(place.acme), changes={"approvals_needed": {"high": 3}}, by=session(place.owner)
    )


def with_other_deciders(place: Place) -> None:
    for _ in range(2):
        make_member(place.acme, "owner")
    organizations.set_policy(as_stored(place.acme), changes={"deciders": ["owner"]}, by=operator)


@pytest.mark.parametrize(
    "changed",
    [stricter, weaker_by_the_operator, with_riskier_scopes, harder_to_approve, with_other_deciders],
)
def test_what_waits_about_a_policy_that_was_changed_since_is_superseded(
    place: Place, changed: Callable[[Place], None]
) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin, never_allowed=True)
    elsewhere = make_organization("other")
    make_approver(elsewhere)
    need_approvals(elsewhere, high=1, never_allowed=False)
    theirs = make_request(elsewhere, never_allowed=True)
    token = waiting_token(place)
    approve(request, place.ada)

    changed(place)

    request.refresh_from_db()
    assert (request.status, request.closed_at is not None) == (Status.SUPERSEDED, True)
    superseded = last_event(action="approval.superseded")
    assert (superseded.target_id, superseded.data["approval"]) == (str(place.acme.pk), str(request.pk))
    owed = mails_owed("approval_settled")
    assert [row["approval"] for row in owed] == [str(request.pk)], "who asked is told"
    assert not policy.decidable_by(session(place.ben), ApprovalRequest.objects.filter(pk=request.pk)).exists()
    said: dict[str, Any] = {"digest": request.diff_digest, "comment": "No", "by": session(place.owner)}
    for verb in (decisions.approve, decisions.reject):
        assert refusal(partial(verb, request, **said)) == "illegal_move"
    assert not is_done(place)
    for other in (theirs, token):
        other.refresh_from_db()
        assert other.status == Status.OPEN


def test_a_policy_change_that_changes_nothing_leaves_what_waits(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)

    organizations.set_policy(as_stored(place.acme), changes={"never_allowed": False}, by=operator)

    assert untouched(request, place)
    assert approve(request, place.ada).status == Status.APPROVED
    assert events(action="approval.superseded") == []


def test_a_policy_that_is_another_than_it_was_asked_under_is_not_weakened(place: Place) -> None:
    """Whoever wrote it, by whatever way."""
    request = make_request(place.acme, by=place.admin)
    rules = replace(policy_of(as_stored(place.acme)), unused_limit_days=30)
    Organization.objects.filter(pk=place.acme.pk).update(policy=rules.as_json())

    assert refusal(lambda: approve(request, place.ada)) == "diff_changed"

    assert untouched(request, place)
    decisions.reject(request, digest=request.diff_digest, comment="Ask again", by=session(place.ada))


def test_a_new_name_of_the_organization_changes_nothing_of_it(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    organizations.rename(as_stored(place.acme), name="New", by=operator)

    assert approve(request, place.ada).status == Status.APPROVED


def test_who_may_no_longer_do_it_gets_nothing_approved(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    role = place.acme.memberships.get(user=place.admin)
    membership.change_role(role, role="member", by=operator)

    assert refusal(lambda: approve(request, place.ada)) == "requester_lost_right"
    assert untouched(request, place)

    membership.change_role(role, role="admin", by=operator)
    assert approve(request, place.ada).status == Status.APPROVED


# Who decides


def test_who_may_not_decide_is_refused_and_that_is_told(place: Place) -> None:
    elsewhere = make_organization("other")
    request = make_request(place.acme, by=place.admin)
    refused = [
        member(place.acme, "admin"),
        member(place.acme, "auditor"),
        member(place.acme),
        make_approver(elsewhere),
        make_person(),
        make_approver(place.acme),  # became one when it was open already
        make_superuser(),
    ]

    for person in refused:
        assert refusal(partial(approve, request, person)) == "forbidden"
    assert refusal(lambda: approve(request, operator)) == "forbidden"
    assert refusal(lambda: approve(request, access.system("tests"))) == "forbidden"

    denied = last_event(action="approval.granted", actor_id=str(refused[0].pk))
    assert (denied.outcome, denied.data["approval"]) == ("denied", str(request.pk))
    assert untouched(request, place)


@pytest.mark.parametrize("who", ["owner", "approver", "superuser", "operator", "token"])
def test_who_may_decide_decides(place: Place, who: str) -> None:
    superuser = make_superuser()
    request = make_request(place.acme, by=place.admin)
    deciders: dict[str, Callable[[], User | Access]] = {
        "owner": lambda: place.owner,
        "approver": lambda: place.ada,
        "superuser": lambda: superuser,
        "operator": lambda: as_operator_for(place.ada),
        "token": lambda: acting(make_token(place.ada, "approvals:decide")),
    }

    assert approve(request, deciders[who]()).status == Status.APPROVED

    event = last_event(action="approval.granted")
    assert place.ada.username in {event.actor_label, event.on_behalf_of_label} or who in {
        "owner",
        "superuser",
    }


def test_a_policy_without_owners_among_the_deciders_leaves_them_out(place: Place) -> None:
    need_approvals(place.acme, high=1, deciders=["approver"])
    request = make_request(place.acme, by=place.admin)

    assert refusal(lambda: approve(request, place.owner)) == "forbidden"
    assert approve(request, place.ada).status == Status.APPROVED


@pytest.mark.parametrize("loses", ["role", "membership", "suspended", "inactive"])
def test_who_lost_the_role_since_it_was_opened_does_not_decide(place: Place, loses: str) -> None:
    request = make_request(place.acme, by=place.admin)
    lose(place, place.ada, loses)

    assert refusal(lambda: approve(request, place.ada)) == "forbidden"
    assert untouched(request, place)


def lose(place: Place, user: User, what: str) -> None:
    row = place.acme.memberships.get(user=user)
    if what == "role":
        membership.change_role(row, role="member", by=operator)
    elif what == "membership":
        membership.leave(row, by=operator)
    elif what == "suspended":
        membership.suspend(row, by=operator)
    else:
        User.objects.filter(pk=user.pk).update(is_active=False)


@pytest.mark.parametrize("loses", ["role", "membership", "suspended", "inactive"])
def test_the_vote_of_who_lost_the_role_is_void(place: Place, loses: str) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)
    approve(request, place.ada)
    lose(place, place.ada, loses)

    second = approve(request, place.ben)

    assert (second.status, is_done(place)) == (Status.OPEN, False)
    assert last_event(action="approval.granted").data["granted"] == 1
    assert request.decisions.get(user=place.ada).voided_at is not None
    assert request.decisions.get(user=place.ben).voided_at is None
    assert approve(request, place.owner).status == Status.APPROVED


def test_a_policy_that_asks_for_more_meanwhile_binds_what_waits(place: Place) -> None:
    issued = executing(place)
    need_approvals(place.acme, high=2)

    assert approve(request_of(issued), place.ada).status == Status.OPEN
    assert request_of(issued).needed == 2
    assert approve(request_of(issued), place.ben).status == Status.APPROVED


def test_a_policy_that_asks_for_less_meanwhile_leaves_what_waits_as_it_was(place: Place) -> None:
    need_approvals(place.acme, high=2)
    issued = executing(place)
    need_approvals(place.acme, high=1)

    assert approve(request_of(issued), place.ada).status == Status.OPEN
    assert approve(request_of(issued), place.ben).status == Status.APPROVED


def executing(place: Place) -> Issued:
    """A token that waits."""
    edge = make_fleet(place.acme)
    return issue(session(fleet_member(edge, "manager")), edge, wish("commands:execute"))


def test_who_lost_the_role_and_got_it_back_votes_again(place: Place) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)
    approve(request, place.ada)
    lose(place, place.ada, "suspended")
    approve(request, place.ben)
    membership.resume(place.acme.memberships.get(user=place.ada), by=operator)

    assert approve(request, place.ada).status == Status.APPROVED
    assert request.decisions.filter(user=place.ada).count() == 2


# Nobody on their own


@pytest.mark.parametrize("way", ["session", "token", "operator"])
@pytest.mark.parametrize("is_superuser", [False, True])
def test_nobody_decides_on_their_own_request(place: Place, way: str, is_superuser: bool) -> None:
    asker = place.owner
    if is_superuser:
        asker = make_superuser()
        make_member(place.acme, "owner", user=asker)
    request = make_request(place.acme, by=asker)
    by = {
        "session": lambda: session(asker),
        "token": lambda: acting(make_token(asker, "approvals:decide")),
        "operator": lambda: as_operator_for(asker),
    }[way]()

    assert refusal(lambda: approve(request, by)) == "own_request"
    assert (
        refusal(lambda: decisions.reject(request, digest=request.diff_digest, comment="No", by=by))
        == "own_request"
    )

    assert untouched(request, place)
    assert last_event(action="approval.granted").outcome == "denied"
    assert approve(request, place.ada).status == Status.APPROVED


def test_a_technical_user_decides_on_nothing(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    robot = acting(make_token(place.acme, "machines:read"))

    assert refusal(lambda: approve(request, robot)) == "forbidden"
    assert untouched(request, place)
    everything = ApprovalRequest.objects.all()
    for nobody in (robot, operator):
        assert not policy.visible_to(nobody, everything).exists()
        assert not policy.decidable_by(nobody, everything).exists()
    assert policy.decidable_by(session(place.ada), policy.visible_to(session(place.ada), everything)).exists()


def test_a_personal_token_without_the_scope_decides_on_nothing(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)

    assert refusal(lambda: approve(request, acting(make_token(place.ada, "machines:read")))) == "forbidden"
    assert untouched(request, place)


def test_where_the_policy_lets_people_approve_their_own_they_do(place: Place) -> None:
    need_approvals(place.acme, high=1, self_approval=True)
    request = make_request(place.acme, by=place.owner, never_allowed=True)

    assert approve(request, place.owner).status == Status.APPROVED


def test_a_vote_on_one_s_own_is_void_once_the_policy_forbids_it(place: Place) -> None:
    need_approvals(place.acme, high=2, self_approval=True)
    request = waiting_token(place, by=place.owner)
    approve(request, place.owner)
    assert request.decisions.filter(voided_at=None).count() == 1
    organizations.set_policy(as_stored(place.acme), changes={"self_approval": False}, by=operator)

    assert approve(request, place.ada).status == Status.OPEN

    assert [vote.voided_at is None for vote in request.decisions.order_by("pk")] == [False, True]
    assert approve(request, place.ben).status == Status.APPROVED


def waiting_token(place: Place, *, by: User | None = None) -> ApprovalRequest:
    """Of a fleet, which a manager of it asked for."""
    edge = make_fleet(place.acme)
    by = by or fleet_member(edge, "manager")
    return request_of(issue(session(by), edge, wish("commands:execute")))


def mails_owed(template: str) -> list[dict[str, Any]]:
    rows = OutboxRow.objects.filter(kind="mail").order_by("pk")
    return [row.payload for row in rows if row.payload["template"] == template]


# Less than was asked for


def test_less_is_approved_and_the_rest_stays_as_it_was(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)

    done = approve(request, place.ada, narrowed={"changes": ["never_allowed"]})

    assert done.status == Status.APPROVED
    assert is_done(place)
    assert not policy_of(as_stored(place.acme)).self_approval
    assert done.diff_words == ["tokens may be without an end"]
    event = last_event(action="approval.granted")
    assert event.data["narrowed"] is True
    assert event.data["diff_digest"] == done.diff_digest != request.diff_digest


def test_a_narrowing_voids_what_was_voted_before(place: Place) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)
    approve(request, place.ada)

    narrowed = approve(request, place.ben, narrowed={"changes": ["never_allowed"]})

    assert narrowed.status == Status.OPEN
    assert [vote.voided_at is None for vote in request.decisions.order_by("pk")] == [False, True]
    assert refusal(lambda: approve(request, place.ada)) == "diff_changed"
    assert approve(narrowed, place.ada).status == Status.APPROVED


@pytest.mark.parametrize(
    ("narrowed", "code"),
    [
        ({}, "invalid"),
        ({"changes": []}, "nothing_left"),
        ({"changes": "never_allowed"}, "invalid"),
        ({"changes": [1]}, "invalid"),
        ({"changes": ["deciders"]}, "not_narrower"),
        ({"changes": ["never_allowed"], "more": 1}, "unknown_field"),
        ({"changes": ["never_allowed", "self_approval", "approvals_needed.low"]}, "not_narrower"),
        (
            {"changes": ["never_allowed", "self_approval"]},
            "not_narrower",
        ),  # leaves out what makes it stricter
    ],
)
def test_what_is_not_less_is_refused(place: Place, narrowed: dict[str, Any], code: str) -> None:
    request = make_request(
        place.acme, by=place.admin, never_allowed=True, self_approval=True, approvals_needed={"low": 1}
    )

    with pytest.raises(Invalid) as caught:
        approve(request, place.ada, narrowed=narrowed)

    assert caught.value.errors[0].code == code
    assert untouched(request, place)


def test_less_is_not_approved_where_the_policy_forbids_it(place: Place) -> None:
    need_approvals(place.acme, high=1, narrowing_allowed=False)
    request = make_request(place.acme, by=place.admin)

    with pytest.raises(Refused) as caught:
        approve(request, place.ada, narrowed={"changes": ["never_allowed"]})

    assert caught.value.code == "narrowing_off"
    assert untouched(request, place)
