"""Which token or owner a request is about, and what a token that calls needs to hold to ask about it."""

from collections.abc import Mapping
from typing import Any

from audit.organizations import within
from config.edge.access import Access, authorize, authorize_somewhere
from config.edge.refusals import Invalid, Missing
from config.edge.rows import sole
from config.edge.views import EdgeView
from fleets.models import Fleet, Organization, User
from fleets.paths import ROOT
from fleets.scopes import Scope
from tokens import owners, policy
from tokens.kinds import Kind, Owner
from tokens.models import Token, TokenQuerySet


def visible(access: Access) -> TokenQuerySet:
    """The tokens that the caller may see, with all that showing them needs."""
    tokens: TokenQuerySet = policy.visible_to(access, Token.objects.presented())
    return tokens


def token(view: EdgeView, pk: str, scope: Scope) -> Token:
    """A token that the caller may see and, if it is a token that calls, ask this of; of the organization that the
    query names, where it names one."""
    access = view.access
    require_somewhere(access, scope)
    tokens = visible(access)
    if view.asked_organization is not None:
        tokens = tokens.filter(organization_id__in=within(access, view.asked_organization))
    found = sole(tokens.filter(pk=pk[:100])) if pk.isascii() and pk.isalnum() else None
    if found is None:
        for organization_id in access.organization_ids() if access.token_id else ():
            access.note(scope, ROOT, organization_id, allowed=False)
        raise Missing("There is no such token.")
    require_of(access, scope, found.owner, found.organization)
    return found


def owner(access: Access, said: Mapping[str, Any], organization: Organization) -> Owner:
    """The owner that a body names by `owner` and `kind`; a person who names none means themselves, and of the kind
    `organization` there is only one."""
    kind, text = said.get("kind"), said.get("owner")
    if text is None:
        if kind in (None, Kind.PERSONAL) and access.user is not None and access.user.is_person:
            oneself: User = access.user
            return oneself
        if kind == Kind.ORGANIZATION:
            return organization
        raise Invalid.field("owner", "Say whose token this is.", "required")
    return owners.one(text, organization, kind, access)


def require_somewhere(access: Access, scope: Scope) -> None:
    """A token that calls holds the scope on some path: asked before anything is looked for."""
    for organization_id in access.organization_ids() if access.token_id else ():
        authorize_somewhere(access, scope, organization_id)


def require_of(access: Access, scope: Scope, owner: Owner, organization: Organization) -> None:
    """People see and manage their own tokens and those that they lead; for what belongs to others the scope is asked
    at the owner's path."""
    if policy.is_of(access, owner):
        # a token holds it somewhere: that was asked before
        access.note(scope, ROOT, organization.pk, allowed=True)
        return
    authorize(access, scope, owner.path if isinstance(owner, Fleet) else ROOT, organization.pk)
