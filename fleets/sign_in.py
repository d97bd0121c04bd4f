"""Signing in: people by password, technical users by no door; and the browser session as the API sees it."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request

from audit.actions import Action, Outcome
from config.edge.parsing import is_plain_text
from config.edge.rows import sole
from fleets import sessions
from fleets.access import PersonAccess, themselves
from fleets.models import User
from fleets.personal_trail import Stranger, tell


class PersonBackend(BaseBackend):
    """Active people by username, without case, and password."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        if not username or not password or not is_plain_text(username + password):
            return None
        user = User.objects.people().named(username).first()
        if user is None:
            make_password(password)  # as slow as for somebody who exists
            return None
        return user if user.check_password(password) and user.is_live() else None

    def get_user(self, user_id: Any) -> User | None:
        user = sole(User.objects.people().filter(pk=user_id))
        return user if user and user.is_live() else None


class BrowserSessionAuthentication(SessionAuthentication):
    """A person whose session has not been ended. Changes need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, PersonAccess] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        session = sessions.current(request._request)
        if session is None:
            return None
        user = themselves(found[0])
        return user, PersonAccess(user, session.pk, session.checked_at)


def refused_without_organization(user: User) -> None:
    """Somebody proved who they are, and has nowhere to go: they left, or are suspended."""
    by = PersonAccess(user)
    tell(Action.SESSION_REFUSED, user, by=by, outcome=Outcome.DENIED, reason="no_organization")


def signed_in(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    sessions.begin(request, user)
    tell(Action.SESSION_STARTED, user, by=PersonAccess(user))


def signed_out(sender: Any, request: HttpRequest, user: User | None, **_: Any) -> None:
    sessions.finish(request)
    if user:
        tell(Action.SESSION_ENDED, user, by=PersonAccess(user))


def sign_in_failed(sender: Any, credentials: dict[str, Any], **_: Any) -> None:
    """The name that was tried is kept only where it is somebody's: people type passwords into the wrong field."""
    username = str(credentials.get("username") or "")
    known = User.objects.named(username).first() if is_plain_text(username) else None
    tell(Action.SESSION_REFUSED, known, by=Stranger(), outcome=Outcome.FAILED, reason="bad_credentials")
