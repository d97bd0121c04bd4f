"""Field diffs of what people edit, kept by django-auditlog: which columns became what, by whom, in which request.

A convenience beside the trail, never the security log: bulk changes leave none, what is made leaves none (its event
says all of it), and an entry may be deleted. Entries join our events by the request's id, in `cid`. The columns are
named one by one: a new one is kept only once somebody has said that it holds no secret.
"""

from collections.abc import Iterable
from typing import Any

from auditlog.models import LogEntry
from auditlog.registry import auditlog
from auditlog.signals import pre_log
from django.db.models import Model
from django.db.models.signals import pre_save

from audit import frames
from config.edge import context
from config.edge.access import Actor
from config.edge.scrubbing import scrubbed

Changes = dict[str, list[Any]]  # {field: [before, after]}


def register() -> None:
    """Once a process: auditlog's own way to know the caller adds a receiver with each request."""
    pre_log.connect(_is_an_edit, dispatch_uid="audit.diffs.is_an_edit")
    pre_save.connect(_say_who, sender=LogEntry, dispatch_uid="audit.diffs.say_who")


def track(model: type[Model], *columns: str) -> None:
    auditlog.register(model, include_fields=list(columns))


def of(row: Model, request_ids: Iterable[str]) -> dict[str, Changes]:
    """What each of these requests changed in a row."""
    found: dict[str, Changes] = {}
    entries = LogEntry.objects.get_for_object(row).filter(cid__in=list(request_ids)).order_by("pk")
    for cid, changes in entries.values_list("cid", "changes"):
        of_request = found.setdefault(cid, {})
        for name, (before, after) in (changes or {}).items():
            first = of_request.get(name, [before])[0]
            of_request[name] = [first, after]
    return found


def _is_an_edit(sender: Any, action: int, **_signal: Any) -> bool:
    return bool(action != LogEntry.Action.CREATE)


def _say_who(sender: Any, instance: Any, **_signal: Any) -> None:
    """What auditlog's middleware would ask of the request's headers, from our own context."""
    if not instance._state.adding:
        return
    asked, frame = context.current(), frames.running()
    instance.cid = asked.request_id
    instance.remote_addr = asked.address
    instance.object_repr = scrubbed(instance.object_repr)
    instance.changes = scrubbed(instance.changes)
    if frame is None or frame.by is None:
        return
    by = frame.by
    if by.user is not None and not by.is_operator:
        instance.actor_id = by.user.pk
    behind = by.on_behalf_of
    instance.additional_data = {
        "actor": _as_json(by.actor),
        "on_behalf_of": _as_json(behind) if behind else None,
    }


def _as_json(actor: Actor) -> dict[str, str]:
    return {"type": actor.type, "id": actor.id, "label": scrubbed(actor.label)}
