"""For whom the caller may issue tokens, and which scopes they could give them."""

from collections.abc import Iterable
from dataclasses import dataclass

from config.edge.access import Access
from fleets.admin.scope import organizations_seen, reach
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
    """For oneself in each organization that one is a member of; for each other owner whose tokens one manages."""
    mine = set(by.user.memberships.active().values_list("organization_id", flat=True))
    choices = []
    for organization in organizations_seen(by):
        owners: list[Owner] = [by.user] if organization.pk in mine else []
        owners += sorted(reach(by, organization.pk).fleets.values(), key=str)
        for model in (Group, Application):
            owners += policy.managed(by, model, organization).select_related("organization").order_by("name")
        if policy.may_issue_for(by, organization, organization):
            owners += [*technical_users_of(organization), organization]
        choices += [
            OwnerChoice(organization, owner)
            for owner in owners
            if not isinstance(owner, Fleet) or policy.may_issue_for(by, owner, organization)
        ]
    return choices


def technical_users_of(organization: Organization) -> Iterable[User]:
    """Those that were made by hand."""
    made = {"technical__organization": organization, "technical__kind": Kind.TECHNICAL_USER}
    rows: Iterable[User] = User.objects.active().filter(**made).order_by("username")
    return rows


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
