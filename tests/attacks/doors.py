"""The doors at which a secret is shown and the header forms in which it travels, for tables of attacks."""

from collections.abc import Callable
from typing import Any, NamedTuple

from rest_framework.test import APIClient

from tokens.issuance import Issued

Headers = dict[str, str]


class Door(NamedTuple):
    path: str
    opened: int  # the status of an allowed call


DOORS = {
    "whoami": Door("/api/v1/whoami/", 200),
    "machines": Door("/api/v1/machines/", 200),
    "gate": Door("/gate/verify?organization=acme&scope=machines:read&path=/fleets/acme-edge", 204),
}


class Shown(NamedTuple):
    """What the holder of a token knows of it."""

    text: str
    principal: str
    name: str


def shown(issued: Issued) -> Shown:
    return Shown(issued.secret.reveal(), issued.token.principal.username, issued.token.name)


def bearer(text: str, of: Shown) -> Headers:
    return {"Authorization": f"Bearer {text}"}


def x_auth_token(text: str, of: Shown) -> Headers:
    return {"X-Auth-Token": text}


def pve(text: str, of: Shown) -> Headers:
    return {"Authorization": f"PVEAPIToken={of.principal}!{of.name}={text}"}


CARRIERS: dict[str, Callable[[str, Shown], Headers]] = {
    "Bearer": bearer,
    "X-Auth-Token": x_auth_token,
    "PVEAPIToken": pve,
}


client = APIClient(raise_request_exception=False)  # one for all: each new one loads the middleware anew


def knock(door: str, headers: Headers) -> Any:
    """One call at a door, with exactly these headers. A crash inside is a 500, as outside."""
    return client.get(DOORS[door].path, headers=headers)


def assert_problem(response: Any, status: int, code: str) -> None:
    """The response is a problem document of this status and code, and tells nobody more than it should."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    document = response.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= document.keys()
    assert (document["status"], document["code"]) == (status, code)
    assert document["request_id"] == response["X-Request-ID"]
    assert "no-store" in response["Cache-Control"]
    if status == 401:
        assert response["WWW-Authenticate"].startswith('Bearer realm="tokenhouse"')
    if "/gate/" in response.wsgi_request.path and status in {401, 403}:
        assert response["X-Token-Denied"] == code


def without_id(response: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
    """All of an answer but the id of its request."""
    document = {name: value for name, value in response.json().items() if name != "request_id"}
    headers = {name: value for name, value in response.headers.items() if name != "X-Request-ID"}
    return response.status_code, document, headers
