"""Finds what the words of a command line mean: an owner, a user or group, a token of an owner."""

from collections.abc import Iterable
from uuid import UUID

from config.edge.parsing import is_plain_text
from config.edge.refusals import Invalid, Missing
from fleets.management import named as estate
from fleets.models import Group, Organization, OwnedByOrganization, TechnicalUser, User
from tokens import owners
from tokens.kinds import PREFIX, Kind, Owner
from tokens.models import Token, TokenQuerySet

PREFIXES = ", ".join(
    f"{prefix}<{'username' if kind == 'technical_user' else 'slug'}>"
    for kind, prefix in PREFIX.items()
    if prefix
)


def owner_of_new(text: str, slug: str | None) -> tuple[Owner, Organization]:
    """An owner, and the one organization in which it can have a token."""
    found = _owners(text, slug)
    places = [(owner, organization) for owner in found for organization in _homes(owner, slug)]
    if not places:
        raise Missing(f"{text} is no member of an organization.")
    if len(places) > 1:
        raise _ambiguous(text, (organization for _, organization in places))
    return places[0]


def tokens_of(text: str | None, slug: str | None) -> TokenQuerySet:
    """The tokens of an owner, or of everybody."""
    tokens = Token.objects.presented().order_by("organization__slug", "-created_at", "pk")
    if slug is not None:
        tokens = tokens.filter(organization=estate.organization(slug))
    if text is None:
        return tokens
    kinds = [tokens.of_owner(owner).values("pk") for owner in _owners(text, slug)]
    return tokens.filter(pk__in=[row["pk"] for rows in kinds for row in rows])


def token(text: str, name: str, slug: str | None) -> Token:
    """An owner's token by its name, ended ones too: names are never used again."""
    found = list(tokens_of(text, slug).filter(name__iexact=name))
    if not found:
        raise Missing(f"{text} has no token of the name {name}.")
    if len(found) > 1:
        raise _ambiguous(text, (token.organization for token in found))
    return found[0]


def token_written(text: str, slug: str | None) -> Token:
    """A token as `OWNER!NAME`."""
    owner, mark, name = text.rpartition("!")
    if not mark:
        raise Invalid("Write a token as OWNER!NAME.")
    return token(owner, name, slug)


def user(text: str, slug: str | None) -> tuple[User, Organization]:
    """A person or a technical user, a token's own too, and the one organization that is meant."""
    technical = TechnicalUser.objects.select_related("user", "organization")
    for row in technical.filter(user__in=User.objects.named(text)) if is_plain_text(text) else ():
        if slug in {None, row.organization.slug}:
            return row.user, row.organization
    found, organization = owner_of_new(text, slug)
    if not isinstance(found, User):
        raise Missing(f"{text} is no user.")
    return found, organization


def group(text: str, slug: str | None) -> tuple[Group, Organization]:
    """A group by its slug."""
    found, organization = owner_of_new(PREFIX[Kind.GROUP] + text, slug)
    assert isinstance(found, Group)
    return found, organization


def organizations(slug: str | None) -> list[Organization]:
    """The one of this slug, or all."""
    return [estate.organization(slug)] if slug is not None else list(Organization.objects.order_by("slug"))


def _owners(text: str, slug: str | None) -> list[Owner]:
    if not is_plain_text(text):
        raise Missing("There is no such owner.")
    ids = [estate.organization(slug).pk] if slug is not None else _all_ids()
    found = owners.named(text, ids)
    if not found:
        where = f" in {slug}" if slug is not None else ""
        raise Missing(f"There is no owner {text}{where}: write a username, or {PREFIXES}.")
    return found


def _homes(owner: Owner, slug: str | None) -> list[Organization]:
    """Where an owner belongs now; of somebody who left, where they did, so that the verb can say that they left."""
    if isinstance(owner, Organization):
        return [owner]
    if isinstance(owner, OwnedByOrganization):
        return [owner.organization]
    if not owner.is_person:
        return [owner.technical.organization]
    theirs = Organization.objects.filter(memberships__user=owner).distinct()
    theirs = theirs.filter(slug=slug) if slug is not None else theirs
    present = theirs.filter(memberships__user=owner, memberships__left_at=None)
    return list(present.order_by("slug") or theirs.order_by("slug"))


def _all_ids() -> list[UUID]:
    return list(Organization.objects.values_list("pk", flat=True))


def _ambiguous(text: str, organizations: Iterable[Organization]) -> Invalid:
    slugs = ", ".join(sorted({organization.slug for organization in organizations}))
    return Invalid(f"{text} is known in several organizations: say --organization, one of {slugs}.")
