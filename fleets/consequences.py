"""What changes of the estate mean for those above it: they register here, and are called in the verb's transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.checks import CheckMessage, Error

from config.edge.access import Access
from fleets.models import Membership

MemberLeft = Callable[[Membership, Access], None]
HasFreeGrants = Callable[[UUID, str], bool]


@dataclass(frozen=True)
class Consequences:
    """`member_left(membership, by)`: end what lived by it. `has_grants_at(organization_id, path)`: is it named."""

    member_left: MemberLeft
    has_grants_at: HasFreeGrants


_registered: list[Consequences] = []


def register(consequences: Consequences) -> None:
    _registered.append(consequences)


def member_left(membership: Membership, by: Access) -> None:
    for consequences in _registered:
        consequences.member_left(membership, by)


def has_grants_at(organization_id: UUID, path: str) -> bool:
    return any(consequences.has_grants_at(organization_id, path) for consequences in _registered)


def check_registered(**_kwargs: Any) -> list[CheckMessage]:
    """Tokenhouse.E011: nobody registered, so that departures would end no tokens."""
    if _registered:
        return []
    return [
        Error("No consequences of departures are registered.", hint="Install `tokens`.", id="tokenhouse.E011")
    ]
