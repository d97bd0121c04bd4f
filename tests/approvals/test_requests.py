"""Requests: opened, rewritten, withdrawn, lapsed, replaced; each end is for ever, and told in the subject's trail."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.db import IntegrityError, transaction

from approvals import decisions, requests
from approvals.models import ApprovalRequest
from approvals.subjects import Proposal
from config.edge.clock import now
from config.edge.refusals import Conflict, IllegalMove, Refused
from fleets import access, membership, organizations
from fleets.organization_policy import policy_of
from fleets.scopes import Risk
from tests.approvals.conftest import Place
from tests.factories import (
    acting,
    as_stored,
    events,
    last_event,
    make_person,
    make_request,
    make_superuser,
    make_token,
    member,
    need_approvals,
    operator,
    session,
)

pytestmark = pytest.mark.django_db
Status = ApprovalRequest.Status
SYSTEM = access.system("tests")


def ago(request: ApprovalRequest, *, opened: float, ends: float) -> ApprovalRequest:
    """As if it had been opened and would end so many hours from now."""
    at = now()
    ApprovalRequest.objects.filter(pk=request.pk).update(
        opened_at=at + timedelta(hours=opened), expires_at=at + timedelta(hours=ends)
    )
    request.refresh_from_db()
    return request


def ended(request: ApprovalRequest, status: str) -> ApprovalRequest:
    """As if it had come to this end."""
    ApprovalRequest.objects.filter(pk=request.pk).update(status=status, closed_at=now())
    request.refresh_from_db()
    return request


def test_a_weaker_policy_waits_and_says_all_that_it_changes(place: Place) -> None:
    request = make_request(
        place.acme,
        by=place.admin,
        reason="The pilot",
        never_allowed=True,
        default_lifetime_days=30,
        approvals_needed={"high": 0, "low": 1},
    )

    assert not policy_of(as_stored(place.acme)).never_allowed
    assert policy_of(as_stored(place.acme)).approvals_needed == (0, 0, 1)
    assert (request.status, request.needed, request.risk) == (Status.OPEN, 1, Risk.HIGH)
    assert request.requested_by == place.admin
    assert request.diff["changes"] == {
        "approvals_needed.high": [1, 0],
        "approvals_needed.low": [0, 1],
        "default_lifetime_days": [90, 30],
        "never_allowed": [False, True],
    }
    assert request.diff_words == [
        "high risk needs no approvals, not 1",
        "Approvals for low risk: none → 1",
        "Lifetime where none is asked for: 90 days → 30 days",
        "tokens may be without an end",
    ]
    assert set(request.originators.all()) == {place.admin}
    assert set(request.eligible.all()) == {place.owner, place.ada, place.ben}
    assert request.expires_at - request.opened_at == timedelta(hours=72)
    event = last_event(action="approval.requested")
    assert (event.target_type, event.target_id) == ("organization", str(place.acme.pk))
    assert (event.reason, event.actor_id) == ("The pilot", str(place.admin.pk))
    assert event.data["approval"] == str(request.pk)
    assert event.data["diff_digest"] == request.diff_digest
    assert events(action="policy.changed", actor_id=str(place.admin.pk)) == []


def test_what_gets_stricter_beside_it_is_told_too(place: Place) -> None:
    request = make_request(
        place.acme,
        never_allowed=True,
        unused_limit_days=30,
        narrowing_allowed=False,
        deciders=["approver"],
        scope_ceilings={"member": []},
    )

    assert request.diff_words == [
        "Who decides: approvers and owners → approvers",
        "Less than asked for can be approved: yes → no",
        "tokens may be without an end",
        "Scopes of personal tokens of members: all → none",
        "Disabled when unused: never → after 30 days",
    ]


@pytest.mark.parametrize("changes", [{"default_lifetime_days": 30}, {"approvals_needed": {"high": 2}}])
def test_a_policy_that_is_no_weaker_waits_for_nobody(place: Place, changes: dict[str, object]) -> None:
    assert organizations.set_policy(as_stored(place.acme), changes=changes, by=session(place.admin)) is None

    assert not ApprovalRequest.objects.exists()


def test_nothing_waits_where_no_risk_needs_approval_or_the_operator_does_it(place: Place) -> None:
    weaker = {"never_allowed": True}
    assert organizations.set_policy(as_stored(place.acme), changes=weaker, by=operator) is None

    need_approvals(place.acme, high=0, never_allowed=False)
    assert organizations.set_policy(as_stored(place.acme), changes=weaker, by=session(place.admin)) is None

    assert policy_of(as_stored(place.acme)).never_allowed
    assert not ApprovalRequest.objects.exists()


def test_what_too_few_others_could_approve_is_refused(place: Place) -> None:
    need_approvals(place.acme, high=2)
    ada = place.acme.memberships.get(user=place.ada)
    membership.suspend(ada, by=operator)

    with pytest.raises(Conflict) as refusal:
        make_request(place.acme, by=place.owner)

    assert refusal.value.code == "approvers_missing"
    assert not ApprovalRequest.objects.exists()
    membership.resume(ada, by=operator)
    assert make_request(place.acme, by=place.owner).needed == 2


def test_a_newer_request_about_the_same_takes_the_place_of_the_earlier(place: Place) -> None:
    earlier = make_request(place.acme, by=place.admin)
    newer = make_request(place.acme, by=place.owner, self_approval=True)

    earlier.refresh_from_db()
    assert (earlier.status, newer.status) == (Status.SUPERSEDED, Status.OPEN)
    assert earlier.closed_at is not None
    assert events(target_id=str(place.acme.pk), action__startswith="approval.") == [
        "approval.requested allowed",
        "approval.superseded allowed",
        "approval.requested allowed",
    ]
    with pytest.raises(IllegalMove):
        decisions.approve(earlier, digest=earlier.diff_digest, by=session(place.ada))


def test_two_open_requests_about_one_subject_can_not_be(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    request.pk = None

    with pytest.raises(IntegrityError), transaction.atomic():
        ApprovalRequest.objects.create(
            **{
                field.attname: getattr(request, field.attname)
                for field in ApprovalRequest._meta.concrete_fields
                if field.name != "id"
            }
        )


def test_an_end_is_for_ever(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)

    for before in [status for status in Status if status != Status.OPEN]:
        for after in Status:
            ended(request, before)
            with pytest.raises(IllegalMove):
                request.move_to(after)
            request.refresh_from_db()
            assert request.status == before


def test_no_verb_reopens_or_ends_again_what_has_ended(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    for status in [status for status in Status if status != Status.OPEN]:
        ended(request, status)
        before = events()
        calls: list[Callable[[], object]] = [
            lambda: decisions.approve(request, digest=request.diff_digest, by=session(place.ada)),
            lambda: decisions.reject(
                request, digest=request.diff_digest, comment="No", by=session(place.ada)
            ),
            lambda: requests.withdraw(request, by=session(place.admin)),
            lambda: requests.lapse(request, by=SYSTEM),
        ]
        for call in calls:
            with pytest.raises(IllegalMove):
                call()
        requests.remind(request, by=SYSTEM)
        request.refresh_from_db()
        assert (request.status, request.reminded_at, request.decisions.count()) == (status, None, 0)
        assert events() == before


def test_an_open_request_does_not_become_open(place: Place) -> None:
    with pytest.raises(IllegalMove):
        make_request(place.acme, by=place.admin).move_to(Status.OPEN)


def test_who_asked_takes_it_back_and_nobody_else(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    others = [place.owner, place.ada, member(place.acme, "admin"), make_superuser()]
    for other in others:
        with pytest.raises(Refused):
            requests.withdraw(request, by=session(other))
    robot = acting(make_token(place.acme, "machines:read"))
    with pytest.raises(Refused):
        requests.withdraw(request, by=robot)
    with pytest.raises(Refused):
        requests.withdraw(request, by=operator)
    denied = last_event(action="approval.withdrawn")
    assert (denied.outcome, denied.data["approval"]) == ("denied", str(request.pk))
    assert denied.target_id == str(place.acme.pk)

    done = requests.withdraw(request, reason="A mistake", by=session(place.admin))

    assert (done.status, done.closed_at is not None) == (Status.WITHDRAWN, True)
    event = last_event(action="approval.withdrawn")
    assert (event.outcome, event.reason) == ("allowed", "A mistake")
    assert event.data["approval"] == str(request.pk)
    assert not policy_of(as_stored(place.acme)).never_allowed


def test_it_lapses_once_its_time_is_over_and_not_before(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    with pytest.raises(IllegalMove):
        requests.lapse(request, by=SYSTEM)

    requests.lapse(ago(request, opened=-72, ends=0), by=SYSTEM)

    request.refresh_from_db()
    assert request.status == Status.LAPSED
    event = last_event(action="approval.lapsed")
    assert (event.actor_type, event.data["approval"]) == ("system", str(request.pk))


def test_out_of_time_it_can_not_be_decided_though_nobody_recorded_it(place: Place) -> None:
    request = ago(make_request(place.acme, by=place.admin), opened=-72, ends=0)
    assert (request.status, request.derived_status) == (Status.OPEN, Status.LAPSED)

    calls: list[Callable[[], object]] = [
        lambda: decisions.approve(request, digest=request.diff_digest, by=session(place.ada)),
        lambda: decisions.reject(request, digest=request.diff_digest, comment="No", by=session(place.ada)),
    ]
    for call in calls:
        with pytest.raises(IllegalMove) as refusal:
            call()
        assert refusal.value.code == "request_lapsed"

    assert list(ApprovalRequest.objects.with_status("lapsed")) == [request]
    assert not ApprovalRequest.objects.with_status("open").exists()
    assert request.decisions.count() == 0
    assert not policy_of(as_stored(place.acme)).never_allowed


def test_a_newer_request_may_follow_one_that_ran_out_of_time(place: Place) -> None:
    earlier = ago(make_request(place.acme, by=place.admin), opened=-72, ends=0)

    newer = make_request(place.acme, by=place.admin)

    earlier.refresh_from_db()
    assert (earlier.status, newer.status) == (Status.SUPERSEDED, Status.OPEN)


def test_deciders_are_reminded_once(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)

    requests.remind(request, by=SYSTEM)
    requests.remind(request, by=SYSTEM)

    request.refresh_from_db()
    assert request.reminded_at is not None
    assert events(action="approval.reminded") == ["approval.reminded allowed"]
    assert last_event(action="approval.reminded").data == {"approval": str(request.pk)}


@pytest.mark.parametrize(
    ("opened", "ends", "is_half_over"), [(-1, 3, False), (-2, 2, True), (-3, 1, True), (-4, 0, False)]
)
def test_half_of_its_time_is_over_at_half_time(
    place: Place, opened: float, ends: float, is_half_over: bool
) -> None:
    request = ago(make_request(place.acme, by=place.admin), opened=opened, ends=ends)

    assert list(ApprovalRequest.objects.half_over()) == ([request] if is_half_over else [])
    assert list(ApprovalRequest.objects.overdue()) == ([request] if ends == 0 else [])


def test_a_rewritten_request_has_another_digest_and_no_votes(place: Place) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)
    decisions.approve(request, digest=request.diff_digest, by=session(place.ada))
    before = request.diff_digest
    proposal = Proposal(Risk.HIGH, {**request.diff, "changes": {"never_allowed": [False, True]}}, ("less",))

    with transaction.atomic():
        requests.rewrite(request, proposal, needed=2, originators=frozenset(), by=session(make_person()))

    request.refresh_from_db()
    assert request.diff_digest == proposal.digest != before
    assert request.diff_words == ["less"]
    assert [vote.voided_at is not None for vote in request.decisions.all()] == [True]
    assert last_event(action="approval.rewritten").data["diff_digest"] == proposal.digest
    with pytest.raises(Conflict) as refusal:
        decisions.approve(request, digest=before, by=session(place.ada))
    assert refusal.value.code == "diff_changed"
    decisions.approve(request, digest=proposal.digest, by=session(place.ada))


@pytest.mark.parametrize(
    ("given", "kept"), [("to run it daily", "to run it daily"), ("", "at first"), (" ", "at first")]
)
def test_a_rewritten_request_says_why_it_is_what_it_is_now(place: Place, given: str, kept: str) -> None:
    request = make_request(place.acme, by=place.admin, reason="at first")
    proposal = Proposal(Risk.HIGH, {**request.diff, "changes": {"never_allowed": [False, True]}}, ("less",))

    with transaction.atomic():
        requests.rewrite(
            request, proposal, needed=1, reason=given, originators=frozenset(), by=session(place.admin)
        )

    request.refresh_from_db()
    assert request.reason == kept
    assert last_event(action="approval.rewritten").reason == given


def test_who_decides_has_time_again_for_what_was_rewritten_but_not_for_ever(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    opened, day = request.opened_at, timedelta(days=1)

    def end_after(days: float) -> float:
        proposal = Proposal(Risk.HIGH, {**request.diff, "at": days})
        with time_machine.travel(opened + days * day), transaction.atomic():
            requests.rewrite(request, proposal, needed=1, originators=frozenset(), by=session(place.admin))
        request.refresh_from_db()
        return round((request.expires_at - opened) / day, 2)

    assert [end_after(days) for days in (0, 1, 2.99, 5, 5.9)] == [3, 4, 5.99, 6, 6]
    with pytest.raises(IllegalMove):
        end_after(6)


def test_who_rewrites_a_request_is_behind_it_and_others_must_be_left(place: Place) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)

    def rewritten_by(*people: object) -> None:
        proposal = Proposal(Risk.HIGH, request.diff, ("other words",))
        for person in people:
            with transaction.atomic():
                requests.rewrite(
                    request,
                    proposal,
                    needed=2,
                    originators=frozenset(),
                    by=session(person),  # type: ignore[arg-type]
                )

    rewritten_by(place.ada)
    with pytest.raises(Refused) as own:
        decisions.approve(request, digest=request.diff_digest, by=session(place.ada))
    with pytest.raises(Conflict) as missing:
        rewritten_by(place.ben)

    assert (own.value.code, missing.value.code) == ("own_request", "approvers_missing")
    assert set(request.originators.all()) == {place.admin, place.ada}


def test_what_is_over_is_not_rewritten(place: Place) -> None:
    request = ago(make_request(place.acme, by=place.admin), opened=-72, ends=0)

    with pytest.raises(IllegalMove) as refusal:
        requests.rewrite(
            request,
            Proposal(Risk.HIGH, {}, ()),
            needed=1,
            originators=frozenset(),
            by=session(place.admin),
        )

    assert refusal.value.code == "request_lapsed"


def test_what_waits_about_subjects_that_ended_is_superseded_each_with_its_event(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)

    for _ in range(2):
        requests.end_all("organization", [str(place.acme.pk), "nobody"], reason="It ended", by=operator)

    request.refresh_from_db()
    assert (request.status, request.closed_at is not None) == (Status.SUPERSEDED, True)
    event = last_event(action="approval.superseded")
    assert (event.data["approval"], event.reason) == (str(request.pk), "It ended")
    assert events(action="approval.superseded") == ["approval.superseded allowed"]
    assert events(action="approval.withdrawn") == []
