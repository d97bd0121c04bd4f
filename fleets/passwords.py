"""Passwords: changed by their owner, or reset by a link to their mail address that is good once, for an hour.

The link is signed when it is sent and stored nowhere; a new password, or a sign-in, ends it.
"""

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from audit.actions import Action
from audit.verbs import verb
from config.edge.access import Access
from config.edge.refusals import Conflict, require
from fleets.models import User
from fleets.personal_trail import tell


@verb(Action.PASSWORD_CHANGED)
def change(user: User, *, password: str, by: Access) -> None:
    """Set one's own password. Every other session of theirs ends: its hash no longer matches."""
    require(by.is_browser_session and by.user == user, "Only your own password.")
    store(user, password)
    tell(Action.PASSWORD_CHANGED, user, by=by)


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
