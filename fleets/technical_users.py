"""Technical users that are made by hand: make, rename, remove. Those of tokens come and go with their tokens.

They sign in by no door (sign_in), are members of nothing, and hold what entries give them.
"""

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.refusals import Conflict, IllegalMove, require
from config.edge.taken import unless_taken
from fleets import consequences, currency, entries, policy
from fleets.models import AclEntry, Organization, TechnicalUser, User

NOT_YOURS = "You may not make, change or remove technical users here."


@verb(Action.TECHNICAL_USER_MADE)
def make(organization: Organization, *, username: str, name: str = "", by: Access) -> TechnicalUser:
    """A technical user that tokens of its kind share. Conflict where the username is anybody's, also elsewhere."""
    require(policy.may_open_owner(by, organization), NOT_YOURS)
    user = User(username=username, name=name, kind=User.Kind.TECHNICAL)
    user.set_unusable_password()
    user.full_clean(exclude=["password"], validate_constraints=False)
    with unless_taken("This username is taken.", "username_taken"):
        user.save(force_insert=True)
    kind = TechnicalUser.Kind.TECHNICAL_USER
    technical = TechnicalUser.objects.create(user=user, organization=organization, kind=kind, label=str(user))
    record(Action.TECHNICAL_USER_MADE, by=by, target=technical)
    return technical


@verb(Action.TECHNICAL_USER_CHANGED)
def rename(technical: TechnicalUser, *, name: str, by: Access) -> None:
    _require_may_change(technical, by)
    user, before = technical.user, technical.user.name
    currency.claim(user, is_active=True)
    user.name = name
    user.full_clean(exclude=["password"], validate_unique=False, validate_constraints=False)
    user.save(update_fields=["name"])
    technical.label = str(user)
    technical.save(update_fields=["label"])
    record(Action.TECHNICAL_USER_CHANGED, by=by, target=technical, data={"changes": {"name": [before, name]}})


@verb(Action.TECHNICAL_USER_REMOVED)
def remove(technical: TechnicalUser, *, reason: str = "", by: Access) -> list[str]:
    """End a technical user for ever, with its tokens and entries. The names of the tokens."""
    currency.lock(technical.organization)  # entries are set under this lock: none comes to name who is gone
    by.refresh()
    user = technical.user
    fresh = currency.lock(user)  # so that it wins over whatever else was read before
    user.is_active, user.version = fresh.is_active, fresh.version
    _require_may_change(technical, by)
    currency.claim(user)
    user.is_active = False
    user.save(update_fields=["is_active"])
    named = AclEntry.objects.filter(user=user, organization=technical.organization)
    removed = entries.remove_all(named, by)
    tokens = consequences.owner_closed(user, by)
    data = {"entries": removed, "tokens": tokens}
    record(Action.TECHNICAL_USER_REMOVED, by=by, target=technical, reason=reason, data=data)
    return tokens


def _require_may_change(technical: TechnicalUser, by: Access) -> None:
    require(policy.may_open_owner(by, technical.organization), NOT_YOURS)
    if technical.kind != TechnicalUser.Kind.TECHNICAL_USER:
        raise Conflict(
            "This technical user is a token's own: it ends with its token.", code="belongs_to_a_token"
        )
    if not technical.user.is_active:
        raise IllegalMove("This technical user was removed.")
