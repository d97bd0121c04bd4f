"""Who may see and manage tokens. Each predicate is one rule in words; verbs enforce them, edges ask what to show."""

from django.db.models import Q

from config.edge.access import Access
from fleets.models import Fleet, Organization, User
from fleets.paths import ROOT, fleet_path
from fleets.scopes import Scope
from tokens.models import Token, TokenQuerySet

SEES = frozenset(
    {Scope.TOKENS_READ, Scope.TOKENS_MANAGE}
)  # who manages a token is not told that it does not exist


def may_manage(by: Access, token: Token) -> bool:
    """Edit, disable, enable, revoke: who holds tokens:manage at the owner's path, and a person their own tokens."""
    return may_manage_of(by, token.owner, token.organization)


def may_manage_of(by: Access, owner: User | Fleet, organization: Organization) -> bool:
    """People manage their own tokens in their session, or by a token of theirs that holds tokens:manage somewhere."""
    if isinstance(owner, Fleet):
        return by.permits(Scope.TOKENS_MANAGE, owner.path, organization.pk)
    if by.user is not None and by.user.pk == owner.pk and not by.is_operator:
        return by.is_browser_session or Scope.TOKENS_MANAGE in by.rights(organization.pk).anywhere
    return by.permits(Scope.TOKENS_MANAGE, ROOT, organization.pk)


def may_issue_for(by: Access, owner: User | Fleet, organization: Organization) -> bool:
    """For oneself, or for a fleet whose tokens one manages; the operator for anyone. How much is another question."""
    if isinstance(owner, User) and not by.is_operator:
        return by.user is not None and by.user.pk == owner.pk and may_manage_of(by, owner, organization)
    return may_manage_of(by, owner, organization)


def visible_to(by: Access, tokens: TokenQuerySet) -> TokenQuerySet:
    """The tokens that the caller may see: their own, and those at whose owner's path they read or manage tokens."""
    visible = Q(pk__in=[])
    for organization_id in by.organization_ids():
        rights = by.rights(organization_id)
        here = Q(organization_id=organization_id)
        if SEES & rights.at(ROOT):
            visible |= here & Q(owner_user__isnull=False)
        elif by.user is not None and (by.is_browser_session or SEES & rights.anywhere):
            visible |= here & Q(owner_user=by.user)
        fleets = Fleet.objects.filter(organization_id=organization_id).values_list("slug", flat=True)
        seen = [slug for slug in fleets if SEES & rights.at(fleet_path(slug))]
        visible |= here & Q(owner_fleet__slug__in=seen)
    return tokens.filter(visible)
