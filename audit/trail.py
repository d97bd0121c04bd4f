"""Records one event, in the caller's transaction: no change without its event, no event without its change."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from django.db import Error as AnyDatabaseError

from audit import frames
from audit.actions import Action, Outcome
from audit.models import Event
from config.edge import context
from config.edge.access import Actor
from config.edge.clock import now
from config.edge.refusals import Unavailable
from config.edge.scrubbing import scrubbed

UNWRITTEN = "The audit trail can't be written, so nothing was done."
BATCH = 1000  # events of one statement


@dataclass(frozen=True)
class Target:
    """What an event is about, as it was called when it happened."""

    type: str
    id: str
    label: str
    organization_id: UUID | None = None


class Auditable(Protocol):
    """A row that events can be about."""

    def audit_target(self) -> Target: ...


class HasActor(Protocol):
    """A caller as far as the trail sees it; every `Access` is one."""

    @property
    def actor(self) -> Actor: ...

    @property
    def on_behalf_of(self) -> Actor | None: ...


def record(
    action: Action,
    *,
    by: HasActor,
    target: Auditable | Target,
    data: dict[str, Any] | None = None,
    outcome: Outcome = Outcome.ALLOWED,
    reason: str = "",
) -> Event:
    """Insert one event. Unavailable where it can't be written: then nothing is done.

    `data` is JSON and holds no secret; what a client put one into (a path, its user agent) is kept without it.
    """
    event = Event(**_said(action, by, data, outcome, reason), **_about(target))
    try:
        event.save()
    except AnyDatabaseError as error:
        raise Unavailable(UNWRITTEN) from error
    frames.note_target(event.target_id)
    return event


def record_all(
    action: Action,
    *,
    by: HasActor,
    targets: Iterable[Auditable | Target],
    data: dict[str, Any] | None = None,
    reason: str = "",
) -> list[Event]:
    """As `record`, the same event about each of many targets, in as few statements as hold them."""
    said = _said(action, by, data, Outcome.ALLOWED, reason)
    events = [Event(**said, **_about(target)) for target in targets]
    try:
        return Event.objects.bulk_create(events, batch_size=BATCH)
    except AnyDatabaseError as error:
        raise Unavailable(UNWRITTEN) from error


def _said(
    action: Action, by: HasActor, data: dict[str, Any] | None, outcome: Outcome, reason: str
) -> dict[str, Any]:
    """Everything that an event says but what it is about."""
    asked, behind = context.current(), by.on_behalf_of
    return {
        "at": now(),
        "action": action,
        "outcome": outcome,
        "reason": scrubbed(reason)[:1000],
        "actor_type": by.actor.type,
        "actor_id": by.actor.id,
        "actor_label": scrubbed(by.actor.label)[:200],
        "on_behalf_of_type": behind.type if behind else "",
        "on_behalf_of_id": behind.id if behind else "",
        "on_behalf_of_label": scrubbed(behind.label)[:200] if behind else "",
        "address": asked.address,
        "user_agent": scrubbed(asked.user_agent),
        "request_id": asked.request_id,
        "client_request_id": scrubbed(asked.client_request_id or "")[:64],
        "data": scrubbed(data or {}),
    }


def _about(target: Auditable | Target) -> dict[str, Any]:
    about = target if isinstance(target, Target) else target.audit_target()
    return {
        "organization_id": about.organization_id,
        "target_type": about.type,
        "target_id": about.id,
        "target_label": scrubbed(about.label)[:200],
    }
