"""`approvals/` over HTTP: what people read and decide there, and what nobody else does."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from approvals.models import ApprovalRequest
from fleets.models import User
from fleets.organization_policy import policy_of
from tests.approvals.conftest import Place
from tests.approvals.test_requests import ago
from tests.factories import (
    API,
    as_stored,
    events,
    last_event,
    make_approver,
    make_organization,
    make_request,
    make_token,
    member,
    need_approvals,
    session_client,
    token_client,
)

pytestmark = pytest.mark.django_db
LIST = f"{API}approvals/"


def at(request: ApprovalRequest, verb: str = "") -> str:
    return f"{LIST}{request.pk}/{verb}/" if verb else f"{LIST}{request.pk}/"


def seen(client: APIClient, **query: Any) -> list[str]:
    answer = client.get(LIST, query)
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def post(client: APIClient, request: ApprovalRequest, verb: str, body: Any, **more: Any) -> Any:
    return client.post(at(request, verb), body, format="json", **more)


def test_a_request_says_all_that_a_decision_needs(place: Place) -> None:
    request = make_request(place.acme, by=place.admin, reason="The pilot")

    answer = session_client(place.ada).get(at(request))

    assert answer.status_code == 200
    assert answer["ETag"] == '"1"'
    assert answer["Cache-Control"] == "no-store"
    body = answer.json()
    assert {name: value for name, value in body.items() if not name.endswith("_at")} == {
        "id": str(request.pk),
        "organization": "acme",
        "kind": "policy_change",
        "subject": {"type": "organization", "id": str(place.acme.pk), "label": "acme"},
        "status": "open",
        "risk": "high",
        "reason": "The pilot",
        "diff": request.diff,
        "diff_words": ["tokens may be without an end", "people may approve their own requests"],
        "diff_digest": request.diff_digest,
        "needed": 1,
        "granted": 0,
        "decisions": [],
        "requested_by": "admin",
        "may_decide": True,
        "may_withdraw": False,
        "own_request": False,
    }
    assert {name for name in body if name.endswith("_at")} == {"requested_at", "expires_at", "closed_at"}
    assert body["closed_at"] is None

    own = session_client(place.admin).get(at(request)).json()
    assert (own["may_decide"], own["own_request"]) == (False, True)


@pytest.mark.parametrize("credential", ["session", "token"])
def test_it_is_approved_over_http_in_session_or_by_a_personal_token(place: Place, credential: str) -> None:
    request = make_request(place.acme, by=place.admin)
    issued = make_token(place.ada, "approvals:decide")
    client = token_client(issued) if credential == "token" else session_client(place.ada)
    read = client.get(at(request))

    answer = post(
        client,
        request,
        "approve",
        {"comment": "Fine", "diff_digest": read.json()["diff_digest"]},
        headers={"if-match": read["ETag"]},
    )

    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["status"], body["granted"], body["may_decide"]) == ("approved", 1, False)
    [decision] = body["decisions"]
    assert (decision["user"], decision["verdict"], decision["comment"]) == ("ada", "approve", "Fine")
    assert policy_of(as_stored(place.acme)).never_allowed
    assert last_event(action="approval.granted").on_behalf_of_label == (
        "ada" if credential == "token" else ""
    )


def test_it_is_approved_in_part(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    body = {"diff_digest": request.diff_digest, "narrowed": {"changes": ["never_allowed"]}}

    answer = post(session_client(place.ada), request, "approve", body)

    assert answer.json()["status"] == "approved"
    assert answer.json()["diff_words"] == ["tokens may be without an end"]
    assert not policy_of(as_stored(place.acme)).self_approval


def test_it_is_rejected_and_withdrawn(place: Place) -> None:
    ada, admin = session_client(place.ada), session_client(place.admin)
    first = make_request(place.acme, by=place.admin)
    said = {"comment": "Not before the audit", "diff_digest": first.diff_digest}
    assert post(ada, first, "reject", said).json()["status"] == "rejected"

    second = make_request(place.acme, by=place.admin)
    assert post(ada, second, "withdraw", {}).status_code == 403
    withdrawn = post(admin, second, "withdraw", {"reason": "A mistake"})

    assert (withdrawn.status_code, withdrawn.json()["status"]) == (200, "withdrawn")
    assert withdrawn.json()["closed_at"] is not None
    assert post(ada, second, "reject", said | {"diff_digest": second.diff_digest}).status_code == 409


@pytest.mark.parametrize(
    ("verb", "body", "status", "field"),
    [
        ("reject", {}, 400, "comment"),
        ("reject", {"comment": ""}, 400, "comment"),
        ("reject", {"comment": "\u3164"}, 400, "comment"),
        ("reject", {"comment": "No", "diff_digest": None}, 400, "diff_digest"),
        ("reject", {"comment": "n" * 1001}, 400, "comment"),
        ("reject", {"comment": "No", "narrowed": {}}, 400, "narrowed"),
        ("approve", {"diff_digest": 1}, 400, "diff_digest"),
        ("approve", {"comment": None}, 400, "comment"),
        ("approve", {"verdict": "approve"}, 400, "verdict"),
        ("approve", {"narrowed": []}, 400, "narrowed"),
        ("approve", {"narrowed": {"changes": ["deciders"]}}, 400, "narrowed.changes"),
        ("approve", {"diff_digest": "0" * 64}, 409, ""),
        ("withdraw", {"comment": "x"}, 400, "comment"),
    ],
)
def test_a_body_that_can_not_be_meant_decides_nothing(
    place: Place, verb: str, body: dict[str, Any], status: int, field: str
) -> None:
    request = make_request(place.acme, by=place.admin)
    digest = {} if verb == "withdraw" else {"diff_digest": request.diff_digest}

    answer = post(session_client(place.ada), request, verb, {**digest, **body})

    assert answer.status_code == status, answer.content
    problem = answer.json()
    assert [error["field"] for error in problem.get("errors", [])] == ([field] if field else [])
    request.refresh_from_db()
    assert (request.status, request.decisions.count()) == ("open", 0)


def test_a_digest_is_needed_and_a_stale_version_is_told_from_a_stale_diff(place: Place) -> None:
    need_approvals(place.acme, high=2)
    request = make_request(place.acme, by=place.admin)
    client = session_client(place.ben)
    post(session_client(place.ada), request, "approve", {"diff_digest": request.diff_digest})

    assert post(client, request, "approve", {}).json()["errors"][0]["field"] == "diff_digest"
    said = {"diff_digest": request.diff_digest}
    assert post(client, request, "approve", said, headers={"if-match": '"1"'}).status_code == 412
    assert post(client, request, "approve", said).json()["status"] == "approved"


def test_decisions_are_refused_with_what_stands_against_them(place: Place) -> None:
    request = make_request(place.acme, by=place.owner)
    said = {"diff_digest": request.diff_digest}

    own = post(session_client(place.owner), request, "approve", said)
    assert (own.status_code, own.json()["code"]) == (403, "own_request")
    through_token = token_client(make_token(place.owner, "approvals:decide"))
    assert post(through_token, request, "approve", said).json()["code"] == "own_request"
    auditor = post(session_client(member(place.acme, "auditor")), request, "approve", said)
    assert (auditor.status_code, auditor.json()["code"]) == (403, "forbidden")
    ago(request, opened=-72, ends=0)
    late = post(session_client(place.ada), request, "approve", said)
    assert (late.status_code, late.json()["code"]) == (409, "request_lapsed")
    assert session_client(place.ada).get(at(request)).json()["status"] == "lapsed"
    assert not policy_of(as_stored(place.acme)).never_allowed


def test_tokens_without_the_scope_read_and_decide_nothing(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    refused = [
        make_token(place.ada, "tokens:read"),
        make_token(place.acme, "machines:read"),
    ]

    for issued in refused:
        client = token_client(issued)
        for answer in (
            client.get(LIST),
            client.get(at(request)),
            client.get(f"{LIST}00000000-0000-7000-8000-000000000000/"),
            post(client, request, "approve", {"diff_digest": request.diff_digest}),
            post(client, request, "withdraw", {}),
        ):
            assert answer.status_code == 403, answer.content
            assert answer.json()["code"] == "insufficient_scope"
            assert 'scope="approvals:decide"' in answer["WWW-Authenticate"]
    assert events(action="token.denied") == ["token.denied denied"] * 10
    assert not request.decisions.exists()


def test_one_sees_what_one_asked_for_and_deciders_and_overseers_all_of_it(place: Place) -> None:
    request = make_request(place.acme, by=place.admin)
    elsewhere = make_organization("other")
    make_approver(elsewhere)
    everybody = {
        place.owner: 1,
        place.admin: 1,
        place.ada: 1,
        member(place.acme, "auditor"): 1,
        member(place.acme): 0,
        member(elsewhere, "owner"): 0,
    }
    for person, count in everybody.items():
        client = session_client(person)
        assert len(seen(client)) == count
        assert client.get(at(request)).status_code == (200 if count else 404)
        if not count:
            assert post(client, request, "withdraw", {}).status_code == 404

    demoted = place.acme.memberships.get(user=place.admin)
    demoted.role = "member"
    demoted.save()
    assert seen(session_client(place.admin)) == [str(request.pk)], "who asked"


def test_the_list_is_filtered(place: Place) -> None:
    need_approvals(place.acme, high=2)
    gone = make_request(place.acme, by=place.admin)
    voted = make_request(place.acme, by=place.owner, never_allowed=True)
    ada, ben, owner = (session_client(user) for user in (place.ada, place.ben, place.owner))
    post(ada, voted, "approve", {"diff_digest": voted.diff_digest})
    old, new = str(gone.pk), str(voted.pk)

    assert seen(ada) == [new, old]
    assert seen(ada, status="open") == [new]
    assert seen(ada, status="superseded") == [old]
    assert seen(ada, kind="policy_change") == [new, old]
    assert seen(ada, kind="token_issue") == []
    assert seen(ada, subject=str(place.acme.pk)) == [new, old]
    assert seen(ada, subject="x") == []
    assert seen(ada, requested_by="ADMIN") == [old]
    assert seen(ada, organization="acme", limit=1) == [new]
    assert [seen(client, decidable="true") for client in (ada, ben, owner)] == [[], [new], []]
    assert seen(ben, decidable="false") == [old]
    assert ada.get(LIST, {"organization": "other"}).status_code == 404
    for name, value in {"status": "pending", "kind": "x", "needed": "1", "decidable": "\x00"}.items():
        assert ada.get(LIST, {name: value}).status_code == 400, name


@pytest.mark.parametrize("free", [False, True])
def test_what_one_may_decide_is_what_the_list_and_the_request_say(place: Place, free: bool) -> None:
    late = make_approver(place.acme)
    ApprovalRequest.objects.all().delete()
    if free:
        need_approvals(place.acme, high=1, self_approval=True)
    request = make_request(place.acme, by=place.owner, never_allowed=True)
    later = make_approver(place.acme)
    people: dict[User, bool] = {place.owner: free, place.ada: True, late: True, later: False}

    for person, may in people.items():
        client = session_client(person)
        assert client.get(at(request)).json()["may_decide"] is may
        assert seen(client, decidable="true") == ([str(request.pk)] if may else [])
        said = {"diff_digest": "0" * 64}  # 409 once it is theirs to decide
        assert post(client, request, "approve", said).status_code == (409 if may else 403)


def test_the_list_asks_the_same_of_one_row_and_of_many(place: Place) -> None:
    need_approvals(place.acme, high=2)
    client = session_client(place.ada)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(LIST).status_code == 200
        return len(captured)

    make_request(place.acme, by=place.admin)
    one = queries()
    for _ in range(4):
        request = make_request(place.acme, by=place.admin)
    post(session_client(place.ben), request, "approve", {"diff_digest": request.diff_digest})

    assert queries() == one <= 20
