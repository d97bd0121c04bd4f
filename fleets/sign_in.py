"""Signing in: people by password, technical users by no door; and the browser session as the API sees it."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request

from audit.actions import Action, Outcome
from audit.trail import HasActor, Target, record
from audit.verbs import verb
from config.edge.access import ANONYMOUS, Access, Actor
from config.edge.parsing import is_plain_text
from config.edge.refusals import require
from fleets.access import PersonAccess, themselves
from fleets.models import Membership, User


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
    tell(Action.PASSWORD_CHANGED, user, by=by)


def refused_without_organization(user: User) -> None:
    """Somebody proved who they are, and has nowhere to go: they left, or are suspended."""
    by = PersonAccess(user)
    tell(Action.SESSION_REFUSED, user, by=by, outcome=Outcome.DENIED, reason="no_organization")


class Stranger:
    """Who is not signed in."""

    actor: Actor = ANONYMOUS
    on_behalf_of: Actor | None = None


def signed_in(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    tell(Action.SESSION_STARTED, user, by=PersonAccess(user))


def signed_out(sender: Any, request: HttpRequest, user: User | None, **_: Any) -> None:
    if user:
        tell(Action.SESSION_ENDED, user, by=PersonAccess(user))


def sign_in_failed(sender: Any, credentials: dict[str, Any], **_: Any) -> None:
    """The name that was tried is kept only where it is somebody's: people type passwords into the wrong field."""
    username = str(credentials.get("username") or "")
    known = User.objects.named(username).first() if is_plain_text(username) else None
    tell(Action.SESSION_REFUSED, known, by=Stranger(), outcome=Outcome.FAILED, reason="bad_credentials")


def tell(
    action: Action,
    user: User | None,
    *,
    by: HasActor,
    outcome: Outcome = Outcome.ALLOWED,
    reason: str = "",
) -> None:
    """One event in each organization of the person, for its auditors; a single one without, where there is none."""
    target = user.audit_target() if user else Target("person", "", "unknown")
    present = Membership.objects.present().filter(user=user).order_by("organization_id")
    organization_ids: list[UUID | None] = (
        list(present.values_list("organization_id", flat=True)) if user else []
    )
    with transaction.atomic():
        for organization_id in organization_ids or [None]:
            about = replace(target, organization_id=organization_id)
            record(action, by=by, target=about, outcome=outcome, reason=reason)
