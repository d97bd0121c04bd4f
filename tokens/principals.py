"""Whom a token acts as: a person or technical user that exists without it, or a technical user of its own.

What such a technical user holds is for holdings; which of its roles suits a ceiling, and its making and end, are here.
"""

from dataclasses import replace
from uuid import UUID

from config.edge.refusals import Invalid
from fleets import currency, holdings
from fleets.authority import (
    GROUP_ROLES,
    ROLE_SCOPES,
    TECHNICAL_FLEET_SCOPES,
    TECHNICAL_ORGANIZATION_SCOPES,
    PrincipalRights,
    Role,
    role_scopes,
)
from fleets.models import Fleet, Group, Organization, TechnicalUser, User
from fleets.paths import ROOT
from fleets.scopes import ALL_SCOPES, PERSONAL_ONLY, Scope
from tokens.kinds import ACTS_AS_OWNER, Owner, kind_of, whose
from tokens.models import Token, TokenQuerySet


def roots_of(owner: Owner) -> tuple[str, ...]:
    """The paths that an owner's tokens start from where no others are asked for; a group may have none yet."""
    if isinstance(owner, Fleet):
        return (owner.path,)
    if isinstance(owner, Group):
        return tuple(sorted(entry.path for entry in holdings.entries_of_group(owner) if not entry.denies))
    return (ROOT,)


def most_of(owner: Owner, organization_id: UUID) -> frozenset[Scope]:
    """Every scope that a token of this owner may come to use somewhere."""
    if isinstance(owner, User):
        return holdings.rights_of(owner, organization_id).anywhere
    roles = _roles_of(owner)
    return frozenset[Scope]().union(*roles.values())


def role_for(owner: Owner, ceiling: frozenset[Scope]) -> str:
    """The smallest role of a new technical user that covers the ceiling; Invalid where none does."""
    if isinstance(owner, User) and owner.is_person:
        return ""
    roles = _roles_of(owner)
    for role, scopes in roles.items():
        if ceiling <= scopes:
            return role
    beyond = sorted(ceiling - frozenset[Scope]().union(*roles.values()))
    if personal := sorted(ceiling & PERSONAL_ONLY):
        detail = f"{personal[0]} is for personal tokens only."
    else:
        detail = f"{whose(owner)} token can't hold {', '.join(beyond)}."
    raise Invalid.field("scopes", detail, "scope_not_for_kind")


def rights_of_new(organization: Organization, owner: Owner, role: str) -> PrincipalRights:
    """What the principal of a new token of this owner holds."""
    if isinstance(owner, User):
        return holdings.rights_of(owner, organization.pk)
    return holdings.standing_of(owner, role, kind_of(owner))


def make(token: Token, owner: Owner, role: str) -> User:
    """The user that the token acts as. One made for it can't log in, and goes inactive with it."""
    if isinstance(owner, User):
        return owner
    kind = kind_of(owner)
    user = User(username=f"{kind}+{token.pk}", name=f"{token.name} ({owner.slug})", kind=User.Kind.TECHNICAL)
    user.set_unusable_password()
    user.save(force_insert=True)
    stands_for = {} if isinstance(owner, Organization) else {kind.value: owner}
    TechnicalUser.objects.create(
        user=user,
        organization_id=token.organization_id,
        kind=kind,
        role=role,
        label=user.name,
        **stands_for,
    )
    currency.raise_(user)
    return user


def role_suiting(token: Token, ceiling: frozenset[Scope], *, is_narrower: bool) -> str | None:
    """The role of the token's technical user that another ceiling asks for; None where it stays. A narrower one, of
    which its owner's roles no longer cover all, keeps the role that it has."""
    if token.kind in ACTS_AS_OWNER:
        return None
    try:
        return role_for(token.owner, ceiling)
    except Invalid:
        if is_narrower:
            return None
        raise


def rights_with(token: Token, role: str | None) -> PrincipalRights:
    """What the token's principal holds, or would with another role: what denies it stays."""
    held = holdings.rights_of(token.principal, token.organization_id)
    owner = token.owner
    if role is None or isinstance(owner, User):
        return held
    return replace(held, holdings=holdings.standing_of(owner, role, kind_of(owner)).holdings)


def suit(token: Token, role: str | None) -> None:
    """Give the token's technical user the role that its new ceiling asks for."""
    if role is None:
        return
    rows = TechnicalUser.objects.filter(user=token.principal).exclude(role=role)
    if rows.update(role=role):
        currency.raise_(token.principal)


def retire(token: Token) -> None:
    """The technical user of a token that ends goes inactive; who exists without it stays."""
    if token.kind in ACTS_AS_OWNER:
        return
    token.principal.is_active = False
    token.principal.save(update_fields=["is_active"])
    currency.raise_(token.principal)


def retire_all(tokens: TokenQuerySet) -> None:
    """As `retire`, for all of them at once."""
    own = tokens.exclude(kind__in=ACTS_AS_OWNER).values("principal")
    currency.change_all(currency.lock_all(User.objects.filter(pk__in=own).only("version")), is_active=False)


def _roles_of(owner: Owner) -> dict[str, frozenset[Scope]]:
    """The roles that a technical user of this owner can have, the smaller first, and what each can give."""
    if isinstance(owner, Fleet):
        return {"": TECHNICAL_FLEET_SCOPES}
    if isinstance(owner, Group):
        at = roots_of(owner)
        return {role: _at_any_of(at, GROUP_ROLES[role]) for role in ("user", "admin")}
    if isinstance(owner, Organization):
        return {role: TECHNICAL_ORGANIZATION_SCOPES[role] for role in (Role.VIEWER, Role.ADMIN)}
    return {"": ALL_SCOPES - PERSONAL_ONLY}


def _at_any_of(paths: tuple[str, ...], role: str) -> frozenset[Scope]:
    return ROLE_SCOPES[role].union(*(role_scopes(role, path) for path in paths))
