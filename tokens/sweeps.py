"""What time does to tokens, recorded: expiries, the ends of overlaps and emergency windows, tokens that nobody uses.

No decision waits for it: each is judged by the clock at every call. A sweep finds nothing by one indexed query, and
works in short transactions, so that no verification waits for it; several of them at once take different rows.
"""

import time
from collections.abc import Callable
from datetime import datetime

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from audit.actions import Action, Outcome
from audit.models import Event
from audit.trail import record, record_all
from audit.verbs import verb
from config.edge import rounds
from config.edge.access import Access
from config.edge.clock import now
from config.edge.ids import first_uuid7
from fleets import currency
from fleets.access import system
from fleets.models import Organization
from fleets.organization_policy import policy_of
from tokens import emergency, lifecycle
from tokens.models import Token, TokenQuerySet, TokenSecret

ROUND = 120.0  # seconds after which a sweep leaves the rest to the next one
BATCH = {
    "postgresql": 2000,
    "sqlite": 100,
}  # rows of a transaction: SQLite has one writer, and others wait for it
WANTED = (Action.TOKEN_ENABLED, Action.TOKEN_ROTATED, Action.EMERGENCY_STARTED)
REST = 0.5  # of the time that a batch took on SQLite, left to the others


def record_expiries() -> int:
    """Each expiry once; from then on no clock revives the token. Requests to change it stay open."""
    return _in_batches(lambda: expired(now()).exists(), _expire_some)


def record_overlap_ends() -> int:
    """The end of each secret that was replaced while it still worked."""
    return _in_batches(lambda: ended_overlaps(now()).exists(), _end_some_overlaps)


def record_emergency_ends() -> int:
    """The windows whose own timer was lost."""
    by = system("timers")
    windows = emergency.due(now())
    return rounds.each(
        windows, lambda window: emergency.record_end(window, by=by), what="window", most=_batch()
    )


def disable_unused() -> int:
    """Tokens that nobody has used for as long as their organization's policy bears: all of them, or as many as a round
    of each organization takes."""
    limited = Organization.objects.filter(policy__unused_limit_days__isnull=False).order_by("pk")
    return sum(_disable_unused_of(organization) for organization in limited)


def expired(at: datetime) -> TokenQuerySet:
    return Token.objects.expiring().filter(expires_at__lte=at).order_by("expires_at")


def ended_overlaps(at: datetime) -> QuerySet[TokenSecret]:
    return TokenSecret.objects.filter(ended_at=None, valid_until__lte=at).order_by("valid_until")


def unused(organization: Organization, since: datetime) -> TokenQuerySet:
    """Active, not used since; one that was never used counts from its activation. What somebody has given something
    lately is wanted: enabled, rotated, widened or extended, let in by emergency access."""
    about = Event.objects.filter(target_type="token", target_id=OuterRef("pk"), id__gte=first_uuid7(since))
    given = Q(action__in=WANTED) | Q(action=Action.TOKEN_EDITED, data__widens=True)
    idle = Q(last_used_at__lte=since) | Q(last_used_at=None, begun__lte=since)
    tokens = Token.objects.in_use().with_begun().filter(organization=organization)
    return tokens.filter(idle, ~Exists(about.filter(given, outcome=Outcome.ALLOWED)), expired_at=None)


@verb(Action.TOKEN_EXPIRED)
def _expire_some(*, by: Access) -> int:
    at = now()
    rows = expired(at).only("name", "organization", "status", "version")
    locked = list(rows.select_for_update(of=("self",), no_key=True, skip_locked=True)[: _batch()])
    currency.change_all(locked, expired_at=at)
    record_all(Action.TOKEN_EXPIRED, by=by, targets=locked)
    return len(locked)


@verb(Action.TOKEN_OVERLAP_ENDED)
def _end_some_overlaps(*, by: Access) -> int:
    """A secret that was replaced at once had no overlap, and that of an ended token no longer matters: both are only
    noted."""
    at = now()
    newer = TokenSecret.objects.filter(token=OuterRef("token"), generation__gt=OuterRef("generation"))
    had_overlap = Exists(newer.filter(created_at__lt=OuterRef("valid_until")))
    rows = ended_overlaps(at).annotate(had_overlap=had_overlap).select_related("token")
    locked = list(rows.select_for_update(of=("self",), no_key=True, skip_locked=True)[: _batch()])
    TokenSecret.objects.filter(pk__in=[row.pk for row in locked]).update(ended_at=at)
    for row in locked:
        if row.had_overlap and not row.token.is_ended:
            data = {"generation": row.generation, "valid_until": row.valid_until}
            record(Action.TOKEN_OVERLAP_ENDED, by=by, target=row.token, data=data)
    return len(locked)


def _disable_unused_of(organization: Organization) -> int:
    limit = policy_of(organization).unused_limit
    if limit is None:
        return 0
    by = system("timers")
    reason = f"Nobody used it for {limit.days} days, as long as the organization's policy bears."
    idle = unused(organization, now() - limit).select_related("organization").order_by("last_used_at", "pk")

    def disable(token: Token) -> None:
        began = time.monotonic()
        lifecycle.disable(token, reason=reason, for_disuse=True, by=by)
        _rest(began)

    return rounds.each(idle, disable, what="token")


def _in_batches(is_due: Callable[[], bool], some: Callable[..., int]) -> int:
    """As many batches as there are, or as fit into a round. Looking takes no lock."""
    by, done, end = system("timers"), 0, time.monotonic() + ROUND
    while time.monotonic() < end and is_due():
        began = time.monotonic()
        count = some(by=by)
        if not count:  # others hold the rest
            break
        done += count
        _rest(began)
    return done


def _rest(began: float) -> None:
    """Leave SQLite to other writers for a part of the time that was taken from them."""
    if connection.vendor == "sqlite":
        time.sleep((time.monotonic() - began) * REST)


def _batch() -> int:
    return BATCH[connection.vendor]
