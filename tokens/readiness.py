"""What `/readyz` and `/metrics` tell of tokens."""

from datetime import datetime, timedelta

from django.db.models import Count

from audit.actions import Action
from audit.models import Event
from config.edge import health, metrics
from config.edge.clock import now
from config.edge.ids import first_uuid7
from config.edge.metrics import Figure
from tokens import emergency, sweeps
from tokens.models import Token
from tokens.models.token import is_expired

LATELY = timedelta(minutes=1)


def register() -> None:
    health.register_due("expiries", oldest_expiry, may_wait=timedelta(minutes=2))
    health.register_due("emergency_ends", oldest_emergency_end, may_wait=timedelta(minutes=1))
    metrics.register(tokens_by_status)
    metrics.register(verifications)


def oldest_expiry() -> datetime | None:
    return sweeps.expired(now()).values_list("expires_at", flat=True).first()


def oldest_emergency_end() -> datetime | None:
    return emergency.due(now()).values_list("ends_at", flat=True).first()


def tokens_by_status() -> Figure:
    """In one query, by the status that is true now."""
    counts = dict.fromkeys([*Token.Status.values, "expired"], 0.0)
    rows = (
        Token.objects.order_by()
        .values_list("status")
        .annotate(every=Count("pk"), expired=Count("pk", filter=is_expired(now())))
    )
    for status, every, expired in rows:
        counts[status] += every - expired
        counts["expired"] += expired
    return Figure("tokens", "Tokens by the status that is true now.", "status", counts)


def verifications() -> Figure:
    """Of the last minute: a range of the trail's primary key."""
    lately = Event.objects.filter(id__gte=first_uuid7(now() - LATELY))
    calls = lately.filter(action__in=[Action.TOKEN_USED, Action.TOKEN_DENIED]).order_by()
    counts = {"allowed": 0.0, "denied": 0.0}
    counts |= dict(calls.values_list("outcome").annotate(Count("pk")))
    return Figure(
        "verifications_last_minute", "Calls by known tokens within the last minute.", "outcome", counts
    )
