"""`manage.py approvals`: the operator reads, and decides on behalf of somebody who may."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from approvals.models import ApprovalRequest
from fleets.organization_policy import policy_of
from tests.approvals.conftest import Place
from tests.factories import as_stored, last_event, make_organization, make_request, need_approvals

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> Any:
    """The JSON document that the command prints."""
    out, err = io.StringIO(), io.StringIO()
    call_command("approvals", *arguments, "--format", "json", stdout=out, stderr=err)
    return json.loads(out.getvalue())


def fails(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        call_command("approvals", *arguments, stdout=io.StringIO(), stderr=io.StringIO())
    said = str(caught.value)
    assert "\n" not in said
    return said


def deciding(verb: str, request: ApprovalRequest, person: str, *more: str) -> tuple[str, ...]:
    return (verb, str(request.pk), "--digest", request.diff_digest, "--as", person, *more)


def test_requests_are_listed_and_shown_with_the_field_names_of_the_api(place: Place) -> None:
    gone = make_request(place.acme, by=place.admin)
    request = make_request(place.acme, by=place.admin, reason="The pilot")

    [listed] = run("list")
    shown = run("show", str(request.pk), "--as", "ada")

    assert listed["id"] == shown["id"] == str(request.pk)
    assert (listed["may_decide"], shown["may_decide"]) == (False, True)
    assert shown["diff_digest"] == request.diff_digest
    assert [row["id"] for row in run("list", "--status", "superseded")] == [str(gone.pk)]
    make_organization("other")
    assert run("list", "--organization", "other") == run("list", "--status", "approved") == []
    assert [row["id"] for row in run("list", "--organization", "acme")] == [str(request.pk)]
    for nothing, *which in (
        ("Nothing waits.", "--organization", "other"),
        ("No such request.", "--status", "approved"),
    ):
        out = io.StringIO()
        call_command("approvals", "list", *which, stdout=out)
        assert out.getvalue().strip() == nothing
    out = io.StringIO()
    call_command("approvals", "list", stdout=out)
    call_command("approvals", "show", str(request.pk), stdout=out)
    for words in (
        str(request.pk),
        "0 of 1",
        "The pilot",
        request.diff_digest,
        "tokens may be without an end",
    ):
        assert words in out.getvalue()


def test_the_operator_approves_on_behalf_of_who_may_decide(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)

    done = run(*deciding("approve", request, "ada", "--comment", "By phone", "--only", "never_allowed"))

    assert (done["status"], done["decisions"][0]["comment"]) == ("approved", "By phone")
    assert policy_of(as_stored(place.acme)).never_allowed
    assert not policy_of(as_stored(place.acme)).self_approval
    event = last_event(action="approval.granted")
    assert (event.actor_type, event.actor_id, event.on_behalf_of_label) == ("system", "operator", "ada")


def test_it_is_rejected_and_withdrawn(place: Place) -> None:
    first = make_request(place.acme, by=place.admin)
    assert run(*deciding("reject", first, "ada", "--comment", "No"))["status"] == "rejected"

    second = make_request(place.acme, by=place.admin)
    assert run("withdraw", str(second.pk), "--as", "admin")["status"] == "withdrawn"


def test_what_is_refused_is_said_in_one_line_and_changes_nothing(place: Place) -> None:
    need_approvals(place.acme, high=1)
    request = make_request(place.acme, by=place.owner)
    owner = place.owner.username

    assert "Somebody else has to decide" in fails(*deciding("approve", request, owner))
    assert "Only who may decide now" in fails(*deciding("approve", request, "admin"))
    assert "not what you saw" in fails("approve", str(request.pk), "--digest", "x", "--as", "ada")
    assert "comment" in fails(*deciding("reject", request, "ada"))
    assert "comment" in fails(*deciding("reject", request, "ada", "--comment", "n" * 1001))
    assert "was not asked for" in fails(*deciding("approve", request, "ada", "--only", "deciders"))
    assert fails(*deciding("approve", request, "nobody")) == "There is no user nobody."
    assert fails("list", "--organization", "acmee") == "There is no organization acmee."
    assert fails("show", "7") == "There is no request 7."
    assert fails("withdraw", str(request.pk), "--as", "ada") == (
        "Only who asked for it takes it back; for a technical user also who manages the token, in their session."
    )
    assert "--as" in fails("approve", str(request.pk), "--digest", request.diff_digest)
    assert "--digest" in fails("approve", str(request.pk), "--as", "ada")
    request.refresh_from_db()
    assert (request.status, request.decisions.count()) == ("open", 0)

    single = make_request(place.acme, by=place.admin, never_allowed=True)
    assert "Nothing of it can be left out" in fails(*deciding("approve", single, "ada", "--only", "x"))


def test_a_reason_forges_no_line_and_hides_none(place: Place) -> None:
    """As texts were kept before forms refused what is not printable."""
    reason = "Repair\x1b[1A\x1b[2K\u202e\napprovals     1 of 1\nchange        nothing"
    request = make_request(place.acme, by=place.admin, reason=reason)
    out = io.StringIO()

    call_command("approvals", "show", str(request.pk), stdout=out)

    lines = out.getvalue().splitlines()
    assert [line for line in lines if line.startswith("approvals")] == ["approvals     0 of 1"]
    assert [line for line in lines if line.startswith("change")] == [
        "change        tokens may be without an end",
        "change        people may approve their own requests",
    ]
    assert r"reason        Repair\x1b[1A\x1b[2K\u202e" in lines
    assert "            | approvals     1 of 1" in lines
    assert all(line.isprintable() for line in lines)
    assert run("show", str(request.pk))["reason"] == reason
