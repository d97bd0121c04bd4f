"""Finds what the words of a command line mean: an organization by its slug, a person by their username."""

from config.edge.parsing import is_plain_text
from config.edge.refusals import Missing
from fleets.models import Organization, User


def organization(slug: str) -> Organization:
    found = Organization.objects.filter(slug=slug).first() if is_plain_text(slug) else None
    if found is None:
        raise Missing(f"There is no organization {slug}.")
    return found


def person(username: str) -> User:
    found: User | None = User.objects.people().named(username).first() if is_plain_text(username) else None
    if found is None:
        raise Missing(f"There is no user {username}.")
    return found
