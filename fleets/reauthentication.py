"""Asking for the password again: some things are done only by who has just proven that it is still them.

A sign-in counts for ten minutes, and so does each check afterwards. What needs one answers 403 `fresh_check_needed`.
"""

from datetime import timedelta

from audit.actions import Action, Outcome
from audit.models import Event
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.ids import first_uuid7
from config.edge.refusals import DomainError, Refused, require
from fleets import currency
from fleets.access import FRESH_FOR, PersonAccess
from fleets.models import SignedInSession, User
from fleets.personal_trail import tell

CODE = "fresh_check_needed"
MOST_FAILURES = 5  # of a person's checks within this time; signing in again is another way
WITHIN = timedelta(minutes=15)


class TooManyChecks(DomainError):
    """Wrong passwords, again and again."""

    status = 429
    default_code = "rate_limited"

    def __init__(self) -> None:
        super().__init__("Too many wrong passwords. Try again later, or sign in anew.")
        self.headers["Retry-After"] = str(int(WITHIN.total_seconds()))


def require_fresh(by: Access) -> None:
    """Refuse a browser session whose last check is older than ten minutes; who else may come is another rule's."""
    minutes = int(FRESH_FOR.total_seconds() // 60)
    detail = f"This needs your password, given within the last {minutes} minutes."
    require(by.is_fresh or not by.is_browser_session, detail, CODE)


def reauthenticate(user: User, *, password: str, by: PersonAccess) -> None:
    """Check one's own password again, for the session that asks. Refused, and recorded, where it is wrong."""
    require(by.user == user and by.session_id is not None, "Only in your own session.")
    is_right = user.check_password(password)  # before the transaction: it is meant to take its time
    if not _note(user, is_right=is_right, by=by):
        raise Refused("That is not your password.", code=CODE)


@verb(Action.SESSION_CHECKED)
def _note(user: User, *, is_right: bool, by: PersonAccess) -> bool:
    """Under the person's lock, so that many guesses at once are counted one by one."""
    currency.lock(user)
    if _failures_of(user) >= MOST_FAILURES:
        raise TooManyChecks
    if not is_right:
        tell(Action.SESSION_CHECKED, user, by=by, outcome=Outcome.FAILED, reason="bad_credentials")
        return False
    assert by.session_id is not None  # asked for above
    at = now()
    SignedInSession.objects.live().filter(pk=by.session_id).update(checked_at=at)
    by.checked_at = at
    tell(Action.SESSION_CHECKED, user, by=by)
    return True


def _failures_of(user: User) -> int:
    target = user.audit_target()
    since = first_uuid7(now() - WITHIN)
    events = Event.objects.filter(target_type=target.type, target_id=target.id, id__gte=since)
    failed = events.filter(action=Action.SESSION_CHECKED, outcome=Outcome.FAILED)
    # one check leaves an event in each of the person's organizations
    return failed.order_by().values("request_id").distinct().count()
