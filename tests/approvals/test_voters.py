"""Whoever may decide no longer has no vote on what waits, and gets none back."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals import decisions, policy
from approvals.models import ApprovalRequest
from config.edge.refusals import Refused
from fleets import entries, membership, organizations
from fleets.models import AclEntry, Membership, User
from tests.approvals.conftest import Place
from tests.factories import (
    as_stored,
    events,
    fleet_member,
    last_event,
    make_approver,
    make_entry,
    make_fleet,
    make_group,
    make_group_member,
    make_member,
    make_organization,
    make_request,
    need_approvals,
    operator,
    session,
)
from tests.tokens.issuing import issue, wish

pytestmark = pytest.mark.django_db


def here(place: Place) -> Membership:
    return Membership.objects.get(user=place.ada, organization=place.acme, left_at=None)


def by_their_role(place: Place) -> None:
    membership.change_role(here(place), role="auditor", by=operator)
    membership.change_role(here(place), role="approver", by=operator)


def by_leaving(place: Place) -> None:
    membership.leave(here(place), by=session(place.ada))
    make_member(place.acme, "approver", user=place.ada)


def by_being_suspended(place: Place) -> None:
    membership.suspend(here(place), by=operator)
    membership.resume(here(place), by=operator)


def by_an_entry(place: Place) -> None:
    entry = make_entry(place.acme, "/", "Viewer", user=place.ada)
    entries.change_entry(entry, changes={"role": "NoAccess"}, by=operator)
    entries.remove_entry(entry, by=operator)


def by_their_groups_entry(place: Place) -> None:
    group = make_group(place.acme)
    make_entry(place.acme, "/", "NoAccess", group=group)
    membership.leave_group(make_group_member(group, user=place.ada), by=operator)


def by_losing_the_entry_that_hid_their_groups(place: Place) -> None:
    group = make_group(place.acme)
    make_group_member(group, user=place.ada)
    own = make_entry(place.acme, "/", "Viewer", user=place.ada)
    denying = make_entry(place.acme, "/", "NoAccess", group=group)
    assert place.acme.approval_requests.get().eligible.filter(pk=place.ada.pk).exists(), "still hidden"
    entries.remove_entry(own, by=operator)
    entries.remove_entry(AclEntry.objects.get(pk=denying.pk), by=operator)


def by_the_policy(place: Place) -> None:
    make_member(place.acme, "owner")
    for deciders in (["owner"], ["owner", "approver"]):
        organizations.set_policy(as_stored(place.acme), changes={"deciders": deciders}, by=operator)


LOST = [by_their_role, by_leaving, by_the_policy]
WITHHELD = [
    by_being_suspended,
    by_an_entry,
    by_their_groups_entry,
    by_losing_the_entry_that_hid_their_groups,
]


def approve(request: ApprovalRequest, by: User) -> ApprovalRequest:
    request.refresh_from_db()
    return decisions.approve(request, digest=request.diff_digest, by=session(by))


@pytest.mark.parametrize("lose_and_regain", [*LOST, *WITHHELD])
def test_who_did_not_decide_for_a_while_has_no_vote(
    place: Place, lose_and_regain: Callable[[Place], None]
) -> None:
    third = make_member(place.acme, "owner").user
    need_approvals(place.acme, 2)
    of_policy = lose_and_regain is not by_the_policy  # a change of which supersedes what waits about it
    request = make_request(place.acme, by=place.admin) if of_policy else of_a_token(place)
    approve(request, place.ada)
    version = request.version
    other = of_another_organization(place.ada)

    lose_and_regain(place)

    assert policy.may_decide_in(session(place.ada), as_stored(place.acme)), "they have it again"
    request.refresh_from_db()
    assert [vote.voided_at is not None for vote in request.decisions.all()] == [True]
    assert request.version > version
    event = last_event(action="approval.votes_voided")
    assert (event.data["approval"], event.data["voters"]) == (str(request.pk), ["ada"])
    assert event.target_id == request.subject_id
    assert approve(request, place.owner).status == "open", "their vote counts no more"
    if lose_and_regain in LOST:
        with pytest.raises(Refused):
            approve(request, place.ada)
    assert approve(request, third).status == "approved"
    assert other.eligible.filter(pk=place.ada.pk).exists()
    assert other.decisions.get().voided_at is None


def of_a_token(place: Place) -> ApprovalRequest:
    edge = make_fleet(place.acme)
    token = issue(session(fleet_member(edge, "manager")), edge, wish("commands:execute")).token
    return ApprovalRequest.objects.get(subject_id=token.pk)


def of_another_organization(voter: User) -> ApprovalRequest:
    """One that the voter has agreed to where they decide too."""
    organization = make_organization()
    make_member(organization, "approver", user=voter)
    make_approver(organization)
    need_approvals(organization, 2)
    return approve(make_request(organization), voter)


def test_what_takes_the_role_from_nobody_leaves_votes_alone(place: Place) -> None:
    need_approvals(place.acme, 2)
    request = approve(make_request(place.acme, by=place.admin), place.ada)

    membership.change_role(here(place), role="owner", by=operator)
    make_entry(place.acme, "/", "Viewer", user=place.ada)
    make_entry(place.acme, "/fleets", "NoAccess", user=place.ben)
    make_group_member(make_group(place.acme), user=place.ben)
    membership.leave(make_member(place.acme, "auditor"), by=operator)

    assert request.decisions.get().voided_at is None
    assert request.eligible.count() == 3
    assert events(action="approval.votes_voided") == []
    assert approve(request, place.ben).status == "approved"


def test_the_statements_of_a_departure_do_not_grow_with_what_waits(place: Place) -> None:
    def statements(open_requests: int) -> int:
        edge = make_fleet(place.acme)
        manager = fleet_member(edge, "manager")
        for _ in range(open_requests):
            issue(session(manager), edge, wish("commands:execute"))
        leaving = make_approver(place.acme)
        with CaptureQueriesContext(connection) as queries:
            membership.change_role(Membership.objects.get(user=leaving), role="member", by=operator)
        return len(queries)

    assert statements(1) == statements(5)
