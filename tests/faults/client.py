"""Programs that speak to a web process over HTTP, and survive its death."""

import http.client
import json
import urllib.error
import urllib.request
from typing import Any, NamedTuple, Protocol

from tokens.issuance import Issued

TIMEOUT = 20.0  # seconds
CUT = 0  # the status of a call that got no answer


class Reply(NamedTuple):
    """An answer, or what is left of one: status CUT and no body where the connection broke."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


class HasAddress(Protocol):
    @property
    def url(self) -> str: ...


class Program:
    """Somebody with a token's secret."""

    def __init__(self, web: HasAddress, issued: Issued | str) -> None:
        self.web = web
        self._secret = issued if isinstance(issued, str) else issued.secret.reveal()

    def send(self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = "") -> Reply:
        headers = {"Authorization": f"Bearer {self._secret}", "Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 (our own)
            self.web.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers=headers | ({"Idempotency-Key": key} if key else {}),
            method=method,
        )
        try:
            with _answer(request) as answer:
                content = answer.read()
        except (OSError, http.client.HTTPException):  # before the answer, or in the middle of it
            return Reply(CUT, {}, {})
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status, json.loads(content) if content else {}, headers)


def _answer(request: urllib.request.Request) -> Any:
    """Whatever the status is, an answer whose body is still to be read."""
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310 (our own)
    except urllib.error.HTTPError as refusal:
        return refusal
