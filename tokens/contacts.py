"""Who is told by mail of what happens to a token by itself: who leads its owner, and who oversees the organization."""

from typing import Any

from django.db.models import Q, QuerySet

from fleets.models import (
    ApplicationMembership,
    FleetMembership,
    GroupMembership,
    Organization,
    User,
)
from fleets.policy import RULED_BY_OWNERS
from tokens.models import Token


def of_owner(token: Token) -> QuerySet[User]:
    """A person; a fleet's managers, a group's admins, an application's owners; for the rest the overseers."""
    reachable = _reachable(token.organization)
    if token.owner_fleet_id:
        leads = FleetMembership.objects.filter(fleet=token.owner_fleet_id, role=FleetMembership.Role.MANAGER)
    elif token.owner_group_id:
        leads = GroupMembership.objects.filter(group=token.owner_group_id, role=GroupMembership.Role.ADMIN)
    elif token.owner_application_id:
        leads = ApplicationMembership.objects.filter(application=token.owner_application_id)
    elif token.kind == Token.Kind.PERSONAL:
        return reachable.filter(tokens=token)
    else:
        return overseers(token.organization)
    return reachable.filter(pk__in=leads.filter(left_at=None).values("user"))


def overseers(organization: Organization) -> QuerySet[User]:
    """The organization's owners and admins."""
    return _reachable(organization, memberships__role__in=RULED_BY_OWNERS)


def all_of(token: Token) -> QuerySet[User]:
    """Both, each once."""
    either = Q(pk__in=of_owner(token).values("pk")) | Q(pk__in=overseers(token.organization).values("pk"))
    people: QuerySet[User] = User.objects.filter(either).order_by("pk")
    return people


def _reachable(organization: Organization, **more: Any) -> QuerySet[User]:
    """The active members who have an address."""
    active = {"memberships__left_at": None, "memberships__suspended_at": None}
    people = User.objects.active().people().exclude(email="")
    here = people.filter(memberships__organization=organization, **active, **more)
    rows: QuerySet[User] = here.order_by("pk")
    return rows
