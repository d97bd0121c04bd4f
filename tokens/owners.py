"""Owners by the words that people write: a username, or `fleet:<slug>`, `group:<slug>` and so on."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from config.edge.access import Access
from config.edge.refusals import Invalid, Missing
from fleets.models import Application, Fleet, Group, Organization, User
from fleets.paths import ROOT
from fleets.policy import may_see_people
from fleets.visibility import oversees, reach
from tokens import policy
from tokens.kinds import PREFIX, Kind, Owner

_BY_SLUG: dict[Kind, type[Fleet | Group | Application]] = {
    Kind.FLEET: Fleet,
    Kind.GROUP: Group,
    Kind.APPLICATION: Application,
}


def kind_named(text: str) -> tuple[Kind, str]:
    """The kind of owner that these words say, and the rest of them: its slug or username."""
    for kind, prefix in PREFIX.items():
        if prefix and text.startswith(prefix):
            return kind, text.removeprefix(prefix)
    return Kind.PERSONAL, text


def said_of_kind(text: str, kind: str | None) -> str:
    """The words as the command line has them, where a kind was said besides them and they don't say one."""
    said, word = kind_named(text)
    return PREFIX[Kind(kind)] + word if kind and said is Kind.PERSONAL else text


def named(text: str, organization_ids: Iterable[UUID]) -> list[Owner]:
    """The owners that these words mean in the organizations: none, or one in each."""
    kind, word = kind_named(text)
    return list(_rows(kind, word, list(organization_ids)))


def one(text: str, organization: Organization, kind: str | None, by: Access | None = None) -> Owner:
    """The owner of a token to issue. With a kind, the words may be its slug alone; Missing where there is none, or
    none that the caller, where one is given, may know of."""
    said, word = kind_named(text)
    if kind is not None:
        if said is Kind.PERSONAL:
            said = Kind(kind)
        if said != kind:
            raise Invalid.field("owner", f"This is no owner of a token of the kind {kind}.")
    found = list(_rows(said, word, [organization.pk]))
    if not found or (by and not may_know(by, found[0], organization.pk)):
        raise Missing(
            "There is no such owner.",
            errors=Invalid.field("owner", "There is no such owner.", "not_found").errors,
        )
    owner: Owner = found[0]
    return owner


def known(text: str, by: Access) -> list[Owner]:
    """As `named`, among those whom the caller may know of: who may not see people knows of themselves."""
    return [
        owner
        for organization_id in by.organization_ids()
        for owner in named(text, [organization_id])
        if may_know(by, owner, organization_id)
    ]


def may_know(by: Access, owner: Owner, organization_id: UUID) -> bool:
    """Fleets by whom they are in reach of; people by who may see people; the organization by all of it, and its groups
    by its people in their session. The others by who leads them, sees its tokens or manages its permissions."""
    if isinstance(owner, Fleet):
        return owner.slug in reach(by, organization_id).fleets
    if isinstance(owner, User) and owner.is_person:
        return policy.is_oneself(by, owner) or may_see_people(by, ROOT, organization_id)
    if isinstance(owner, Organization) or (isinstance(owner, Group) and by.is_browser_session):
        return organization_id in by.organization_ids()
    if isinstance(owner, Application) and policy.owns(by, owner):
        return True
    return oversees(by, organization_id)


def _rows(kind: Kind, word: str, organization_ids: list[UUID]) -> QuerySet[Any]:
    if model := _BY_SLUG.get(kind):
        here = model._default_manager.filter(organization_id__in=organization_ids, slug=word)
        return here.select_related("organization")
    if kind is Kind.ORGANIZATION:
        return Organization.objects.filter(pk__in=organization_ids, slug=word)
    users: QuerySet[Any] = User.objects.named(word)
    if kind is Kind.TECHNICAL_USER:
        return users.filter(technical__kind=kind, technical__organization_id__in=organization_ids)
    people = users.filter(kind=User.Kind.PERSON)
    return people.filter(memberships__organization_id__in=organization_ids).distinct()
