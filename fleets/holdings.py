"""Loads what a principal holds in an organization now, in a bounded number of queries."""

from dataclasses import dataclass, replace
from uuid import UUID

from django.db.models import Q

from fleets import places
from fleets.authority import (
    NONE,
    Entry,
    PrincipalRights,
    fleet_holdings,
    group_holdings,
    organization_holdings,
    technical_fleet_holdings,
    technical_organization_holdings,
)
from fleets.models import (
    AclEntry,
    Application,
    Fleet,
    FleetMembership,
    Group,
    GroupMembership,
    Membership,
    MembershipQuerySet,
    Organization,
    TechnicalUser,
    User,
)
from fleets.roles import RoleBook, book

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
    roles = book(organization_id, (row.role for row in rows))
    holdings = list(organization_holdings(role))
    for fleet_role, slug in fleets.values_list("role", "fleet__slug"):
        holdings += fleet_holdings(fleet_role, slug)
    for group_id, group_role in groups.items():
        holdings += group_holdings(
            group_role, [_entry(row, roles) for row in rows if row.group_id == group_id]
        )
    return PrincipalRights(
        holdings=tuple(holdings),
        entries=tuple(_entry(row, roles) for row in rows),
        immune=role == Membership.Role.OWNER,
    )


def _of_technical_user(user: User, organization_id: UUID) -> PrincipalRights:
    technical = (
        TechnicalUser.objects.select_related("fleet", "group", "application", "organization")
        .filter(user=user, organization_id=organization_id)
        .first()
    )
    if technical is None or (technical.owner and technical.owner.closed_at):
        return NOTHING
    standing = standing_of(technical.owner or technical.organization, technical.role, technical.kind)
    rows = list(AclEntry.objects.filter(user=user, organization_id=organization_id))
    return PrincipalRights(holdings=standing.holdings, entries=standing.entries + _living_entries(rows))


def standing_of(owner: Fleet | Group | Application | Organization, role: str, kind: str) -> PrincipalRights:
    """What a technical user holds for what it stands for, before any entry names it.

    A group's entries deny its technical users what they deny its members; what they give members is not theirs.
    """
    if isinstance(owner, Fleet):
        return PrincipalRights(technical_fleet_holdings(owner.slug))
    if isinstance(owner, Group):
        entries = entries_of_group(owner)
        return PrincipalRights(
            group_holdings(role, entries), tuple(replace(entry, scopes=NONE) for entry in entries)
        )
    if kind == TechnicalUser.Kind.ORGANIZATION:
        return PrincipalRights(technical_organization_holdings(role))
    return PrincipalRights()


def entries_of_group(group: Group) -> tuple[Entry, ...]:
    """The living entries that name a group: what it reaches."""
    return _living_entries(list(AclEntry.objects.filter(group=group)))


def _living_entries(rows: list[AclEntry]) -> tuple[Entry, ...]:
    if not rows:
        return ()
    organization_id = rows[0].organization_id
    living = places.living(organization_id, (row.path for row in rows))
    roles = book(organization_id, (row.role for row in rows))
    return tuple(_entry(row, roles) for row in rows if row.path in living)


def _entry(row: AclEntry, roles: RoleBook) -> Entry:
    return Entry(
        path=row.path,
        scopes=roles.scopes(row.role, row.path),
        role=row.role,
        propagate=row.propagate,
        subject="user" if row.user_id else "group",
    )
