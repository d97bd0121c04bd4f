"""Passwords: changed by their owner, or reset by a link to their mail address that is good once, for an hour.

The link is signed when it is sent and stored nowhere; a new password, or a sign-in, ends it.
"""

import unicodedata
from datetime import timedelta
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from audit.actions import Action
from audit.models import Event
from audit.verbs import verb
from config.edge import context
from config.edge.clock import now
from config.edge.ids import first_uuid7
from config.edge.refusals import Conflict, IllegalMove, Missing, require
from config.edge.scrubbing import LINK
from fleets import mail, sessions
from fleets.access import PersonAccess
from fleets.models import User
from fleets.personal_trail import Stranger, tell

MOST_BY_ADDRESS = 10  # requests an hour that one client address makes
MOST_FOR_PERSON = 3  # mails an hour that one person gets
MOST_ACCOUNTS = 10  # that share a mail address


@verb(Action.PASSWORD_CHANGED)
def change(user: User, *, password: str, by: PersonAccess) -> None:
    """Set one's own password. Every other session of theirs ends."""
    require(by.is_browser_session and by.user == user, "Only your own password.")
    store(user, password)
    sessions.end_rows(user, but=by.session_id)
    tell(Action.PASSWORD_CHANGED, user, by=by)


@verb(Action.PASSWORD_RESET_REQUESTED)
def request_reset(address: str, *, by: Stranger) -> bool:
    """Owe a link to everybody with this mail address; False where the asker has asked too often.

    The answer is the same whether there is anybody.
    """
    asked = _requests().filter(actor_type=by.actor.type, actor_id=by.actor.id)
    if _count(asked.filter(address=context.current().address)) >= MOST_BY_ADDRESS:
        return False
    people = [user for user in _people_at(address) if _count(_requests_for(user)) < MOST_FOR_PERSON]
    for user in people:
        mail.owe("password_reset", person=str(user.pk))
        tell(Action.PASSWORD_RESET_REQUESTED, user, by=by)
    if not people:  # the same work for nobody, so that the time it takes tells no more than the answer
        mail.owe("password_reset", person="")
        tell(Action.PASSWORD_RESET_REQUESTED, None, by=by)
    return True


@verb(Action.PASSWORD_RESET)
def reset(user: User, *, password: str, by: PersonAccess) -> None:
    """Set the password of who has shown a link. All their sessions end."""
    require(by.is_browser_session and by.user == user, "Only your own password.")
    if not user.is_live():
        raise IllegalMove("This account is not active.")
    store(user, password)
    sessions.end_rows(user)
    tell(Action.PASSWORD_RESET, user, by=by)


def store(user: User, password: str) -> None:
    """Replace the password that was read; Conflict where another was faster. For verbs."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from None
    here = User.objects.filter(pk=user.pk, password=user.password)
    if not here.update(password=make_password(password)):
        raise Conflict("The password was changed meanwhile.")
    user.refresh_from_db(fields=["password"])


# Links


def of_link(token: str) -> User:
    """Whose password a link resets; Missing alike for every link that resets none."""
    key, _, signed = token.removeprefix(LINK).partition(".")
    is_key = len(key) == 32 and all(character in "0123456789abcdef" for character in key)
    user = _resettable().filter(pk=key).first() if is_key else None
    if (
        user is None
        or not user.has_usable_password()
        or not default_token_generator.check_token(user, signed)
    ):
        raise Missing("This link does not work.")
    return user


@mail.writer("password_reset")
def _letter(payload: dict[str, Any]) -> mail.Letter | None:
    user = _resettable().filter(pk=payload["person"]).first() if payload["person"] else None
    if user is None or not user.email or not user.has_usable_password():
        return None
    token = f"{LINK}{user.pk.hex}.{default_token_generator.make_token(user)}"
    values = {
        "name": str(user),
        "username": user.username,
        "link": mail.link("admin:password_reset_link", token),
    }
    return mail.Letter(user.email, values)


def _resettable() -> QuerySet[User]:
    rows: QuerySet[User] = User.objects.people().active()
    return rows


def _people_at(address: str) -> list[User]:
    found = _resettable().filter(email__iexact=address).order_by("pk")[:MOST_ACCOUNTS]
    return [user for user in found if user.has_usable_password() and _folded(user.email) == _folded(address)]


def _folded(text: str) -> str:
    """Databases compare without case in their own ways."""
    return unicodedata.normalize("NFKC", text).casefold()


def _requests() -> QuerySet[Event]:
    since = first_uuid7(now() - timedelta(hours=1))
    return Event.objects.filter(action=Action.PASSWORD_RESET_REQUESTED, id__gte=since)


def _requests_for(user: User) -> QuerySet[Event]:
    target = user.audit_target()
    return _requests().filter(target_type=target.type, target_id=target.id)


def _count(events: QuerySet[Event]) -> int:
    """Of requests: who belongs to several organizations leaves an event in each."""
    return events.order_by().values("request_id").distinct().count()
