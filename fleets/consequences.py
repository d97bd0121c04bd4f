"""What changes of the estate mean for those above it: they register here, and are called in the verb's transaction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.core.checks import CheckMessage, Error

from config.edge.access import Access
from fleets.authority import NONE, PrincipalRights
from fleets.models import Membership, Organization, OwnedByOrganization, User
from fleets.organization_policy import OrganizationPolicy
from fleets.scopes import Scope

Weakening = Callable[[Organization, OrganizationPolicy, str, Access], UUID | None]


MOST_NAMED = 50  # tokens, in an event


@dataclass
class RightsChange:
    """What people and technical users hold before and after a change, by their ids: of all for whom it may be another.

    `role`: of an organization's own, where that is what was changed; `gave`: what it gave before.
    """

    organization_id: UUID
    before: Mapping[UUID, PrincipalRights]
    after: Mapping[UUID, PrincipalRights] = field(default_factory=dict)
    role: str = ""
    gave: frozenset[Scope] = NONE


@dataclass(frozen=True)
class Named:
    """Something above that lives by the estate: its id, and what it is called."""

    id: str
    name: str


@dataclass(frozen=True)
class Consequences:
    """`member_left(membership, by)`, `owner_closed(owner, by)`: end what lived by it, and name what ended.
    `has_grants_at(organization_id, path)`, `naming_role(organization_id, role)`: what names it.
    `rights_changed(change)`: mark what may do more by it, and name that, sorted by id.
    `risks_changed(organization, rules, reason, by)`: scopes are of another risk now, as these rules say.
    """

    member_left: Callable[[Membership, Access], list[str]]
    owner_closed: Callable[[Any, Access], list[str]]
    has_grants_at: Callable[[UUID, str], bool]
    naming_role: Callable[[UUID, str], list[str]]
    rights_changed: Callable[[RightsChange], list[Named]]
    risks_changed: Callable[[Organization, OrganizationPolicy, str, Access], None]


_registered: list[Consequences] = []
_weakening: list[Weakening] = []
_policy_applied: list[Callable[[Organization, Access], None]] = []
_deciders_lost: list[Callable[[UUID, Access], None]] = []


def register(consequences: Consequences) -> None:
    _registered.append(consequences)


def register_weakening(function: Weakening) -> None:
    """`function(organization, after, reason, by)`: let a weaker policy wait for approval, by the request's id."""
    _weakening[:] = [function]


def register_policy_applied(function: Callable[[Organization, Access], None]) -> None:
    """`function(organization, by)`: its policy is another now; what waits to weaken the one before is superseded."""
    _policy_applied[:] = [function]


def register_deciders_lost(function: Callable[[UUID, Access], None]) -> None:
    """`function(organization_id, by)`: some may decide on requests there no longer."""
    _deciders_lost[:] = [function]


def policy_weakened(
    organization: Organization, after: OrganizationPolicy, reason: str, by: Access
) -> UUID | None:
    """The approval that a weaker policy waits for; None where it need not."""
    return _weakening[0](organization, after, reason, by)


def member_left(membership: Membership, by: Access) -> list[str]:
    return [name for each in _registered for name in each.member_left(membership, by)]


def owner_closed(owner: OwnedByOrganization | User, by: Access) -> list[str]:
    """A fleet, group or application that closed, or a technical user that was removed."""
    return [name for each in _registered for name in each.owner_closed(owner, by)]


def risks_changed(organization: Organization, rules: OrganizationPolicy, reason: str, by: Access) -> None:
    """The caller holds the organization's lock, and has stored the rules."""
    for each in _registered:
        each.risks_changed(organization, rules, reason, by)


def policy_applied(organization: Organization, by: Access) -> None:
    """The caller holds the organization's lock, has stored the policy, and has changed all else: requests are locked
    last."""
    _policy_applied[0](organization, by)


def deciders_lost(organization_id: UUID, by: Access) -> None:
    """For whatever can take from somebody that they decide on requests. The caller holds the organization's lock, and
    has changed all else: requests are locked last."""
    _deciders_lost[0](organization_id, by)


def has_grants_at(organization_id: UUID, path: str) -> bool:
    return any(each.has_grants_at(organization_id, path) for each in _registered)


def naming_role(organization_id: UUID, role: str) -> list[str]:
    """The live tokens of which a row names the role, by id."""
    return [token for each in _registered for token in each.naming_role(organization_id, role)]


def rights_changed(change: RightsChange) -> dict[str, Any]:
    """What the event of the change says of the live tokens that may do more by it: the first of them and how many;
    nothing where there are none. The caller has raised the versions of what it changed."""
    widened = [token for each in _registered for token in each.rights_changed(change)]
    if not widened:
        return {}
    named = widened[:MOST_NAMED]
    return {
        "widened": [token.id for token in named],
        "widened_names": [token.name for token in named],
        "widened_count": len(widened),
    }


def check_registered(**_kwargs: Any) -> list[CheckMessage]:
    """Tokenhouse.E011: nobody registered: departures would end no tokens, a weaker policy would wait for nobody,
    or for ever."""
    missing = {
        "No consequences of departures are registered.": _registered,
        "Nobody is asked whether a weaker policy has to be approved.": _weakening,
        "What waits about a policy would outlive every change of it.": _policy_applied,
        "The votes of who may not decide any more would be kept.": _deciders_lost,
    }
    hint = "Install `approvals` and `tokens`."
    return [Error(what, hint=hint, id="tokenhouse.E011") for what, there in missing.items() if not there]
