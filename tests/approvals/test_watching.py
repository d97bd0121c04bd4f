"""The timer behind requests: reminds at half time, records what ran out of time, and is in nobody's way."""

import pytest
from django.core.management import call_command
from django.db import transaction

from approvals import requests, watching
from approvals.models import ApprovalRequest
from approvals.tasks import watch_requests
from config.edge.models import Timer
from config.edge.refusals import Conflict
from tests.approvals.conftest import Place
from tests.approvals.test_requests import ago
from tests.factories import (
    events,
    make_approver,
    make_member,
    make_organization,
    make_person,
    make_request,
    need_approvals,
)

pytestmark = pytest.mark.django_db


def watch() -> None:
    """As in a slot of its own."""
    Timer.objects.all().delete()
    watch_requests()


def waiting(opened: float, ends: float) -> ApprovalRequest:
    """A request of an organization of its own."""
    organization = make_organization()
    admin = make_person(email="asker@example.org")
    make_member(organization, "admin", user=admin)
    make_approver(organization)
    need_approvals(organization, never_allowed=False)
    return ago(make_request(organization, by=admin), opened=opened, ends=ends)


def test_each_request_gets_what_its_time_asks_for_once(db: None) -> None:
    young, half, late = waiting(-1, 3), waiting(-3, 2), waiting(-5, 0)

    watch()
    watch()

    statuses = {row.pk: (row.status, row.reminded_at is not None) for row in ApprovalRequest.objects.all()}
    assert statuses == {
        young.pk: ("open", False),
        half.pk: ("open", True),
        late.pk: ("lapsed", False),
    }
    assert events(action="approval.reminded") == ["approval.reminded allowed"]
    assert events(action="approval.lapsed") == ["approval.lapsed allowed"]


def test_two_beats_run_it_once_a_slot(place: Place) -> None:
    request = ago(make_request(place.acme, by=place.admin), opened=-3, ends=1)
    watch_requests()
    ApprovalRequest.objects.update(reminded_at=None)

    watch_requests()

    request.refresh_from_db()
    assert request.reminded_at is None


def test_one_that_somebody_moved_on_meanwhile_holds_up_no_other(db: None) -> None:
    first, second = waiting(-5, -1), waiting(-5, 0)
    asked = []

    def act(request: ApprovalRequest) -> None:
        asked.append(request.pk)
        raise Conflict("It was changed meanwhile.")

    watching.each(ApprovalRequest.objects.overdue(), act)

    assert asked == [first.pk, second.pk]


def test_one_that_fails_for_any_reason_holds_up_no_other_and_is_told(
    db: None, caplog: pytest.LogCaptureFixture
) -> None:
    first = waiting(-5, -1)
    waiting(-5, 0)

    def act(request: ApprovalRequest) -> None:
        with transaction.atomic():
            requests.lapse(request, by=watching.WATCH)
            if request.pk == first.pk:
                raise LookupError("words that stay here")

    watching.each(ApprovalRequest.objects.overdue(), act)

    assert [row.status for row in ApprovalRequest.objects.order_by("expires_at")] == ["open", "lapsed"]
    [told] = [line for line in caplog.records if line.levelname == "ERROR"]
    assert (told.__dict__["request"], told.__dict__["error"]) == (str(first.pk), "LookupError")
    assert "words" not in caplog.text


def test_those_that_fail_for_ever_do_not_fill_the_batch(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BATCH", 2)
    failing = [waiting(-5, -1).pk for _ in range(3)]
    others = [waiting(-5, 0) for _ in range(3)]

    def act(request: ApprovalRequest) -> None:
        if request.pk in failing:
            raise LookupError
        requests.lapse(request, by=watching.WATCH)

    watching.each(ApprovalRequest.objects.overdue(), act)

    assert [ApprovalRequest.objects.get(pk=row.pk).status for row in others] == ["lapsed", "lapsed", "open"]


def test_the_checks_know_a_handler_for_every_kind() -> None:
    call_command("check", "--tag", "compatibility")
