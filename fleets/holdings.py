"""Loads what a principal holds in an organization now, in a bounded number of queries."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from fleets import places
from fleets.authority import (
    Entry,
    PrincipalRights,
    fleet_holdings,
    group_holdings,
    organization_holdings,
    role_scopes,
    technical_fleet_holdings,
)
from fleets.models import (
    AclEntry,
    FleetMembership,
    Group,
    GroupMembership,
    Membership,
    MembershipQuerySet,
    TechnicalUser,
    User,
)

NOTHING = PrincipalRights()


@dataclass(frozen=True)
class Principal:
    """What a token acts as: may they act at all now, and what may they do."""

    is_active: bool
    rights: PrincipalRights


def principal_of(user: User, organization_id: UUID) -> Principal:
    """A person is active while they are a member, not suspended; a technical user while its owner is open."""
    if not user.is_live():
        return Principal(False, NOTHING)
    if user.is_superuser and not _memberships(user, organization_id).exists():
        return Principal(False, NOTHING)  # a superuser too needs a membership to act by a token
    rights = rights_of(user, organization_id)
    return Principal(rights is not NOTHING, rights)


def _memberships(user: User, organization_id: UUID) -> MembershipQuerySet:
    return Membership.objects.active().filter(user=user, organization_id=organization_id)


def rights_of(user: User, organization_id: UUID) -> PrincipalRights:
    """The rights of a person or technical user; nothing for who is inactive, suspended or not there."""
    if not user.is_live():
        return NOTHING
    return _of_person(user, organization_id) if user.is_person else _of_technical_user(user, organization_id)


def _of_person(user: User, organization_id: UUID) -> PrincipalRights:
    if user.is_superuser:
        return PrincipalRights(everything=True)
    role = _memberships(user, organization_id).values_list("role", flat=True).first()
    if role is None:
        return NOTHING
    fleets = FleetMembership.objects.present().filter(
        user=user, fleet__organization_id=organization_id, fleet__closed_at=None
    )
    groups = dict(
        GroupMembership.objects.present()
        .filter(user=user, group__organization_id=organization_id, group__closed_at=None)
        .values_list("group_id", "role")
    )
    rows = list(
        AclEntry.objects.filter(Q(user=user) | Q(group_id__in=groups), organization_id=organization_id)
    )
    living = places.living(organization_id, (row.path for row in rows))
    rows = [row for row in rows if row.path in living]
    holdings = list(organization_holdings(role))
    for fleet_role, slug in fleets.values_list("role", "fleet__slug"):
        holdings += fleet_holdings(fleet_role, slug)
    for group_id, group_role in groups.items():
        holdings += group_holdings(group_role, [_entry(row) for row in rows if row.group_id == group_id])
    return PrincipalRights(
        holdings=tuple(holdings),
        entries=tuple(_entry(row) for row in rows),
        immune=role == Membership.Role.OWNER,
    )


def _of_technical_user(user: User, organization_id: UUID) -> PrincipalRights:
    technical = (
        TechnicalUser.objects.select_related("fleet")
        .filter(user=user, organization_id=organization_id)
        .first()
    )
    if technical is None or (technical.fleet and technical.fleet.closed_at):
        return NOTHING
    rows = list(AclEntry.objects.filter(user=user, organization_id=organization_id))
    living = places.living(organization_id, (row.path for row in rows))
    fleet = technical.fleet
    return PrincipalRights(
        holdings=technical_fleet_holdings(fleet.slug) if fleet else (),
        entries=tuple(_entry(row) for row in rows if row.path in living),
    )


def entries_of_group(group: Group) -> tuple[Entry, ...]:
    """The living entries that name a group: what it reaches."""
    rows = list(AclEntry.objects.filter(group=group))
    living = places.living(group.organization_id, (row.path for row in rows))
    return tuple(_entry(row) for row in rows if row.path in living)


def _entry(row: AclEntry) -> Entry:
    return Entry(
        path=row.path,
        scopes=role_scopes(row.role, row.path),
        role=row.role,
        propagate=row.propagate,
        subject="user" if row.user_id else "group",
    )
