"""How a message is signed: Standard Webhooks 1.0, symmetric (`v1`, HMAC-SHA256 over `id.timestamp.body`).

An endpoint's key is derived from one of the server's peppers, its id and the version of its key: nothing that is stored
lets anybody sign.
"""

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings

from audit.models import WebhookEndpoint
from config.edge.refusals import Unavailable
from config.edge.scrubbing import WEBHOOK_SECRET

PURPOSE = (
    b"tokenhouse: the key that signs webhooks"  # so that it equals no other digest under the same pepper
)


def newest_pepper() -> int:
    """The number of the pepper that new keys are derived from."""
    return max(settings.PEPPERS)


def secret_of(endpoint: WebhookEndpoint) -> str:
    """The present key as receivers write it. Show it once, keep it nowhere."""
    key = _key(endpoint, endpoint.pepper_id, endpoint.key_version)
    return WEBHOOK_SECRET + base64.b64encode(key).decode()


def keys_of(endpoint: WebhookEndpoint, at: datetime) -> list[bytes]:
    """The keys that sign now: the present one, and for a day after a rotation the one before."""
    keys = [_key(endpoint, endpoint.pepper_id, endpoint.key_version)]
    if endpoint.previous_until and at < endpoint.previous_until:
        assert endpoint.previous_pepper_id is not None
        assert endpoint.previous_key_version is not None
        keys.append(_key(endpoint, endpoint.previous_pepper_id, endpoint.previous_key_version))
    return keys


def headers(keys: Sequence[bytes], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a message that is sent at this instant."""
    timestamp = str(int(at.timestamp()))
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _key(endpoint: WebhookEndpoint, pepper_id: int, version: int) -> bytes:
    pepper: bytes | None = settings.PEPPERS.get(pepper_id)
    if pepper is None:
        raise Unavailable("A pepper that this needs is not configured.", code="sealed")
    return hmac.digest(pepper, PURPOSE + endpoint.pk.bytes + version.to_bytes(4, "big"), "sha256")
