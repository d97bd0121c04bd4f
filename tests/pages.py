"""The admin's pages as a browser uses them: a form is opened before it is sent, with what is hidden in it."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from fleets.models import User
from tests.factories import sign_in

VERB = re.compile(r"/admin/\w+/\w+/[^/]+/[\w-]+/")
LINE_END = re.compile(r"\r\n?|\n")
VERSION = re.compile(r'name="version" value="(\d+)"')


class Browser(Client):
    """Sends the version that a verb's page holds, and ends lines as browsers do. `Client` sends what it is given."""

    def post(self, path: str, data: Any = None, **extra: Any) -> Any:  # type: ignore[override]
        sent = as_sent(data or {})
        hidden = {} if "version" in sent else self._hidden(path)
        return super().post(path, {**hidden, **sent}, **extra)

    def _hidden(self, path: str) -> dict[str, str]:
        return hidden_in(self.get(path).content.decode()) if VERB.fullmatch(path) else {}


def as_sent(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a form holds as browsers send it: each line of a text ends with CR LF (WHATWG HTML, form submission)."""
    return {
        name: LINE_END.sub("\r\n", value) if isinstance(value, str) else value for name, value in data.items()
    }


def hidden_in(page: str) -> dict[str, str]:
    found = VERSION.search(page)
    return {"version": found[1]} if found else {}


def queries_of(pages: Mapping[Any, tuple[Client, str]]) -> dict[Any, int]:
    """How many statements each of these takes, a client and an address by any name."""
    found = {}
    for name, (client, address) in pages.items():
        with CaptureQueriesContext(connection) as queries:
            status = client.get(address).status_code
        assert status == 200, f"{name}: {address} is a {status}"
        found[name] = len(queries)
    return found


def browser(user: User) -> Browser:
    """Signed in."""
    client = Browser()
    sign_in(client, user)
    return client
