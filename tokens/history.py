"""What happened to a token: its changes with what became what, and its activity."""

from collections.abc import Iterable
from dataclasses import dataclass

from audit import diffs
from audit.models import Event, EventQuerySet
from tokens.models import Token


@dataclass(frozen=True)
class Change:
    """One change, and {field: [before, after]} as far as anybody kept it."""

    event: Event
    changes: diffs.Changes


def changes_of(token: Token) -> EventQuerySet:
    """From its issue on, newest first: neither its uses nor what was refused."""
    return Event.objects.changes_of("token", token.pk).filter(organization_id=token.organization_id)


def activity_of(token: Token) -> EventQuerySet:
    """All that it did, was refused, and that was done to it, newest first."""
    return Event.objects.about_token(token.pk).filter(organization_id=token.organization_id)


def with_changes(token: Token, events: Iterable[Event]) -> list[Change]:
    """With the fields that each changed: as its event says, and as the diffs of its request say of the others."""
    events = list(events)
    kept = diffs.of(token, {event.request_id for event in events if not _only_asks(event)})
    return [
        Change(
            event,
            {} if _only_asks(event) else {**kept.get(event.request_id, {}), **event.data.get("changes", {})},
        )
        for event in events
    ]


def latest(token: Token, count: int) -> list[Change]:
    """The newest changes, for a page."""
    return with_changes(token, changes_of(token)[:count])


def _only_asks(event: Event) -> bool:
    """What was asked for and decided; what it made of the token stands in another event of the same request."""
    return event.action.startswith("approval.")
