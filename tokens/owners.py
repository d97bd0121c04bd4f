"""Owners by the words that people write: a username, or `fleet:<slug>`."""

from collections.abc import Iterable
from uuid import UUID

from config.edge.access import Access
from config.edge.refusals import Invalid, Missing
from fleets.models import Fleet, Organization, User
from fleets.paths import ROOT
from fleets.policy import may_see_people
from fleets.visibility import reach
from tokens.models import Token

LATER = ("group:", "organization:", "application:", "technical:")


def named(text: str, organization_ids: Iterable[UUID]) -> list[User | Fleet]:
    """The owners that these words mean in the organizations: none, or one in each."""
    if text.startswith("fleet:"):
        slug = text.removeprefix("fleet:")
        return list(
            Fleet.objects.filter(organization_id__in=organization_ids, slug=slug).select_related(
                "organization"
            )
        )
    people = User.objects.people().named(text).filter(memberships__organization_id__in=organization_ids)
    return list(people.distinct())


def one(text: str, organization: Organization, kind: str | None, by: Access | None = None) -> User | Fleet:
    """The owner of a token to issue. With a kind, the words may be its slug alone; Missing where there is none, or
    none that the caller, where one is given, may know of."""
    if kind == Token.Kind.FLEET and not text.startswith("fleet:"):
        text = f"fleet:{text}"
    if text.startswith(LATER):
        raise Invalid.field("owner", "Owners of this type are not available yet.", "not_available")
    if kind == Token.Kind.PERSONAL and text.startswith("fleet:"):
        raise Invalid.field("owner", "A personal token is owned by a person.")
    found = named(text, [organization.pk])
    if not found or (by and not may_know(by, found[0], organization.pk)):
        raise Missing(
            "There is no such owner.",
            errors=Invalid.field("owner", "There is no such owner.", "not_found").errors,
        )
    return found[0]


def known(text: str, by: Access) -> list[User | Fleet]:
    """As `named`, among those whom the caller may know of: who may not see people knows of themselves."""
    return [
        owner
        for organization_id in by.organization_ids()
        for owner in named(text, [organization_id])
        if may_know(by, owner, organization_id)
    ]


def may_know(by: Access, owner: User | Fleet, organization_id: UUID) -> bool:
    if isinstance(owner, Fleet):
        return owner.slug in reach(by, organization_id).fleets
    is_oneself = by.user is not None and by.user.pk == owner.pk
    return is_oneself or may_see_people(by, ROOT, organization_id)


def is_fleet(owner: User | Fleet) -> bool:
    return isinstance(owner, Fleet)
