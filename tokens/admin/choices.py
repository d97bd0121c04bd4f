"""For whom the caller may issue tokens, and which scopes they could give them."""

from collections.abc import Iterable
from dataclasses import dataclass

from config.edge.access import Access
from fleets.admin.scope import organizations_seen
from fleets.authority import TECHNICAL_FLEET_SCOPES
from fleets.models import Application, Fleet, Group, Organization, User
from fleets.scopes import PERSONAL_ONLY, Scope
from tokens import policy, principals
from tokens.admin import words
from tokens.kinds import Kind, Owner, kind_of, label_of


@dataclass(frozen=True)
class OwnerChoice:
    """An owner for whom the caller may issue: what the address says, and what the page says."""

    organization: Organization
    owner: Owner

    @property
    def key(self) -> str:
        mine = "me" if self.kind == Kind.PERSONAL else label_of(self.owner)
        return f"{self.organization.slug}/{mine}"

    @property
    def label(self) -> str:
        return "Yourself" if self.kind == Kind.PERSONAL else str(self.owner)

    @property
    def note(self) -> str:
        return words.NOTES.get(self.kind, "")

    @property
    def kind(self) -> Kind:
        return kind_of(self.owner)


def owner_choices(by: Access) -> list[OwnerChoice]:
    """For oneself in each organization that one is a member of; for each other owner whose tokens one manages.

    Asked once for each model, not for each organization.
    """
    organizations = organizations_seen(by)
    mine = set(by.user.memberships.active().values_list("organization_id", flat=True))
    overseen = [each for each in organizations if policy.may_issue_for(by, each, each)]
    fleets = Fleet.objects.filter(organization__in=organizations, closed_at=None).select_related(
        "organization"
    )
    owned: list[Fleet | Group | Application] = sorted(
        (fleet for fleet in fleets if policy.may_issue_for(by, fleet, fleet.organization)), key=str
    )
    for model in (Group, Application):
        owned += policy.managed(by, model, organizations).select_related("organization").order_by("name")
    technical = technical_users_of(overseen)
    choices = []
    for here in organizations:
        owners: list[Owner] = [by.user] if here.pk in mine else []
        owners += [row for row in owned if row.organization_id == here.pk]
        owners += [user for user in technical if user.technical.organization_id == here.pk]
        owners += [here] if here in overseen else []
        choices += [OwnerChoice(here, owner) for owner in owners]
    return choices


def technical_users_of(organizations: Iterable[Organization]) -> list[User]:
    """Those that were made by hand."""
    made = {"technical__organization__in": organizations, "technical__kind": Kind.TECHNICAL_USER}
    return list(User.objects.active().filter(**made).select_related("technical").order_by("username"))


def givable(by: Access, owner: Owner, organization: Organization) -> set[Scope]:
    """The scopes that the caller could give a token of this owner."""
    rights = by.rights(organization.pk)
    if isinstance(owner, Fleet):
        return {Scope(name) for name in rights.at(owner.path)} & TECHNICAL_FLEET_SCOPES
    if isinstance(owner, Application) and policy.owns(by, owner):
        return set(principals.most_of(owner, organization.pk))
    if isinstance(owner, User):
        held = {Scope(name) for name in rights.anywhere}
        return held if owner.is_person else held - PERSONAL_ONLY
    return {Scope(name) for name in rights.anywhere & principals.most_of(owner, organization.pk)}
