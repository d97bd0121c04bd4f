"""Who asked, from where, under which request id: carried beside the call, for the audit trail and the log."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from config.edge.ids import uuid7

if TYPE_CHECKING:
    from config.edge.idempotency import Claim

CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass
class RequestContext:
    """Facts of one request, command or task. Only the last three fields change while it runs."""

    request_id: str = field(default_factory=lambda: str(uuid7()))
    client_request_id: str | None = None
    address: str | None = None
    user_agent: str = ""
    method: str = ""
    path: str = ""
    effective_everywhere: bool = True  # False once a committed change could not be published to every process
    idempotency: "Claim | None" = None
    headers: dict[str, str] = field(default_factory=dict)  # that the answer has, whatever it is


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def current() -> RequestContext:
    """The context bound to this thread of work; outside of any, a fresh one, so that an event never lacks an id."""
    return _current.get() or RequestContext()


@contextmanager
def bound(context: RequestContext) -> Iterator[RequestContext]:
    """Make `context` the current one, for events and log lines alike."""
    token = _current.set(context)
    try:
        with structlog.contextvars.bound_contextvars(request_id=context.request_id):
            yield context
    finally:
        _current.reset(token)
