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
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return _reply(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return _reply(error.code, error.read(), error.headers)
        except (OSError, http.client.HTTPException):
            return Reply(CUT, {}, {})


def _reply(status: int, content: bytes, headers: Any) -> Reply:
    return Reply(status, json.loads(content) if content else {}, {k.lower(): v for k, v in headers.items()})
