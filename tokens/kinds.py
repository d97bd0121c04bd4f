"""The kinds of tokens, and the owner that each has. What an owner may have issued is for policy and limits."""

from django.db import models
from django.db.models import Q

from fleets.models import Application, Fleet, Group, Organization, User


class Kind(models.TextChoices):
    PERSONAL = "personal"
    FLEET = "fleet"
    GROUP = "group"
    ORGANIZATION = "organization"
    APPLICATION = "application"
    TECHNICAL_USER = "technical_user"


Owner = User | Fleet | Group | Application | Organization

# Where the token's row names its owner; an organization's token names it as its organization already.
COLUMN: dict[Kind, str] = {
    Kind.PERSONAL: "owner_user",
    Kind.FLEET: "owner_fleet",
    Kind.GROUP: "owner_group",
    Kind.ORGANIZATION: "organization",
    Kind.APPLICATION: "owner_application",
    Kind.TECHNICAL_USER: "owner_user",
}
OWNER_COLUMNS = tuple(dict.fromkeys(column for column in COLUMN.values() if column != "organization"))
# How an owner is written on the command line, before its slug or username.
PREFIX: dict[Kind, str] = {
    Kind.PERSONAL: "",
    Kind.FLEET: "fleet:",
    Kind.GROUP: "group:",
    Kind.ORGANIZATION: "organization:",
    Kind.APPLICATION: "application:",
    Kind.TECHNICAL_USER: "technical:",
}
# Kinds whose tokens act as somebody who exists without them; the others have a technical user of their own.
ACTS_AS_OWNER = frozenset({Kind.PERSONAL, Kind.TECHNICAL_USER})


def kind_of(owner: Owner) -> Kind:
    """The kind that this owner's tokens have."""
    if isinstance(owner, User):
        return Kind.PERSONAL if owner.is_person else Kind.TECHNICAL_USER
    if isinstance(owner, Fleet):
        return Kind.FLEET
    if isinstance(owner, Group):
        return Kind.GROUP
    return Kind.APPLICATION if isinstance(owner, Application) else Kind.ORGANIZATION


def of_owner(owner: Owner) -> Q:
    """The tokens of this owner. A person may have some in several organizations."""
    kind = kind_of(owner)
    return Q(**{"kind": kind, COLUMN[kind]: owner})


def whose(owner: Owner) -> str:
    """At the beginning of a sentence: "A fleet's", "An organization's"."""
    word = kind_of(owner).label.lower()
    return f"{'An' if word[0] in 'ao' else 'A'} {word}'s"


def label_of(owner: Owner) -> str:
    """The owner as the command line writes it."""
    return PREFIX[kind_of(owner)] + (owner.username if isinstance(owner, User) else owner.slug)
