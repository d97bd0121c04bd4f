"""Signing in: people by password, technical users by no door; and the browser session as the API sees it."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request

from audit.actions import Action, Outcome
from audit.trail import Target, record
from audit.verbs import verb
from config.edge.access import ANONYMOUS, Access, Actor
from config.edge.parsing import is_plain_text
from config.edge.refusals import require
from fleets.access import PersonAccess, themselves
from fleets.models import User


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
        user = User.objects.people().filter(pk=user_id).first()
        return user if user and user.is_live() else None


class BrowserSessionAuthentication(SessionAuthentication):
    """A signed-in person. Changes need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, PersonAccess] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        user = themselves(found[0])
        return user, PersonAccess(user)


@verb(Action.PASSWORD_CHANGED)
def change_password(user: User, *, password: str, by: Access) -> None:
    """Set one's own password. Every other session of theirs ends: its hash no longer matches."""
    require(by.is_browser_session and by.user == user, "Only your own password.")
    user.set_password(password)
    user.save(update_fields=["password"])
    record(Action.PASSWORD_CHANGED, by=by, target=user)


def refused_without_organization(user: User) -> None:
    """Somebody proved who they are, and has nowhere to go: they left, or are suspended."""
    with transaction.atomic():
        record(
            Action.SESSION_REFUSED,
            by=PersonAccess(user),
            target=user,
            outcome=Outcome.DENIED,
            reason="no_organization",
        )


class Stranger:
    """Who is not signed in."""

    actor: Actor = ANONYMOUS
    on_behalf_of: Actor | None = None


def signed_in(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    record(Action.SESSION_STARTED, by=PersonAccess(user), target=user)


def signed_out(sender: Any, request: HttpRequest, user: User | None, **_: Any) -> None:
    if user:
        record(Action.SESSION_ENDED, by=PersonAccess(user), target=user)


def sign_in_failed(sender: Any, credentials: dict[str, Any], **_: Any) -> None:
    """The name that was tried is kept only where it is somebody's: people type passwords into the wrong field."""
    username = str(credentials.get("username") or "")
    known = is_plain_text(username) and User.objects.named(username).first()
    target = known.audit_target() if known else Target("person", "", "unknown")
    with transaction.atomic():
        record(
            Action.SESSION_REFUSED,
            by=Stranger(),
            target=target,
            outcome=Outcome.FAILED,
            reason="bad_credentials",
        )
