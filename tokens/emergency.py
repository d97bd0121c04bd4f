"""Emergency access: for some hours a token's networks and access windows are lifted, and nothing else.

The clock ends it at every decision. A window that has ended is recorded by whoever comes first: the task that was set
for its end, the sweep, the next start.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from audit import outbox
from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge import broker
from config.edge.access import Access
from config.edge.clock import now
from config.edge.parsing import has_words
from config.edge.refusals import Conflict, IllegalMove, Invalid, require
from fleets import currency
from fleets.access import system
from fleets.models import Organization, User
from fleets.organization_policy import policy_of
from fleets.reauthentication import require_fresh
from tokens import emergency_mail, policy
from tokens.decision import DerivedStatus
from tokens.models import EmergencyAccess, Token
from tokens.receipts import calls_of
from tokens.rules import has_ended

LONGEST = EmergencyAccess.LONGEST  # hours, of one window and within any 24
DAY = timedelta(hours=24)
END_TASK = "tokens.tasks.end_emergency"
KIND = "emergency_end"
NOT_YOURS = "Only a superuser, in a browser session of their own, starts and stops emergency access."


@verb(Action.EMERGENCY_STARTED)
def start(token: Token, *, hours: int, reason: str, by: Access) -> EmergencyAccess:
    """Lift a token's networks and windows for 1 to 8 whole hours, at most 8 within any 24. One window at a time."""
    require(policy.may_lift_restrictions(by), NOT_YOURS)
    require_fresh(by)
    if type(hours) is not int or not 1 <= hours <= LONGEST:
        raise Invalid.field("hours", f"Whole hours, from 1 to {LONGEST}.")
    _require_words(reason)
    _lock(token)
    if not has_to_lift(token):
        how = "has lived as long as it may" if _is_in_use(token) else f"is {token.derived_status}"
        raise IllegalMove(f"A token that {how} has nothing to lift.")
    at = now()
    earlier = _unended(token)
    if earlier and at < earlier.ends_at:
        raise Conflict("Emergency access is open already; stop it first.", code="emergency_open")
    if earlier:
        _end_by_clock(token, earlier)
    _require_left(token, at, hours)
    assert isinstance(by.user, User)
    window = EmergencyAccess.objects.create(
        token=token,
        started_by=by.user,
        reason=reason,
        hours=hours,
        starts_at=at,
        ends_at=at + timedelta(hours=hours),
    )
    _point_to(token, window)
    data = {"emergency": str(window.pk), "hours": hours, "ends_at": window.ends_at}
    record(Action.EMERGENCY_STARTED, by=by, target=token, reason=reason, data=data)
    outbox.add(KIND, {"emergency": str(window.pk), "ends_at": window.ends_at.isoformat()})
    emergency_mail.started(window)
    return window


@verb(Action.EMERGENCY_ENDED)
def stop(token: Token, *, reason: str = "", by: Access) -> EmergencyAccess | None:
    """End a token's window at once: the one that ended, or None where there is none. It needs no fresh check."""
    require(policy.may_lift_restrictions(by), NOT_YOURS)
    _lock(token)
    window = _unended(token)
    if window is None:
        return None
    if window.ends_at <= now():
        _end_by_clock(token, window)
    else:
        _end(token, window, at=now(), reason=reason, by=by)
    return window


@verb(Action.EMERGENCY_ENDED)
def record_end(window: EmergencyAccess, *, by: Access) -> bool:
    """Record that the clock has ended a window; False where it has not, or where that is recorded already."""
    token = Token.objects.get(pk=window.token_id)
    _lock(token)
    current = _unended(token)
    if current is None or current.pk != window.pk or now() < current.ends_at:
        return False
    _end_by_clock(token, current)
    return True


def due(at: datetime) -> QuerySet[EmergencyAccess]:
    """The windows that have ended without anybody having recorded it."""
    return EmergencyAccess.objects.filter(ended_at=None, ends_at__lte=at).order_by("ends_at")


def has_to_lift(token: Token) -> bool:
    """Whether its restrictions matter: it is in a status for it, and the longest life that the policy allows is not
    over."""
    return _is_in_use(token) and not has_ended(token, policy_of(token.organization), now())


def open_window(token: Token) -> EmergencyAccess | None:
    """The window of a token that lifts its restrictions now."""
    window = token.open_emergency
    return window if window and window.is_open(now()) else None


def ask_for_ends(payloads: Sequence[outbox.Payload]) -> None:
    """Set the task that records each end, at its end. A broker that loses it leaves that to the sweep."""
    for payload in payloads:
        at = datetime.fromisoformat(payload["ends_at"])
        broker.producer().send_task(
            END_TASK, args=[payload["emergency"]], eta=at, ignore_result=True, retry=False
        )


def end_if_due(window_id: UUID) -> None:
    window = EmergencyAccess.objects.filter(pk=window_id).first()
    if window is not None:
        record_end(window, by=system("timers"))


def _is_in_use(token: Token) -> bool:
    return token.derived_status in {DerivedStatus.ACTIVE, DerivedStatus.DISABLED}


def _require_words(reason: str) -> None:
    if not has_words(reason):
        raise Invalid.field("reason", "Say why the restrictions are lifted.", "required")


def _require_left(token: Token, at: datetime, hours: int) -> None:
    """No more than 8 hours within the 24 before the new window's end, which are the fullest of all."""
    end = at + timedelta(hours=hours)
    since = end - DAY
    used = timedelta(hours=hours)
    for window in token.emergencies.filter(ended_at__gt=since):
        assert window.ended_at
        used += max(window.ended_at - max(window.starts_at, since), timedelta(0))
    if used > timedelta(hours=LONGEST):
        raise Conflict(
            f"It would be lifted for more than {LONGEST} hours within a day.", code="emergency_used_up"
        )


def _lock(token: Token) -> None:
    """Take the row's lock, and read what decides anew."""
    fresh = currency.lock(token)
    for name in ("status", "version", "approved_at", "expires_at", "expired_at", "open_emergency_id"):
        setattr(token, name, getattr(fresh, name))
    token.organization = Organization.objects.get(pk=token.organization_id)  # its policy, as it is now


def _unended(token: Token) -> EmergencyAccess | None:
    return token.emergencies.filter(ended_at=None).first()


def _end_by_clock(token: Token, window: EmergencyAccess) -> None:
    _end(token, window, at=window.ends_at, reason="", by=system("timers"))


def _end(token: Token, window: EmergencyAccess, *, at: datetime, reason: str, by: Access) -> None:
    window.ended_at = at
    window.ended_by = by.user
    window.save(update_fields=["ended_at", "ended_by"])
    _point_to(token, None)
    data = {"emergency": str(window.pk), "by_clock": by.user is None, "calls": calls_of(window).count()}
    record(Action.EMERGENCY_ENDED, by=by, target=token, reason=reason, data=data)
    emergency_mail.ended(window)


def _point_to(token: Token, window: EmergencyAccess | None) -> None:
    token.claim()
    token.open_emergency = window
    token.save(update_fields=["open_emergency"])
