"""Every error is a problem document (RFC 9457), on every path and status, and tells no internals."""

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from tests.edge.urls_that_fail import FAILURES, OF_THE_API
from tests.factories import API, make_fleet, make_machine, make_organization, owner_of, session_client

FAILING = pytest.mark.urls("tests.edge.urls_that_fail")


def assert_problem(response: Any, status: int, code: str) -> None:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    body = response.json()
    assert set(body) >= {"type", "title", "status", "detail", "code", "request_id"}
    assert (body["status"], body["code"], body["request_id"]) == (status, code, response["X-Request-ID"])


@FAILING
@pytest.mark.parametrize("failure", OF_THE_API)
def test_what_a_view_of_the_api_raises_becomes_a_problem(failure: str) -> None:
    _, status, code = OF_THE_API[failure]

    response = APIClient(raise_request_exception=False).get(f"/api/v1/{failure}/")

    assert_problem(response, status, code)
    assert not any(
        word in response.content.decode() for word in ("hunter2", "10.9.8.7", "secret", "Traceback")
    )
    assert response.has_header("Retry-After") == (status == 503)


@FAILING
@pytest.mark.parametrize("failure", FAILURES)
def test_what_any_other_view_raises_becomes_a_problem_too(failure: str) -> None:
    _, status, code = FAILURES[failure]

    response = Client(raise_request_exception=False).get(f"/plain/{failure}")

    assert_problem(response, status, code)
    assert not any(
        word in response.content.decode() for word in ("hunter2", "10.9.8.7", "secret", "Traceback")
    )


@FAILING
@pytest.mark.parametrize("failure", FAILURES)
def test_the_admin_answers_people_with_a_page(failure: str) -> None:
    response = Client(raise_request_exception=False).get(f"/admin/{failure}")

    assert response.status_code == FAILURES[failure][1]
    assert response["Content-Type"].startswith("text/html")
    assert response["X-Request-ID"] in response.content.decode()
    assert "hunter2" not in response.content.decode()


@FAILING
def test_members_of_a_refusal_stand_in_the_document() -> None:
    client = APIClient()

    assert client.get("/api/v1/conflict/").json()["id"] == "7"
    assert client.get("/api/v1/scope/").json()["scope"] == "machines:read"
    assert client.get("/api/v1/unavailable/")["Retry-After"] == "7"


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api/v1/nowhere/", "/api/v1/machines", "/api/", "/gate/", "/..%2f", "/%00"]
)
def test_where_there_is_nothing_there_is_a_404(path: str) -> None:
    assert_problem(Client().get(path), 404, "not_found")


@pytest.mark.django_db
def test_the_api_answers_every_mistake_with_a_problem() -> None:
    organization = make_organization()
    machine = make_machine(make_fleet(organization, "edge"), "edge-1")
    client = session_client(owner_of(organization))
    machines, one = f"{API}machines/", f"{API}machines/{machine.pk}/"
    text: dict[str, Any] = {"content_type": "text/plain"}
    json: dict[str, Any] = {"content_type": "application/json"}

    assert_problem(APIClient().get(machines), 401, "credential_missing")
    assert_problem(client.post(machines, "fleet=edge", **text), 415, "unsupported_media_type")
    assert_problem(
        client.post(machines, "<a/>", content_type="application/xml"), 415, "unsupported_media_type"
    )
    assert_problem(client.post(machines, "{", **json), 400, "invalid")
    assert_problem(client.post(machines, "{}" + " " * 70_000, **json), 413, "body_too_large")
    assert_problem(client.delete(machines), 405, "method_not_allowed")
    assert_problem(client.trace(machines), 405, "method_not_allowed")
    assert_problem(client.patch(one, {"tags": []}, headers={"if-match": '"9"'}), 412, "precondition_failed")
    assert_problem(client.post(machines, {"fleet": "edge", "name": "edge-1"}), 409, "name_taken")


@pytest.mark.django_db
def test_several_wrong_fields_are_all_named() -> None:
    organization = make_organization()
    make_fleet(organization, "edge")

    response = session_client(owner_of(organization)).post(
        f"{API}machines/", {"fleet": "edge", "name": "", "kind": "x", "vmid": "y", "tags": ["ok", 5]}
    )

    assert_problem(response, 400, "invalid")
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [
        ("name", "blank"),
        ("vmid", "invalid"),
        ("kind", "invalid_choice"),
        ("tags.1", "invalid"),
    ]
    assert all(error["detail"] for error in response.json()["errors"])
