"""What an edit makes of a token. What the token gains and loses by it is for effects."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from config.edge.access import Access
from fleets.authority import Role
from fleets.models import Organization
from tokens.kinds import Owner
from tokens.restrictions import Restrictions
from tokens.spec import Spec
from tokens.wishes import Settled, Wish, settle


@dataclass(frozen=True)
class Unchanged:
    """Nothing was said of this field."""


UNCHANGED = Unchanged()
NOTHING_LEFT = "A token keeps at least one scope. To take everything away, disable, revoke or reject it."


@dataclass(frozen=True)
class Edit:
    """What shall be different. `wish` holds only the parts of the access that were named."""

    name: str | Unchanged = UNCHANGED
    description: str | Unchanged = UNCHANGED
    wish: Wish | Unchanged = UNCHANGED
    expires_at: datetime | Unchanged | None = UNCHANGED
    rotate_every: timedelta | Unchanged | None = UNCHANGED
    restrictions: Restrictions | Unchanged = UNCHANGED

    @property
    def is_of_access_only(self) -> bool:
        """Whether it names nothing but what the token may do, until when, and from where, how often and when."""
        return self.name == self.description == self.rotate_every == UNCHANGED


def after(organization: Organization, owner: Owner, before: Spec, change: Edit, by: Access) -> Spec:
    """What an owner's token is after the edit."""
    named: dict[str, Any] = {
        name: value
        for name in ("name", "description", "expires_at", "rotate_every", "restrictions")
        if (value := getattr(change, name)) != UNCHANGED
    }
    if "expires_at" in named:
        named["lifetime"] = None
    if not isinstance(change.wish, Unchanged):
        named["access"] = _access(organization, owner, before.access, change.wish, by)
    return replace(before, **named)


def _access(organization: Organization, owner: Owner, before: Settled, wish: Wish, by: Access) -> Settled:
    keeps_ceiling = wish.scopes is None and wish.role is None
    keeps_reach = wish.machines is None and wish.grants is None
    named = replace(wish, privilege_separation=before.rows is not None)
    if keeps_ceiling and before.role == Role.ADMIN and (wish.extended is not None or before.extended):
        named = replace(named, role=before.role)  # the level stays; what extends it is said anew
    elif keeps_ceiling:
        named = replace(named, scopes=before.ceiling)
    if wish.extended is None and before.extended and _stays_admin_of_all(named):
        named = replace(named, extended=before.extended)
    reaches_all = bool(named.extended) and before.all_machines
    if keeps_reach and before.rows is not None and not reaches_all:
        named = replace(named, grants=())  # not read as a wish for everywhere; the rows are put back below
    result = settle(organization, owner, named, by)
    if keeps_ceiling:
        result = replace(result, role=before.role)
    if keeps_reach:
        result = replace(
            result,
            rows=before.rows,
            machines=before.machines,
            all_machines=before.all_machines,
            roles=before.roles,
        )
    return result


def _stays_admin_of_all(named: Wish) -> bool:
    return named.role == Role.ADMIN and named.grants is None and named.machines in (None, "all")
