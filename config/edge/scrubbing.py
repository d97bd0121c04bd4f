"""Cuts secrets out of text that is kept: the last resort of logs and trail behind not putting them there at all."""

import re
from typing import Any

LINK = "thl_"  # how the secret part of a mailed link begins
WEBHOOK_SECRET = "whsec_"  # and the key that signs webhooks
SECRET = re.compile(
    r"th[pfgoat]_[0-9A-Za-z]{16}_[0-9A-Za-z]{6,}|thl_[0-9A-Za-z._:=-]{20,}|whsec_[0-9A-Za-z+/=]{20,}"
)
CUT = "[secret]"


def scrubbed(value: Any) -> Any:
    """The value without what looks like a secret, in texts, lists and objects alike."""
    if isinstance(value, str):
        return SECRET.sub(CUT, value)
    if isinstance(value, dict):
        return {scrubbed(key): scrubbed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(inner) for inner in value]
    return value
