"""What every answer of the house has in common, whoever gives it."""

from typing import Any

import pytest
from django.test import Client

from config.edge.tasks import heartbeat
from tests.factories import make_superuser

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/static/nowhere.css", 404, "not_found"),
        ("POST", "/nowhere", 404, "not_found"),
        ("DELETE", "/api/v1/nowhere/", 404, "not_found"),
        ("POST", "/", 405, "method_not_allowed"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
        ("POST", "/readyz", 405, "method_not_allowed"),
        ("PUT", "/gate/verify", 405, "method_not_allowed"),
    ],
)
def test_an_error_is_a_problem_document_on_every_path(method: str, path: str, status: int, code: str) -> None:
    response = Client(enforce_csrf_checks=True).generic(method, path)

    assert (response.status_code, response["Content-Type"], response.json()["code"]) == (
        status,
        PROBLEM,
        code,
    )
    assert response.json()["request_id"] == response["X-Request-ID"]
    assert response.has_header("Allow") == (status == 405)


def test_a_process_that_is_up_says_so_without_asking_anybody() -> None:
    response = Client().get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "up"})


@pytest.mark.django_db
def test_a_house_with_all_it_needs_is_ready() -> None:
    heartbeat()  # of the worker

    response = Client().get("/readyz")

    assert (response.status_code, response.json()["status"]) == (200, "ready")
    assert set(response.json()["checks"].values()) == {"ok"}


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/docs/", "/nowhere"])
def test_every_answer_hardens_the_browser(path: str) -> None:
    response = Client().get(path)

    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"


def test_the_documentation_has_no_inline_code_for_the_policy_to_refuse() -> None:
    page = Client().get("/api/v1/docs/").content.decode()

    assert "swagger-ui-bundle.js" in page
    assert "<style" not in page
    assert "<script>" not in page


@pytest.mark.parametrize(
    ("method", "headers"),
    [("PUT", {}), ("POST", {"content-encoding": "gzip"}), ("POST", {"content-length": "10000000"})],
)
def test_the_gate_tells_a_proxy_nothing_that_the_proxy_makes_a_500(
    method: str, headers: dict[str, str]
) -> None:
    response = Client().generic(method, "/gate/verify?deny=403", headers=headers)

    assert response.status_code == 403
    assert response.json()["status"] == 403


@pytest.mark.django_db
def test_signing_in_leads_home() -> None:
    user = make_superuser()
    user.set_password("correct horse battery")
    user.save(update_fields=["password"])

    form = {"username": user.username, "password": "correct horse battery"}
    assert Client().post("/admin/login/", form).headers["Location"] == "/admin/"


@pytest.mark.django_db
def test_the_api_describes_itself_in_json_without_asking_the_database_again(
    django_assert_num_queries: Any,
) -> None:
    Client().get("/api/v1/schema/")

    with django_assert_num_queries(0):
        response = Client().get("/api/v1/schema/")

    assert response["Content-Type"].startswith("application/vnd.oai.openapi+json")
    assert "/api/v1/tokens/{id}/rotate/" in response.json()["paths"]
