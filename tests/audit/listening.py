"""An organization that listens: an endpoint of it, and what its receiver can check by the specification alone."""

import base64
import hashlib
import hmac
import json
from typing import Any

from audit import organizations
from audit.models import WebhookDelivery
from audit.webhooks import delivering, endpoints
from audit.webhooks.endpoints import Revealed
from fleets.models import Organization
from tests.factories import operator
from tests.servers.receiver import Got, Receiver

LOOPBACK = "127.0.0.1/32"


def listen(organization: Organization, receiver: Receiver | str, *actions: str, **options: Any) -> Revealed:
    """An endpoint of the organization."""
    url = receiver if isinstance(receiver, str) else receiver.url
    named = organizations.registered().of_id(organization.pk)
    return endpoints.add(named, url=url, actions=list(actions or ["*"]), by=operator, **options)


def verified(secret: str, got: Got) -> dict[str, Any]:
    """What a message says, if it is signed with the secret: after the text of Standard Webhooks, not after our code."""
    assert secret.startswith("whsec_")
    key = base64.b64decode(secret[len("whsec_") :], validate=True)
    assert 24 <= len(key) <= 64
    signed = b".".join(
        (got.headers["webhook-id"].encode(), got.headers["webhook-timestamp"].encode(), got.body)
    )
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert expected in got.headers["webhook-signature"].split(" "), "not signed with this secret"
    said: dict[str, Any] = json.loads(got.body)
    return said


def deliver() -> int:
    """A turn of each endpoint that is due, here and one after the other; how many messages were taken. The worker gives
    these turns to threads of its own."""
    return sum(delivering.turn(key) for key in delivering.due_and_free())


def states(revealed: Revealed) -> list[tuple[str, str]]:
    """(action, state) of what the endpoint was owed, in its order."""
    rows = WebhookDelivery.objects.filter(endpoint=revealed.endpoint).order_by("pk")
    return [(row.action, row.state) for row in rows]
