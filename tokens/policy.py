"""Who may see and manage tokens. Each predicate is one rule in words; verbs enforce them, edges ask what to show."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from config.edge.access import Access, Rights
from fleets.models import (
    Application,
    ApplicationMembership,
    Fleet,
    Group,
    GroupMembership,
    Organization,
    User,
)
from fleets.paths import ANY_FLEET, ROOT, fleet_path, fleet_slug_of
from fleets.scopes import Scope
from tokens.kinds import Kind, Owner
from tokens.models import Token, TokenQuerySet

MANAGES = frozenset({Scope.TOKENS_MANAGE})
SEES = MANAGES | {Scope.TOKENS_READ}  # who manages a token is not told that it does not exist


def may_manage(by: Access, token: Token) -> bool:
    """Edit, disable, enable, revoke: who manages the tokens of its owner."""
    return may_manage_of(by, token.owner, token.organization)


def may_manage_of(by: Access, owner: Owner, organization: Organization) -> bool:
    """Who holds tokens:manage at the owner's path. People manage their own tokens in their session, or by a token of
    theirs that holds tokens:manage somewhere; those of a group or application also its admins and owners, in their
    session."""
    if isinstance(owner, Fleet):
        return by.permits(Scope.TOKENS_MANAGE, owner.path, organization.pk)
    if is_oneself(by, owner):
        return by.is_browser_session or Scope.TOKENS_MANAGE in by.rights(organization.pk).anywhere
    if oversees(by, organization):
        return True
    return isinstance(owner, Group | Application) and owns(by, owner)


def may_undo_disabling(by: Access, token: Token) -> bool:
    """Of those who manage it: what was disabled from above its owner, only who oversees the organization's tokens."""
    return token.status_reason != Token.Reason.BY_OVERSEER or oversees(by, token.organization)


def oversees(by: Access, organization: Organization) -> bool:
    """Who holds tokens:manage at the root."""
    return by.permits(Scope.TOKENS_MANAGE, ROOT, organization.pk)


def stands_above(by: Access, token: Token) -> bool:
    """Who oversees the organization's tokens, and is not the one whose it is; leading its group besides makes nobody
    less. An organization's and technical users' have no people of their own: who manages them oversees all."""
    has_own_people = token.kind not in (Kind.ORGANIZATION, Kind.TECHNICAL_USER)
    return has_own_people and oversees(by, token.organization) and not is_oneself(by, token.owner)


def may_issue_for(by: Access, owner: Owner, organization: Organization) -> bool:
    """Personal tokens for oneself; for other owners who manages their tokens; the operator for anyone. How much is
    another question."""
    if isinstance(owner, User) and owner.is_person and not by.is_operator:
        return is_oneself(by, owner) and may_manage_of(by, owner, organization)
    return may_manage_of(by, owner, organization)


def is_of(by: Access, owner: Owner) -> bool:
    """Whether the caller is the owner, or leads it."""
    return is_oneself(by, owner) or (isinstance(owner, Group | Application) and owns(by, owner))


def owns(by: Access, owner: Group | Application) -> bool:
    """A group's admins and an application's owners, in their own browser session, while they are active members."""
    if not by.is_browser_session or by.user is None or owner.organization_id not in by.organization_ids():
        return False
    return led_by(by.user, Group if isinstance(owner, Group) else Application).filter(pk=owner.pk).exists()


def led_by(user: User, model: type[Group] | type[Application]) -> QuerySet[Any]:
    """The open groups of which the person is an admin, or the applications that they own."""
    leads = {
        "memberships__user": user,
        "memberships__left_at": None,
        "memberships__role__in": [GroupMembership.Role.ADMIN, ApplicationMembership.Role.OWNER],
    }
    return model._default_manager.filter(closed_at=None, **leads)


def managed(
    by: Access, model: type[Group] | type[Application], organizations: Iterable[Organization]
) -> QuerySet[Any]:
    """The open groups or applications whose tokens the caller manages: `may_manage_of` as a query."""
    overseen = [organization.pk for organization in organizations if oversees(by, organization)]
    found = Q(organization__in=overseen)
    if by.is_browser_session and by.user is not None:
        found |= Q(organization__in=by.organization_ids(), pk__in=led_by(by.user, model).values("pk"))
    return model._default_manager.filter(found, closed_at=None)


def may_lift_restrictions(by: Access) -> bool:
    """Start and stop emergency access: a superuser in a browser session of their own, or the operator for one. Never a
    token, whoever's it is."""
    user: User | None = by.user
    if user is None or not (by.is_browser_session or by.is_operator):
        return False
    return user.is_superuser and user.is_live()


def visible_to(by: Access, tokens: TokenQuerySet) -> TokenQuerySet:
    """The tokens that the caller may see: their own, those of the groups and applications that they lead, and those at
    whose owner's path they read or manage tokens."""
    return _reached(by, tokens, SEES)


def managed_by(by: Access, tokens: TokenQuerySet) -> TokenQuerySet:
    """The tokens that the caller manages: `may_manage` as a query, in the organizations that they see."""
    return _reached(by, tokens, MANAGES)


def _reached(by: Access, tokens: TokenQuerySet, scopes: frozenset[Scope]) -> TokenQuerySet:
    """Their own, those of what they lead, and those at whose owner's path they hold one of the scopes."""
    rights = {key: by.rights(key) for key in by.organization_ids()}
    above = {key for key, held in rights.items() if scopes & held.at(ROOT)}
    below = rights.keys() - above
    wholly, near, far = _fleets_reached(rights, scopes)
    if wholly == above and not far:  # as for most: everything of an organization, or nothing
        reached = Q(organization__in=above)
    else:
        reached = Q(organization__in=above) & ~Q(kind=Kind.FLEET)
        reached |= Q(organization__in=wholly, kind=Kind.FLEET) & ~Q(owner_fleet__in=far)
    reached |= Q(owner_fleet__in=near)
    if below and by.user is not None:
        with_own = [key for key in below if by.is_browser_session or scopes & rights[key].anywhere]
        reached |= Q(organization__in=with_own, kind=Kind.PERSONAL, owner_user=by.user)
    if below and by.user is not None and by.is_browser_session:
        led = Q(owner_group__in=led_by(by.user, Group)) | Q(
            owner_application__in=led_by(by.user, Application)
        )
        reached |= Q(organization__in=below) & led
    return tokens.filter(reached)


def _fleets_reached(
    rights: Mapping[UUID, Rights], scopes: frozenset[Scope]
) -> tuple[set[UUID], list[UUID], list[UUID]]:
    """The organizations at whose fleets one of the scopes is held; single fleets elsewhere at which it is, and those of
    these organizations at which it is not. Only fleets that the rights name are looked at: the others are alike."""
    wholly = {key for key, held in rights.items() if scopes & held.at(ANY_FLEET)}
    near: list[UUID] = []
    far: list[UUID] = []
    slugs = {fleet_slug_of(path) for held in rights.values() for path in held.paths} - {None}
    if slugs:
        named = Fleet.objects.filter(organization__in=rights.keys(), slug__in=slugs)
        for pk, key, slug in named.values_list("pk", "organization_id", "slug"):
            is_near = bool(scopes & rights[key].at(fleet_path(slug)))
            if is_near != (key in wholly):
                (near if is_near else far).append(pk)
    return wholly, near, far


def names_people(by: Access) -> bool:
    """People's names, addresses and programs beside a token: for whoever may see the token, but never for a fleet's
    token."""
    return by.token_id is None or not Token.objects.filter(pk=by.token_id, kind=Kind.FLEET).exists()


def is_oneself(by: Access, owner: Owner) -> bool:
    """A technical user is nobody's self: its tokens are managed by people."""
    if not isinstance(owner, User) or not owner.is_person or by.is_operator:
        return False
    return by.user is not None and by.user.pk == owner.pk
