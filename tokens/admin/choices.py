"""For whom the caller may issue tokens, and which scopes they could give them."""

from collections.abc import Iterable
from dataclasses import dataclass

from config.edge.access import Access
from fleets.admin.scope import organizations_seen, reach
from fleets.authority import TECHNICAL_FLEET_SCOPES
from fleets.models import Fleet, Organization, User
from fleets.scopes import Scope
from tokens import policy
from tokens.models import Token


@dataclass(frozen=True)
class OwnerChoice:
    """An owner for whom the caller may issue: what the address says, and what the page says."""

    organization: Organization
    owner: User | Fleet

    @property
    def key(self) -> str:
        mine = "me" if isinstance(self.owner, User) else f"fleet:{self.owner.slug}"
        return f"{self.organization.slug}/{mine}"

    @property
    def label(self) -> str:
        return "Yourself" if isinstance(self.owner, User) else f"Fleet {self.owner.name}"

    @property
    def kind(self) -> str:
        return Token.Kind.PERSONAL if isinstance(self.owner, User) else Token.Kind.FLEET


def owner_choices(by: Access) -> list[OwnerChoice]:
    """For oneself in each organization that one is a member of; for each fleet whose tokens one manages."""
    mine = set(by.user.memberships.active().values_list("organization_id", flat=True))
    choices = []
    for organization in organizations_seen(by):
        owners: Iterable[User | Fleet] = reach(by, organization.pk).fleets.values()
        if organization.pk in mine:
            owners = [by.user, *owners]
        choices += [
            OwnerChoice(organization, owner)
            for owner in owners
            if policy.may_issue_for(by, owner, organization)
        ]
    return choices


def givable(by: Access, owner: User | Fleet, organization: Organization) -> set[Scope]:
    """The scopes that the caller could give a token of this owner."""
    rights = by.rights(organization.pk)
    if isinstance(owner, Fleet):
        return {Scope(name) for name in rights.at(owner.path)} & TECHNICAL_FLEET_SCOPES
    return {Scope(name) for name in rights.anywhere}
