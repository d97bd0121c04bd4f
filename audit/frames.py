"""What the verb that is running has gathered so far: who acts, the effects it owes, the id of what it is about, who
listens to the organizations it touches."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from audit.models import OutboxRow, WebhookEndpoint
from config.edge.access import Access


@dataclass
class Frame:
    """One running outermost verb."""

    by: Access | None = None
    owed: list[OutboxRow] = field(default_factory=list)
    target_id: str = ""
    listeners: dict[Any, list[WebhookEndpoint]] = field(default_factory=dict)  # by organization
    owes_webhooks: bool = False


_running: ContextVar[Frame | None] = ContextVar("verb", default=None)


def running() -> Frame | None:
    return _running.get()


@contextmanager
def opened(by: Access | None = None) -> Iterator[Frame]:
    frame = Frame(by)
    token = _running.set(frame)
    try:
        yield frame
    finally:
        _running.reset(token)


def note_target(target_id: str) -> None:
    if frame := _running.get():
        frame.target_id = target_id
