"""Which columns of a token django-auditlog keeps diffs of. It knows nothing of the rows that hold digests."""

from audit import diffs
from tokens.models import Token

TRACKED = (
    "name",
    "description",
    "role",
    "access_level",
    "all_machines",
    "extended_templates",
    "extended_networks",
    "extended_images",
    "risk",
    "status",
    "status_reason",
    "lifetime",
    "expires_at",
    "rotate_every",
    "allowed_networks",
    "rate_limit",
    "access_windows",
)


def register() -> None:
    diffs.track(Token, *TRACKED)
