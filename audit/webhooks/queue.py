"""Owes an event to the endpoints that want it, in the transaction of the event."""

from collections.abc import Sequence
from uuid import UUID

from audit import frames
from audit.models import WebhookDelivery, WebhookEndpoint
from audit.webhooks.filters import NEVER_SENT, wants
from config.edge.clock import now

BATCH = 500  # rows of one statement: SQLite takes so many parameters


def owe(action: str, organization_id: UUID | None, event_ids: Sequence[UUID]) -> None:
    """Owe events of one organization. Asks who listens once a verb; of uses, and of what is nobody's, never."""
    if organization_id is None or action in NEVER_SENT:
        return
    wanting = [endpoint for endpoint in _listeners(organization_id) if wants(endpoint.actions, action)]
    if wanting:
        owe_to(wanting, action, event_ids)


def owe_to(endpoints: Sequence[WebhookEndpoint], action: str, event_ids: Sequence[UUID]) -> None:
    """Owe events to these endpoints, whatever they want."""
    at = now()
    rows = [
        WebhookDelivery(
            endpoint=endpoint, event_id=event_id, action=action, due_at=at, owed_since=at, created_at=at
        )
        for endpoint in endpoints
        for event_id in event_ids
    ]
    WebhookDelivery.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)
    if frame := frames.running():
        frame.owes_webhooks = True


def _listeners(organization_id: UUID) -> list[WebhookEndpoint]:
    frame = frames.running()
    known = frame.listeners if frame else {}
    if organization_id not in known:
        rows = WebhookEndpoint.objects.present().filter(organization_id=organization_id, enabled=True)
        known[organization_id] = list(rows.only("id", "actions").order_by("pk"))
    return known[organization_id]


def forget_listeners() -> None:
    """For verbs that change who listens: their own event is for those who do so from now on."""
    if frame := frames.running():
        frame.listeners.clear()
