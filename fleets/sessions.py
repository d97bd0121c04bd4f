"""Where people are signed in: a row for each browser session, so that it can be ended from another one.

A row knows its session's key by digest alone. Each request of a session asks for its row: without a live one nobody is
signed in, whatever the cookie says.
"""

import hashlib
import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, transaction
from django.http import HttpRequest

from audit.actions import Action
from audit.verbs import verb
from config.edge import context
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import IllegalMove, require
from config.edge.rows import sole
from fleets.access import PersonAccess
from fleets.models import SignedInSession, SignedInSessionQuerySet, User
from fleets.personal_trail import tell

log = logging.getLogger("tokenhouse.sessions")
SEEN_EVERY = timedelta(minutes=1)
KEPT_FOR = timedelta(days=30)  # after its last request, for nobody but the database's own reader


@verb(Action.SESSION_ENDED)
def end(user: User, *, session: SignedInSession, by: Access) -> None:
    """End one of one's own sessions: its next request is a stranger's."""
    require(by.is_browser_session and by.user == user == session.user, "Only your own sessions.")
    if not _ended(SignedInSession.objects.filter(pk=session.pk)):
        raise IllegalMove("This session has ended already.")
    tell(Action.SESSION_ENDED, user, by=by)


@verb(Action.SESSION_ENDED)
def end_others(user: User, *, by: PersonAccess) -> int:
    """End all of one's own sessions but the one that asks; how many there were."""
    require(by.user == user, "Only your own sessions.")
    count = end_rows(user, but=by.session_id)
    if count:
        tell(Action.SESSION_ENDED, user, by=by)
    return count


def end_rows(user: User, *, but: UUID | None = None) -> int:
    """For verbs that say so themselves."""
    rows = user.signed_in_sessions.all()
    return _ended(rows.exclude(pk=but) if but else rows)


def of_person(user: User) -> SignedInSessionQuerySet:
    """The sessions whose cookies can still count, the youngest first."""
    since = now() - timedelta(seconds=settings.SESSION_COOKIE_AGE)
    rows: SignedInSessionQuerySet = user.signed_in_sessions.live()
    return rows.filter(last_seen_at__gt=since).order_by("-last_seen_at", "-pk")


# What the edges call


def begin(request: HttpRequest, user: User) -> None:
    """Somebody has signed in. Who does so again in the same browser stays in the same session."""
    if not request.session.session_key:  # of another person, whose session Django has just emptied
        request.session.save()
    asked = context.current()
    seen = {
        "user": user,
        "address": asked.address,
        "user_agent": asked.user_agent[:200],
        "started_at": now(),
        "last_seen_at": now(),
        "checked_at": now(),
        "ended_at": None,
    }
    SignedInSession.objects.update_or_create(seen, digest=_digest(request.session.session_key))


def finish(request: HttpRequest) -> None:
    """Somebody signs out."""
    if request.session.session_key:
        _ended(SignedInSession.objects.filter(digest=_digest(request.session.session_key)))


def current(request: HttpRequest) -> SignedInSession | None:
    """The live row of the request's session, noted as seen. One query, and once a minute another."""
    key = request.session.session_key
    row = sole(SignedInSession.objects.live().filter(digest=_digest(key))) if key else None
    if row and now() - row.last_seen_at >= SEEN_EVERY:
        try:
            with transaction.atomic():
                SignedInSession.objects.filter(pk=row.pk).update(last_seen_at=now())
        except DatabaseError as error:  # to look at a page, nothing needs to be written
            log.warning("a session could not be noted as seen", extra={"error": type(error).__name__})
    return row


def forget(request: HttpRequest) -> None:
    """Treat an ended session as nobody's."""
    request.session.flush()
    request.user = AnonymousUser()


def follow(row: SignedInSession, request: HttpRequest) -> None:
    """The session has a new key now: that of a new sign-in, or its own, which a new password has changed."""
    key = request.session.session_key
    if not key or _digest(key) == row.digest:
        return
    if SignedInSession.objects.filter(digest=_digest(key)).exists():
        _ended(SignedInSession.objects.filter(pk=row.pk))
    else:
        SignedInSession.objects.filter(pk=row.pk).update(digest=_digest(key))


def _ended(rows: Any) -> int:
    count: int = rows.live().update(ended_at=now())
    return count


def _digest(key: str | None) -> str:
    assert key
    return hashlib.sha256(key.encode()).hexdigest()
