"""The mails: to who may decide and to who asked, written when they are sent, from what is true then."""

from typing import Any

import pytest
from django.core import mail
from django.db import transaction

from approvals import decisions, requests
from approvals.models import ApprovalRequest
from audit import deliveries
from audit.models import OutboxRow
from fleets import access, membership
from fleets.models import User
from tests.approvals.conftest import Place
from tests.approvals.test_requests import ago
from tests.factories import make_request, make_superuser, need_approvals, operator, session

pytestmark = pytest.mark.django_db


def sent() -> list[tuple[str, str]]:
    """To whom, and the first words of what."""
    mail.outbox.clear()
    deliveries.deliver()
    return sorted((letter.to[0], str(letter.subject)) for letter in mail.outbox)


def owed() -> list[dict[str, Any]]:
    return [row.payload for row in OutboxRow.objects.filter(kind="mail").order_by("pk")]


ASKED = "Admin asks for approval in Acme: acme"


def test_everybody_who_may_decide_is_asked_but_who_is_behind_it(place: Place) -> None:
    make_superuser(email="root@example.org")
    request = make_request(place.acme, by=place.admin, reason="The pilot\r\nBcc: x")

    assert {payload["template"] for payload in owed()} == {"approval_requested"}
    assert all(set(payload) == {"template", "approval", "digest", "person"} for payload in owed())
    assert sent() == [("ada@example.org", ASKED), ("ben@example.org", ASKED)]
    body = mail.outbox[0].body
    assert "- tokens may be without an end\n- people may approve their own requests\n" in body
    assert "Why: The pilot Bcc: x" in body
    assert f"http://127.0.0.1:8000/admin/approvals/approvalrequest/{request.pk}/change/" in body
    assert f"{request.expires_at:%Y-%m-%d %H:%M} UTC" in body


def test_nobody_is_asked_about_what_is_settled_or_no_longer_theirs(place: Place) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)
    decisions.approve(request, digest=request.diff_digest, by=session(place.ada))
    membership.suspend(place.acme.memberships.get(user=place.ben), by=operator)
    assert sent() == []

    make_request(place.acme, by=place.admin)
    requests.withdraw(ApprovalRequest.objects.latest("pk"), by=session(place.admin))
    assert sent() == [], "and who takes it back knows"
    assert owed() == []


def test_who_asked_is_told_how_it_ended(place: Place) -> None:
    for end in ("approved", "rejected", "lapsed", "superseded"):
        request = make_request(place.acme, by=place.admin, never_allowed=True, reason="The pilot")
        sent()
        if end == "approved":
            decisions.approve(request, digest=request.diff_digest, comment="Fine", by=session(place.ada))
        elif end == "rejected":
            decisions.reject(request, digest=request.diff_digest, comment="Not yet", by=session(place.ada))
        elif end == "lapsed":
            requests.lapse(ago(request, opened=-72, ends=0), by=access.system("tests"))
        else:
            make_request(place.acme, by=place.owner, never_allowed=True)

        told = [letter for letter in sent() if letter[0] == "admin@example.org"]
        [letter] = [each for each in mail.outbox if each.to == ["admin@example.org"]]
        assert len(told) == 1
        assert letter.subject.startswith("Your request in Acme is ")
        assert "- tokens may be without an end" in letter.body
        assert f" is {end}: " in letter.subject
        assert ("Ask again" in letter.body) == (end == "lapsed")
        if end in {"approved", "rejected"}:
            assert {"approved": "Ada: approve (Fine)", "rejected": "Ada: reject (Not yet)"}[
                end
            ] in letter.body
        assert ("It holds from now on." in letter.body) == (end == "approved")
        need_approvals(place.acme, never_allowed=False)


def test_who_asked_is_told_that_its_subject_ended_unless_they_ended_it(place: Place) -> None:
    for by, told in ((session(place.owner), ["admin@example.org"]), (session(place.admin), [])):
        make_request(place.acme, by=place.admin, never_allowed=True)
        sent()
        with transaction.atomic():
            requests.end_all("organization", [str(place.acme.pk)], reason="It ended", by=by)

        assert [to for to, _ in sent()] == told
        for letter in mail.outbox:
            assert letter.subject == "Your request in Acme is superseded: acme"
            assert (
                "Nothing of it was done: something newer took its place, or what it was about" in letter.body
            )


def test_who_left_or_is_inactive_is_told_nothing_and_a_superuser_is(place: Place) -> None:
    root = make_superuser(email="root@example.org")
    for asker, leaves, told in (
        (root, False, ["root@example.org"]),
        (place.admin, False, ["admin@example.org"]),
        (place.admin, True, []),
    ):
        request = make_request(place.acme, by=asker)
        sent()
        decisions.reject(request, digest=request.diff_digest, comment="For us", by=session(place.ada))
        if leaves:
            membership.leave(place.acme.memberships.get(user=asker), by=operator)
        assert [to for to, subject in sent() if subject.startswith("Your request")] == told
        assert owed() == []

    request = make_request(place.acme, by=root)
    sent()
    decisions.reject(request, digest=request.diff_digest, comment="For us", by=session(place.ada))
    User.objects.filter(pk=root.pk).update(is_active=False)
    assert sent() == []


def test_who_may_still_decide_is_reminded(place: Place) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)
    decisions.approve(request, digest=request.diff_digest, by=session(place.ada))
    sent()

    requests.remind(request, by=access.system("tests"))

    assert sent() == [("ben@example.org", "Still waiting for approval in Acme: acme")]
    assert "half of the time is over" in mail.outbox[0].body


def test_a_narrowed_request_is_asked_about_anew_and_once(place: Place) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)
    decisions.approve(
        request,
        digest=request.diff_digest,
        narrowed={"changes": ["never_allowed"]},
        by=session(place.ada),
    )

    assert sent() == [("ben@example.org", ASKED)]
    assert "people may approve their own requests" not in mail.outbox[0].body
