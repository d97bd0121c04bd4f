"""What is sent about an event, and to where: the one place where webhooks leave the house."""

from rest_framework.renderers import JSONRenderer

from audit import organizations
from audit.models import Event, WebhookDelivery, WebhookEndpoint
from audit.representation import EventSerializer
from audit.webhooks import signing
from config.edge import outgoing
from config.edge.clock import now

SENDER = {"Content-Type": "application/json", "User-Agent": "Tokenhouse-Webhooks/1", "Accept": "*/*"}


def send(endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> int | outgoing.Failure:
    """Send one message. Of the answer only the status is read. Unavailable where it can't be signed here."""
    at = now()
    body = body_of(Event.objects.get(pk=delivery.event_id))
    signed = signing.headers(signing.keys_of(endpoint, at), str(delivery.event_id), at, body)
    return outgoing.send("POST", endpoint.url, body=body, headers={**SENDER, **signed})


def body_of(event: Event) -> bytes:
    """`{type, timestamp, data}`: the event as `GET audit/events/{id}/` gives it."""
    assert event.organization_id is not None
    slug = organizations.registered().of_id(event.organization_id).slug
    data = EventSerializer(event, context={"organization": slug}).data
    body: bytes = JSONRenderer().render({"type": event.action, "timestamp": event.at, "data": data})
    return body
