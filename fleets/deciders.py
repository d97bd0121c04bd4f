"""Who may decide on requests for approval in an organization, by its policy and by what they hold."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from fleets.holdings import rights_but_for_suspension, rights_of
from fleets.models import AclEntry, Membership, Organization, User
from fleets.organization_policy import DECIDERS, OrganizationPolicy, policy_of
from fleets.paths import ROOT
from fleets.scopes import Scope


def members_who_decide(organization: Organization, rules: OrganizationPolicy) -> frozenset[UUID]:
    """The active members whose role decides, or who are superusers, and whom no entry denies it."""
    return _who_decide(_candidates(Organization.objects.filter(pk=organization.pk)), organization, rules)


def members_who_decide_in(organizations: QuerySet[Organization]) -> dict[Organization, frozenset[UUID]]:
    """As `members_who_decide`, of each of these by its policy. Where nobody could by any, it is left out."""
    rows = (
        _candidates(organizations)
        .select_related("organization")
        .order_by("organization__name", "organization")
    )
    grouped = groupby(rows, key=lambda row: row.organization)
    return {row: _who_decide(members, row, policy_of(row)) for row, members in grouped}


def _candidates(organizations: QuerySet[Organization]) -> QuerySet[Membership]:
    """The active members whose role decides by some policy, or who are superusers. `is_ruled`: there are entries at
    the root, where alone it can be denied."""
    members = Membership.objects.active().filter(organization__in=organizations)
    able = members.filter(Q(role__in=DECIDERS) | Q(user__is_superuser=True))
    at_root = AclEntry.objects.filter(organization=OuterRef("organization"), path=ROOT)
    people = User.objects.active().people()
    return able.filter(user__in=people).select_related("user").annotate(is_ruled=Exists(at_root))


def _who_decide(
    candidates: Iterable[Any], organization: Organization, rules: OrganizationPolicy
) -> frozenset[UUID]:
    able = [row for row in candidates if row.role in rules.deciders or row.user.is_superuser]
    if not any(row.is_ruled for row in able):
        return frozenset(row.user_id for row in able)
    rights = rights_but_for_suspension([row.user for row in able], organization.pk)
    return frozenset(pk for pk, held in rights.items() if Scope.APPROVALS_DECIDE in held.at(ROOT))


def having_the_role(organization: Organization, rules: OrganizationPolicy) -> QuerySet[User]:
    """Whose role decides there, and superusers: also who is kept from it for now, by a suspension or an entry."""
    members = Membership.objects.present().filter(organization=organization, role__in=rules.deciders)
    people: QuerySet[User] = User.objects.people()
    return people.filter(Q(pk__in=members.values("user")) | Q(is_superuser=True))


def eligible(organization: Organization, rules: OrganizationPolicy) -> frozenset[UUID]:
    """Everybody who may decide there now; superusers need no membership, in their session."""
    superusers = User.objects.active().people().filter(is_superuser=True).values_list("pk", flat=True)
    return members_who_decide(organization, rules) | frozenset(superusers)


def decides(user: User, organization: Organization, rules: OrganizationPolicy) -> bool:
    """Whether this person is one of `eligible`."""
    if not user.is_person or Scope.APPROVALS_DECIDE not in rights_of(user, organization.pk).at(ROOT):
        return False
    return has_deciding_role(user, organization, rules)


def has_deciding_role(user: User, organization: Organization, rules: OrganizationPolicy) -> bool:
    """The half of `decides` that is no scope: an active membership in a role that decides, or a superuser."""
    here = Membership.objects.active().filter(user=user, organization=organization, role__in=rules.deciders)
    return user.is_superuser or here.exists()
