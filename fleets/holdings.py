"""Loads what a principal holds in an organization now, in a bounded number of queries."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast
from uuid import UUID

from django.db.models import Q, QuerySet

from config.edge.rows import sole
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
    if user.is_superuser and not _memberships(user, organization_id).exists():
        return Principal(False, NOTHING)  # a superuser too needs a membership to act by a token
    rights = _held(user, organization_id)
    return Principal(rights is not None, rights or NOTHING)


def _memberships(user: User, organization_id: UUID) -> MembershipQuerySet:
    return Membership.objects.active().filter(user=user, organization_id=organization_id)


def rights_of(user: User, organization_id: UUID) -> PrincipalRights:
    """The rights of a person or technical user; nothing for who is inactive, suspended or not there."""
    return _held(user, organization_id) or NOTHING


def rights_but_for_suspension(users: Iterable[User], organization_id: UUID) -> dict[UUID, PrincipalRights]:
    """What each of these holds, or will once they are resumed or active again; by their ids, in a fixed number of
    queries. A technical user that was removed never is."""
    users = list(users)
    everything = {user.pk: PrincipalRights(everything=True) for user in users if user.is_superuser}
    people = Membership.objects.present().filter(user__in=users, organization_id=organization_id)
    technical = TechnicalUser.objects.filter(
        user__in=users, user__is_active=True, organization_id=organization_id
    )
    return {
        **dict.fromkeys((user.pk for user in users), NOTHING),
        **_of_members(dict(people.values_list("user_id", "role")), organization_id),
        **_of_technical_users(technical, organization_id),
        **everything,
    }


def _held(user: User, organization_id: UUID) -> PrincipalRights | None:
    """None for who is inactive, suspended or not there, which is not the same as an active one who holds nothing."""
    if not user.is_live():
        return None
    return _of_person(user, organization_id) if user.is_person else _of_technical_user(user, organization_id)


def _of_person(user: User, organization_id: UUID) -> PrincipalRights | None:
    if user.is_superuser:
        return PrincipalRights(everything=True)
    role = sole(_memberships(user, organization_id).values_list("role", flat=True))
    if role is None:
        return None
    return _of_members({user.pk: role}, organization_id)[user.pk]


def _of_members(roles: Mapping[UUID, str], organization_id: UUID) -> dict[UUID, PrincipalRights]:
    """What people hold who are members in these roles."""
    if not roles:
        return {}
    fleets = FleetMembership.objects.present().filter(
        user__in=roles, fleet__organization_id=organization_id, fleet__closed_at=None
    )
    groups = (
        GroupMembership.objects.present()
        .filter(user__in=roles, group__organization_id=organization_id, group__closed_at=None)
        .values_list("user_id", "group_id", "role")
    )
    holdings = {user_id: list(organization_holdings(role)) for user_id, role in roles.items()}
    entries: dict[UUID, list[Entry]] = {user_id: [] for user_id in roles}
    for user_id, fleet_role, slug in fleets.values_list("user_id", "role", "fleet__slug"):
        holdings[user_id] += fleet_holdings(fleet_role, slug)
    belongings = list(groups)
    named = Q(user__in=roles) | Q(group__in={group_id for _, group_id, _ in belongings})
    of_groups: dict[UUID, list[Entry]] = defaultdict(list)
    for row, entry in _living(AclEntry.objects.filter(named, organization_id=organization_id)):
        if row.group_id:
            of_groups[row.group_id].append(entry)
        else:
            entries[cast(UUID, row.user_id)].append(entry)
    for user_id, group_id, group_role in belongings:
        holdings[user_id] += group_holdings(group_role, of_groups[group_id])
        entries[user_id] += of_groups[group_id]
    return {
        user_id: PrincipalRights(
            holdings=tuple(holdings[user_id]),
            entries=tuple(entries[user_id]),
            immune=role == Membership.Role.OWNER,
        )
        for user_id, role in roles.items()
    }


def _of_technical_user(user: User, organization_id: UUID) -> PrincipalRights | None:
    rows = TechnicalUser.objects.filter(user=user, organization_id=organization_id)
    return _of_technical_users(rows, organization_id).get(user.pk)


def _of_technical_users(rows: QuerySet[TechnicalUser], organization_id: UUID) -> dict[UUID, PrincipalRights]:
    """What technical users hold whose owner is open."""
    technical = {
        row.pk: row
        for row in rows.select_related("fleet", "group", "application", "organization")
        if not (row.owner and row.owner.closed_at)
    }
    if not technical:
        return {}
    entries: dict[UUID, list[Entry]] = {user_id: [] for user_id in technical}
    for row, entry in _living(AclEntry.objects.filter(user__in=technical, organization_id=organization_id)):
        entries[cast(UUID, row.user_id)].append(entry)
    standings: dict[tuple[UUID, str], PrincipalRights] = {}  # of an owner and a role: many stand for the same

    def standing(row: TechnicalUser) -> PrincipalRights:
        owner = row.owner or row.organization
        if (owner.pk, row.role) not in standings:
            standings[owner.pk, row.role] = standing_of(owner, row.role, row.kind)
        return standings[owner.pk, row.role]

    return {
        user_id: PrincipalRights(standing(row).holdings, standing(row).entries + tuple(entries[user_id]))
        for user_id, row in technical.items()
    }


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
    return tuple(entry for _, entry in _living(AclEntry.objects.filter(group=group)))


def entries_of_technical_users(application: Application) -> tuple[Entry, ...]:
    """The living entries that name an application's technical users: what its tokens can come to reach."""
    named = AclEntry.objects.filter(user__technical__application=application, user__is_active=True)
    return tuple(entry for _, entry in _living(named))


def _living(named: QuerySet[AclEntry]) -> list[tuple[AclEntry, Entry]]:
    """Those entries of one organization that are at free paths or name what exists, as the walk reads them."""
    rows = list(named)
    if not rows:
        return []
    organization_id = rows[0].organization_id
    living = places.living(organization_id, (row.path for row in rows))
    roles = book(organization_id, (row.role for row in rows))
    return [(row, _entry(row, roles)) for row in rows if row.path in living]


def _entry(row: AclEntry, roles: RoleBook) -> Entry:
    return Entry(
        path=row.path,
        scopes=roles.scopes(row.role, row.path),
        role=row.role,
        propagate=row.propagate,
        subject="user" if row.user_id else "group",
    )
