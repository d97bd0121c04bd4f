"""An organization in which a weaker policy waits for an approval, and who may give it."""

from dataclasses import dataclass

import pytest

from fleets.models import Organization, User
from tests.factories import (
    make_approver,
    make_member,
    make_organization,
    make_person,
    need_approvals,
    owner_of,
)


@dataclass(frozen=True)
class Place:
    acme: Organization
    owner: User
    admin: User  # who asks
    ada: User  # approvers
    ben: User


@pytest.fixture
def place(db: None) -> Place:
    """Two approvers and the owner decide; high risk needs one approval, tokens must end."""
    acme = make_organization("acme", name="Acme")
    admin = make_person("admin", email="admin@example.org")
    make_member(acme, "admin", user=admin)
    found = Place(
        acme=acme,
        owner=owner_of(acme),
        admin=admin,
        ada=make_approver(acme, username="ada", email="ada@example.org"),
        ben=make_approver(acme, username="ben", email="ben@example.org"),
    )
    need_approvals(acme, never_allowed=False)
    return found
