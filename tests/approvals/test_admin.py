"""The inbox and the page of one request: what it shows, which buttons are there, and what each does."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from approvals import decisions
from approvals.models import ApprovalRequest
from approvals.subjects import Proposal
from fleets.models import User
from fleets.organization_policy import policy_of
from fleets.scopes import Risk
from tests.approvals.conftest import Place
from tests.approvals.test_requests import ago
from tests.factories import (
    as_stored,
    events,
    make_approver,
    make_organization,
    make_request,
    member,
    need_approvals,
    session,
)

pytestmark = pytest.mark.django_db
LIST = "/admin/approvals/approvalrequest/"


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(request: ApprovalRequest, verb: str = "change") -> str:
    return f"{LIST}{request.pk}/{verb}/"


def buttons(client: Client, request: ApprovalRequest) -> list[str]:
    response = client.get(page_of(request))
    assert response.status_code == 200
    return [button.label for button in response.context["buttons"]]


def listed(client: Client, standing: str = "") -> list[Any]:
    response = client.get(LIST, {"standing": standing} if standing else {})
    assert response.status_code == 200
    return [row.pk for row in response.context["cl"].result_list]


def text(response: Any) -> str:
    return str(response.content.decode())


def test_the_inbox_shows_what_waits_and_the_rest_behind_filters(place: Place) -> None:
    need_approvals(place.acme, high=2)
    settled = make_request(place.acme, by=place.admin)
    waiting = make_request(place.acme, by=place.admin, reason="The pilot <b>needs</b> it " + "x" * 100)
    decisions.approve(waiting, digest=waiting.diff_digest, by=session(place.ada))
    ada, ben = browser(place.ada), browser(place.ben)

    assert [listed(client) for client in (ada, ben)] == [[waiting.pk]] * 2
    assert [listed(client, "mine") for client in (ada, ben)] == [[], [waiting.pk]]
    assert listed(ada, "settled") == [settled.pk]
    assert listed(ada, "x") == []
    shown = text(ada.get(LIST))
    for words in (
        "acme",
        "change of policy",
        "Admin",
        "high",
        "1 of 2",
        "0\xa0minutes ago",
        "2\xa0days, 23\xa0hours",
    ):
        assert words in shown, words
    assert "The pilot &lt;b&gt;needs&lt;/b&gt;" in shown
    assert "x" * 100 not in shown
    assert listed(browser(member(place.acme))) == []
    assert listed(browser(make_approver(make_organization("other")))) == []


def test_the_page_of_a_request_says_all_that_a_decision_needs(place: Place) -> None:
    request = make_request(place.acme, by=place.admin, reason="The pilot")

    response = browser(place.ada).get(page_of(request))

    facts = {fact.label: str(fact.cell.shown) for fact in response.context["facts"]}
    assert facts["What"] == "Change of policy: acme"
    assert facts["Asked by"] == "Admin (admin)"
    assert (facts["Why"], facts["Approvals"]) == ("The pilot", "0 of 1")
    assert facts["Digest"] == request.diff_digest
    assert "<li>tokens may be without an end</li>" in text(response)
    changes, decided = response.context["sections"]
    assert [[cell.text for cell in row] for row in changes.rows] == [
        ["Tokens without an end", "are not allowed", "are allowed"],
        ["Own requests", "are decided by others", "people may approve what they asked for"],
    ]
    assert decided.rows == []


def test_buttons_are_there_where_they_apply(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    single = ["Approve", "Reject"]

    assert buttons(browser(place.ada), request) == ["Approve", "Approve less", "Reject"]
    assert buttons(browser(place.admin), request) == ["Withdraw"]
    assert buttons(browser(member(place.acme, "auditor")), request) == []
    assert buttons(browser(make_approver(place.acme)), request) == []
    ago(request, opened=-72, ends=0)
    assert buttons(browser(place.ada), request) == []
    assert buttons(browser(place.admin), request) == []

    own = make_request(place.acme, by=place.owner, never_allowed=True)
    assert buttons(browser(place.ada), own) == single
    page = browser(place.owner).get(page_of(own))
    assert [button.label for button in page.context["buttons"]] == ["Withdraw"]
    assert page.context["notes"] == ["You asked for this, so somebody else decides."]
    own.originators.add(place.ben)
    told = browser(place.ben).get(page_of(own)).context["notes"]
    assert told == ["You are behind this, or know a secret that it is about, so somebody else decides."]
    need_approvals(place.acme, high=1, narrowing_allowed=False)
    assert buttons(browser(place.ada), make_request(place.acme, by=place.admin)) == single


def test_a_link_only_opens_the_page_and_get_decides_nothing(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    ada = browser(place.ada)

    for verb in ("change", "approve", "approve-less", "reject"):
        assert ada.get(page_of(request, verb)).status_code == 200
    assert browser(place.admin).get(page_of(request, "withdraw")).status_code == 200
    assert ada.post(page_of(request)).status_code == 405

    request.refresh_from_db()
    assert (request.status, request.decisions.count()) == ("open", 0)
    assert Client().get(page_of(request)).status_code == 302


def test_it_is_approved_with_the_digest_that_was_shown(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    ada = browser(place.ada)
    asked = ada.get(page_of(request, "approve"))
    form = asked.context["form"]
    assert form["diff_digest"].value() == request.diff_digest
    assert "<li>tokens may be without an end</li>" in text(asked)

    sent = {"diff_digest": request.diff_digest, "comment": "Fine"}
    answer = ada.post(page_of(request, "approve"), sent, follow=True)

    assert "Approved: it holds from now on." in text(answer)
    assert policy_of(as_stored(place.acme)).never_allowed
    assert [vote.comment for vote in request.decisions.all()] == ["Fine"]


def test_of_two_approvals_the_first_says_that_others_are_needed(place: Place) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)
    sent = {"diff_digest": request.diff_digest, "comment": ""}
    asked = browser(place.ada).get(page_of(request, "approve"))
    assert "It holds once 2 have approved it; one rejection ends it." in text(asked)

    answer = browser(place.ada).post(page_of(request, "approve"), sent, follow=True)

    assert "Your approval counts; others are needed." in text(answer)
    assert buttons(browser(place.ada), request) == []
    assert not policy_of(as_stored(place.acme)).never_allowed


def test_what_was_changed_meanwhile_comes_back_to_be_read_again(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    seen = request.diff_digest
    diff = {**request.diff, "changes": {"self_approval": [False, True]}}
    proposal = Proposal(Risk.HIGH, diff, ("something else",))
    ApprovalRequest.objects.filter(pk=request.pk).update(
        diff=diff, diff_digest=proposal.digest, diff_words=["something else"]
    )
    ada = browser(place.ada)

    for verb, more in {"approve": {}, "reject": {"comment": "No"}}.items():
        answer = ada.post(page_of(request, verb), {"diff_digest": seen, "comment": "", **more})
        assert answer.status_code == 409
        assert "It is not what you saw any more" in text(answer)
        assert "<li>something else</li>" in text(answer)
        assert answer.context["form"]["diff_digest"].value() == proposal.digest
        assert f'value="{proposal.digest}"' in text(answer)
    request.refresh_from_db()
    assert (request.status, request.decisions.count()) == ("open", 0)


def test_less_is_approved_by_what_stays_ticked(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    ada = browser(place.ada)
    address = page_of(request, "approve-less")
    offered = ada.get(address).context["form"]["kept"]
    assert (
        [value for value, _ in offered.field.choices] == offered.value() == ["never_allowed", "self_approval"]
    )

    nothing = ada.post(address, {"diff_digest": request.diff_digest})
    assert "Nothing would be left; reject it instead." in text(nothing)
    everything = ada.post(
        address, {"diff_digest": request.diff_digest, "kept": ["never_allowed", "self_approval"]}
    )
    assert "This is all of it; approve it as it is." in text(everything)
    ada.post(address, {"diff_digest": request.diff_digest, "kept": ["never_allowed"]})

    request.refresh_from_db()
    assert request.status == "approved"
    assert not policy_of(as_stored(place.acme)).self_approval


def test_it_is_rejected_with_a_reason_and_withdrawn(place: Place) -> None:
    first = make_request(place.acme, by=place.admin)
    ada, admin = browser(place.ada), browser(place.admin)
    digest = {"diff_digest": first.diff_digest}

    for comment in ("", "\u200b"):
        again = ada.post(page_of(first, "reject"), {**digest, "comment": comment})
        assert again.context["form"].errors.keys() == {"comment"}
    ada.post(page_of(first, "reject"), {**digest, "comment": "Not yet"})
    first.refresh_from_db()
    assert first.status == "rejected"

    second = make_request(place.acme, by=place.admin)
    assert ada.get(page_of(second, "withdraw")).status_code == 403
    assert ada.post(page_of(second, "withdraw"), {"reason": ""}).status_code == 403
    answer = admin.post(page_of(second, "withdraw"), {"reason": "A mistake"}, follow=True)
    second.refresh_from_db()
    assert second.status == "withdrawn"
    assert "The request is withdrawn." in text(answer)


def test_one_s_own_and_strangers_requests_are_not_decided_here_either(place: Place) -> None:
    request = make_request(place.acme, by=place.owner)
    stranger = make_approver(make_organization("other"))
    sent = {"diff_digest": request.diff_digest, "comment": "Mine"}

    own = browser(place.owner).post(page_of(request, "approve"), sent)
    assert own.status_code == 403
    assert browser(stranger).post(page_of(request, "approve"), sent).status_code == 404
    assert browser(stranger).get(page_of(request)).status_code == 404
    without_token = Client(enforce_csrf_checks=True)
    without_token.force_login(place.ada)
    assert without_token.post(page_of(request, "approve"), sent).status_code == 403

    request.refresh_from_db()
    assert (request.status, request.decisions.count()) == ("open", 0)
    assert events(action="approval.granted") == ["approval.granted denied"]


def test_the_pages_ask_the_database_a_fixed_number_of_times(place: Place) -> None:
    need_approvals(place.acme, high=2)
    client = browser(place.ada)

    def queries(address: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(address).status_code == 200
        return len(captured)

    request = make_request(place.acme, by=place.admin)
    queries(LIST)
    one = queries(f"{LIST}?standing=settled"), queries(LIST), queries(page_of(request))
    for _ in range(5):
        request = make_request(place.acme, by=place.admin)
    decisions.approve(request, digest=request.diff_digest, by=session(place.ben))
    make_approver(place.acme)

    many = queries(f"{LIST}?standing=settled"), queries(LIST), queries(page_of(request))
    assert many[1:] == one[1:]
    assert max(*one, *many) <= 15, (one, many)
