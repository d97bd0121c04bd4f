"""Who may decide on requests for approval in an organization, by its policy and by what they hold."""

from uuid import UUID

from django.db.models import Q

from fleets.holdings import rights_but_for_suspension, rights_of
from fleets.models import Membership, Organization, User
from fleets.organization_policy import OrganizationPolicy
from fleets.paths import ROOT
from fleets.scopes import Scope


def members_who_decide(organization: Organization, rules: OrganizationPolicy) -> frozenset[UUID]:
    """The active members whose role decides, or who are superusers, and whom no entry denies it."""
    members = Membership.objects.active().filter(organization=organization)
    able = members.filter(Q(role__in=rules.deciders) | Q(user__is_superuser=True))
    people = User.objects.active().people().filter(pk__in=able.values("user"))
    rights = rights_but_for_suspension(people, organization.pk)
    return frozenset(pk for pk, held in rights.items() if Scope.APPROVALS_DECIDE in held.at(ROOT))


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
