"""Records one event, in the caller's transaction: no change without its event, no event without its change."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from django.db import Error as AnyDatabaseError
from django.db import connection

from audit import frames
from audit.actions import Action, Outcome
from audit.models import Event
from audit.targets import Auditable as Auditable
from audit.targets import Target as Target
from audit.webhooks import queue
from config.edge import context
from config.edge.access import Actor
from config.edge.clock import now
from config.edge.ids import uuid7
from config.edge.refusals import Unavailable
from config.edge.scrubbing import scrubbed

UNWRITTEN = "The audit trail can't be written, so nothing was done."
BATCH = 1000  # events of one statement


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
        queue.owe(action, event.organization_id, [event.pk])
    except AnyDatabaseError as error:
        raise Unavailable(UNWRITTEN) from error
    frames.note_target(event.target_id)
    return event


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """{name: [before, after]} of what `after` says otherwise, for an event's data; None where nothing was said."""
    return {name: [before.get(name), value] for name, value in after.items() if before.get(name) != value}


def record_all(
    action: Action,
    *,
    by: HasActor,
    targets: Sequence[Auditable | Target],
    data: dict[str, Any] | None = None,
    reason: str = "",
) -> None:
    """As `record`, the same event about each of many targets, in as few statements as hold them."""
    said = _said(action, by, data, Outcome.ALLOWED, reason)
    try:
        for start in range(0, len(targets), BATCH):
            about = [{"id": uuid7(), **_about(target)} for target in targets[start : start + BATCH]]
            if connection.vendor == "postgresql":
                _insert_said_once(said, about)
            else:
                Event.objects.bulk_create(Event(**said, **each) for each in about)
            for organization_id in dict.fromkeys(each["organization_id"] for each in about):
                ids = [each["id"] for each in about if each["organization_id"] == organization_id]
                queue.owe(action, organization_id, ids)
    except AnyDatabaseError as error:
        raise Unavailable(UNWRITTEN) from error


def _insert_said_once(said: dict[str, Any], about: list[dict[str, Any]]) -> None:
    """Many events that differ only in what they are about: what they have in common is sent once, not a column of it.
    It halves the time that the end of ten thousand tokens takes."""
    fields = {field.attname: field for field in Event._meta.concrete_fields}
    # without a length: a cast to varchar(30) would cut what an insert refuses
    types = {name: (fields[name].db_type(connection) or "").partition("(")[0] for name in about[0]}
    arrays = [f"unnest(%s::{types[name]}[])" for name in about[0]]
    columns = ", ".join(map(connection.ops.quote_name, (*about[0], *said)))
    values = ", ".join((*arrays, *["%s"] * len(said)))
    table = connection.ops.quote_name(Event._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({columns}) SELECT {values}",
            [[each[name] for each in about] for name in about[0]]
            + [fields[name].get_db_prep_save(value, connection) for name, value in said.items()],
        )


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
