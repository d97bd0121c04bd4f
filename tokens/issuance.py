"""Issues tokens, and judges what may be issued: the one place that creates a token.

`Wish` is what was asked for; `settle` turns its ceiling and reach into stored values, and `require_within` holds it
against the issuer: nobody gives a (scope, path) that they lack there after their own token's intersection.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from django.db import IntegrityError, transaction

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Conflict, Invalid, Missing, Refused, require
from fleets import currency, holdings, places
from fleets.authority import (
    ROLE_SCOPES,
    TECHNICAL_FLEET_SCOPES,
    Entry,
    PrincipalRights,
    Role,
    TokenRights,
    role_scopes,
    technical_fleet_holdings,
)
from fleets.models import Fleet, Machine, Membership, Organization, TechnicalUser, User
from fleets.organization_policy import policy_of
from fleets.paths import ROOT, is_under
from fleets.scopes import PERSONAL_ONLY, Scope
from tokens import peppers, policy, secret
from tokens.models import Grant, Token, TokenMachine, TokenScope, TokenSecret
from tokens.rights import ceiling_of, entry, exceeding, granted, granted_by
from tokens.risk import require_reason, risk_of
from tokens.secret import Secret

MOST_GRANTS = 100
MOST_MACHINES = 200


@dataclass(frozen=True)
class GrantWish:
    """A row that was asked for: a role at a path."""

    path: str
    role: str
    propagate: bool = True


@dataclass(frozen=True)
class Expiry:
    """When a token shall end: an instant, or a lifetime that counts from its approval; neither is never."""

    at: datetime | None = None
    lifetime: timedelta | None = None


@dataclass(frozen=True)
class Wish:
    """What a token shall be able to do. `machines` and `grants` are None where nothing was said of them."""

    scopes: frozenset[Scope] | None = None
    role: str | None = None
    machines: tuple[UUID, ...] | Literal["all"] | None = None
    grants: tuple[GrantWish, ...] | None = None
    privilege_separation: bool = True


@dataclass(frozen=True)
class Settled:
    """A wish in stored values. `rows` is None for a token that goes by its principal's rights."""

    ceiling: frozenset[Scope]
    role: str
    rows: tuple[GrantWish, ...] | None
    machines: tuple[Machine, ...]

    @property
    def entries(self) -> tuple[Entry, ...] | None:
        if self.rows is None:
            return None
        return tuple(entry(row.path, row.role, row.propagate, self.ceiling) for row in self.rows)


@dataclass(frozen=True)
class Issued:
    """A new token, or a new generation of one, with the secret that is shown once."""

    token: Token
    secret: Secret
    previous_valid_until: datetime | None = None


@verb(Action.TOKEN_ISSUED)
def issue(
    organization: Organization,
    *,
    owner: User | Fleet,
    name: str,
    description: str = "",
    wish: Wish,
    expiry: Expiry | None = None,
    rotate_every: timedelta | None = None,
    reason: str = "",
    by: Access,
) -> Issued:
    """Issue a token for a person or a fleet; `expiry` None is the organization's default lifetime.

    Pending where the organization's policy wants its risk approved; the secret is shown all the same, once.
    """
    lock_owner(organization, owner)
    require(policy.may_issue_for(by, owner, organization), "You may not issue tokens for this owner.")
    settled = settle(organization, owner, wish, by)
    require_within(organization, owner, settled, by)
    risk = risk_of(settled.ceiling, privilege_separation=wish.privilege_separation)
    if not by.is_operator:
        require_reason(risk, reason)
    rules = policy_of(organization)
    waits = rules.approvals_for(risk) > 0 and not by.is_operator
    expiry = bounded(expiry, rules.default_lifetime, by)
    at = now()
    token = Token(
        organization=organization,
        kind=Token.Kind.FLEET if isinstance(owner, Fleet) else Token.Kind.PERSONAL,
        owner_user=owner if isinstance(owner, User) else None,
        owner_fleet=owner if isinstance(owner, Fleet) else None,
        name=name,
        description=description,
        role=settled.role,
        privilege_separation=wish.privilege_separation,
        risk=risk,
        status=Token.Status.PENDING if waits else Token.Status.ACTIVE,
        created_at=at,
        created_by=by.user,
        created_by_name=by.actor.label if by.user is None else by.user.username,
        approved_at=None if waits else at,
        lifetime=expiry.lifetime if waits else None,
        expires_at=expiry.at if waits or expiry.lifetime is None else at + expiry.lifetime,
        rotate_every=rotate_every,
    )
    token.principal = owner if isinstance(owner, User) else _technical_user(token, owner)
    _insert(token)
    write_access(token, settled)
    fresh = new_secret(token, generation=1)
    data = {
        "kind": token.kind,
        "owner": token.owner_label,
        "scopes": sorted(settled.ceiling),
        "grants": rows_as_json(settled.rows),
        "risk": risk.label,
        "status": token.status,
        "expires_at": token.expires_at,
    }
    record(Action.TOKEN_ISSUED, by=by, target=token, reason=reason, data=data)
    return Issued(token, fresh)


def lock_owner(organization: Organization, owner: User | Fleet) -> None:
    """Queue behind a departure or closing that is under way; Conflict where it has happened."""
    if isinstance(owner, Fleet):
        if (
            not Fleet.objects.select_for_update()
            .filter(pk=owner.pk, organization=organization, closed_at=None)
            .exists()
        ):
            raise Conflict("This fleet is closed.", code="owner_closed")
        return
    memberships = Membership.objects.select_for_update().active()
    if not owner.is_live() or not memberships.filter(user=owner, organization=organization).exists():
        raise Conflict("This person is no active member of the organization.", code="owner_inactive")


def settle(organization: Organization, owner: User | Fleet, wish: Wish, by: Access) -> Settled:
    """The wish as stored values, checked for what can't be meant; not yet for what the issuer may give."""
    root = owner.path if isinstance(owner, Fleet) else ROOT
    ceiling = _ceiling(organization, owner, wish, root)
    if not ceiling:
        raise Invalid.field("scopes", "A token needs at least one scope.", "required")
    if isinstance(owner, Fleet):
        _require_fleet_scopes(ceiling)
    if wish.grants is not None and wish.machines is not None:
        raise Invalid.field("machines", "Say machines or grants, not both.", "contradiction")
    if not wish.privilege_separation:
        if isinstance(owner, Fleet):
            raise Invalid.field("privilege_separation", "A fleet's token is always separated.")
        if wish.grants is not None or wish.machines not in (None, "all"):
            field = "grants" if wish.grants is not None else "machines"
            raise Invalid.field(
                field, "Without privilege separation the grants are the owner's rights.", "contradiction"
            )
        return Settled(ceiling, wish.role or "", None, ())
    if wish.grants is not None:
        return Settled(ceiling, wish.role or "", _grants(organization, root, wish.grants), ())
    if wish.machines not in (None, "all"):
        machines = _machines(organization, wish.machines, by, root)
        return Settled(
            ceiling, wish.role or "", tuple(GrantWish(machine.path, "") for machine in machines), machines
        )
    return Settled(ceiling, wish.role or "", _default_rows(root, by), ())


def require_within(organization: Organization, owner: User | Fleet, settled: Settled, by: Access) -> None:
    """Refuse a token that could do what its issuer can't, or that its issuing token could not pass on."""
    if by.is_operator:
        return
    held = by.rights(organization.pk)
    if lacking := settled.ceiling - held.anywhere:
        raise _exceeds([(scope, ROOT) for scope in lacking])
    principal = (
        PrincipalRights(technical_fleet_holdings(owner.slug))
        if isinstance(owner, Fleet)
        else holdings.rights_of(owner, organization.pk)
    )
    if beyond := exceeding(TokenRights(settled.ceiling, settled.entries, principal), held):
        raise _exceeds(beyond)
    issuer = issuing_token(by)
    if issuer and (beyond := exceeding(granted(settled.ceiling, settled.entries), granted_by(issuer))):
        raise _exceeds(beyond)


def issuing_token(by: Access) -> Token | None:
    return Token.objects.presented().get(pk=by.token_id) if by.token_id else None


def bounded(expiry: Expiry | None, default: timedelta, by: Access) -> Expiry:
    """The expiry, never beyond that of a token that issues: the default shrinks to it, asking for more is refused."""
    issuer = issuing_token(by)
    limit = issuer.expires_at if issuer else None
    if limit is None:
        return expiry or Expiry(lifetime=default)
    if expiry is None:
        return Expiry(at=min(limit, now() + default))
    end = expiry.at if expiry.lifetime is None else now() + expiry.lifetime
    require(
        end is not None and end <= limit, "A token never outlives the one that issues it.", "outlives_issuer"
    )
    return expiry


def write_access(token: Token, settled: Settled) -> None:
    """Replace a token's ceiling, rows and machines."""
    TokenScope.objects.filter(token=token).delete()
    Grant.objects.filter(token=token).delete()
    TokenMachine.objects.filter(token=token).delete()
    TokenScope.objects.bulk_create(TokenScope(token=token, scope=scope) for scope in sorted(settled.ceiling))
    Grant.objects.bulk_create(
        Grant(token=token, number=number, path=row.path, role=row.role, propagate=row.propagate)
        for number, row in enumerate(settled.rows or (), start=1)
    )
    TokenMachine.objects.bulk_create(
        TokenMachine(token=token, machine=machine, name=machine.name) for machine in settled.machines
    )


def new_secret(token: Token, *, generation: int) -> Secret:
    """Make a secret and keep its digest: the only place that does."""
    text = secret.generate(token.kind, token.pk)
    number, pepper = peppers.newest()
    TokenSecret.objects.create(
        token=token,
        generation=generation,
        digest=secret.digest(text, pepper),
        pepper_id=number,
        created_at=now(),
    )
    return Secret(text)


def rows_as_json(rows: Iterable[GrantWish] | None) -> list[dict[str, object]] | None:
    if rows is None:
        return None
    return [{"path": row.path, "role": row.role or None, "propagate": row.propagate} for row in rows]


def settled_of(token: Token) -> Settled:
    """What is stored of a token, in the shape of a wish that was settled."""
    rows = tuple(GrantWish(grant.path, grant.role, grant.propagate) for grant in token.grants.all())
    machines = tuple(row.machine for row in token.machine_rows.all())
    return Settled(ceiling_of(token), token.role, rows if token.privilege_separation else None, machines)


def _ceiling(organization: Organization, owner: User | Fleet, wish: Wish, root: str) -> frozenset[Scope]:
    if wish.scopes is not None and wish.role is not None:
        raise Invalid.field("role", "Say scopes or role, not both.", "contradiction")
    if wish.scopes is not None:
        return wish.scopes
    if wish.role is not None:
        if wish.role not in ROLE_SCOPES or wish.role == Role.NO_ACCESS:
            raise Invalid.field("role", "There is no such role that a token can have.", "unknown_role")
        return role_scopes(wish.role, root)
    if wish.grants == () or not wish.privilege_separation:
        if isinstance(owner, Fleet):
            return TECHNICAL_FLEET_SCOPES
        return frozenset(holdings.rights_of(owner, organization.pk).anywhere)
    raise Invalid.field("scopes", "Say scopes or role.", "required")


def _require_fleet_scopes(ceiling: frozenset[Scope]) -> None:
    if beyond := sorted(ceiling - TECHNICAL_FLEET_SCOPES):
        personal = sorted(ceiling & PERSONAL_ONLY)
        detail = (
            f"{personal[0]} is for personal tokens only."
            if personal
            else f"A fleet's token can't hold {', '.join(beyond)}."
        )
        raise Invalid.field("scopes", detail, "scope_not_for_kind")


def _grants(organization: Organization, root: str, wishes: tuple[GrantWish, ...]) -> tuple[GrantWish, ...]:
    rows: list[GrantWish] = []
    for index, wish in enumerate(wishes):
        path = places.resolved(organization.pk, wish.path, field=f"grants.{index}.path")
        if not is_under(path, root):
            raise Invalid.field(
                f"grants.{index}.path", f"This owner's tokens reach nothing outside of {root}.", "bad_path"
            )
        if wish.role not in ROLE_SCOPES:
            raise Invalid.field(f"grants.{index}.role", "There is no such role.", "unknown_role")
        if any(row.path == path for row in rows):
            raise Invalid.field(f"grants.{index}.path", "There is another row for this path.", "duplicate")
        rows.append(GrantWish(path, wish.role, wish.propagate))
    return tuple(rows)


def _machines(
    organization: Organization, ids: tuple[UUID, ...] | str | None, by: Access, root: str
) -> tuple[Machine, ...]:
    """Live machines that the issuer may see, all of them or none: Missing where one is not there for them."""
    assert isinstance(ids, tuple)
    if not ids:
        raise Invalid.field("machines", 'Name at least one machine, or "all".', "required")
    found = Machine.objects.live().select_related("fleet").filter(organization=organization, pk__in=ids)
    rights = by.rights(organization.pk)
    machines = {
        machine.pk: machine for machine in found if is_under(machine.path, root) and rights.at(machine.path)
    }
    if set(ids) - machines.keys():
        raise Missing(
            "There is no such machine.",
            errors=Invalid.field("machines", "There is no such machine.", "not_found").errors,
        )
    return tuple(machines[pk] for pk in dict.fromkeys(ids))


def _default_rows(root: str, by: Access) -> tuple[GrantWish, ...]:
    """One propagating row at the owner's root; a token passes on no more than its own rows."""
    issuer = issuing_token(by) if root == ROOT else None
    if issuer is None or not issuer.privilege_separation:
        return (GrantWish(root, ""),)
    return tuple(GrantWish(grant.path, grant.role, grant.propagate) for grant in issuer.grants.all())


def _exceeds(pairs: list[tuple[str, str]]) -> Refused:
    scope, path = pairs[0]
    return Refused(f"You do not hold {scope} on {path}, so you can't give it.", code="exceeds_your_rights")


def _technical_user(token: Token, fleet: Fleet) -> User:
    """The user that a fleet's token acts as: it can't log in, and goes inactive with the token."""
    user = User(username=f"fleet+{token.pk}", name=f"{token.name} ({fleet.slug})", kind=User.Kind.TECHNICAL)
    user.set_unusable_password()
    user.save(force_insert=True)
    TechnicalUser.objects.create(
        user=user, organization_id=fleet.organization_id, fleet=fleet, label=user.name
    )
    currency.raise_(user)
    return user


def _insert(token: Token) -> None:
    token.full_clean(validate_unique=False, validate_constraints=False)
    try:
        with transaction.atomic():
            token.save(force_insert=True)
    except IntegrityError:
        raise Conflict("This owner has, or had, a token of this name.", code="name_taken") from None
