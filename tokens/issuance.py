"""Issues tokens: the one place that creates a token, or a secret of one."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from approvals.models import Ids
from approvals.requests import behind_of
from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import require
from config.edge.taken import unless_taken
from fleets.models import Organization
from tokens import limits, peppers, policy, principals, secret, waiting, wishes
from tokens.kinds import COLUMN, Owner, kind_of
from tokens.models import Token, TokenSecret
from tokens.restrictions import UNRESTRICTED, Restrictions
from tokens.risk import require_reason, risk_of
from tokens.rules import require_issuable
from tokens.secret import Secret
from tokens.spec import Spec, restriction_columns

# who issues speaks of wishes, grants and expiries: said here too, so that callers need one module
from tokens.wishes import Expiry as Expiry
from tokens.wishes import GrantWish as GrantWish
from tokens.wishes import Wish as Wish

NAME_TAKEN = "This owner has, or had, a token of this name."


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
    owner: Owner,
    name: str,
    description: str = "",
    wish: Wish,
    expiry: Expiry | None = None,
    rotate_every: timedelta | None = None,
    restrictions: Restrictions = UNRESTRICTED,
    reason: str = "",
    by: Access,
) -> Issued:
    """Issue a token for an owner of any kind; `expiry` None is the organization's default lifetime.

    Where the organization's policy wants its risk approved, it is pending and its `open_request` waits; the secret is
    shown all the same, once. Conflict where too few others could approve it.
    """
    known_by = waiting.shown_to(by.token_id)  # before it is asked whether the token that calls still works
    rules = waiting.rules_under_lock(organization)
    limits.lock_owner(organization, owner, by)
    require(policy.may_issue_for(by, owner, organization), "You may not issue tokens for this owner.")
    settled = wishes.settle(organization, owner, wish, by)
    role_of_principal = principals.role_for(owner, settled.ceiling)
    principal = principals.rights_of_new(organization, owner, role_of_principal)
    limits.require_within(organization, owner, settled, principal, by)
    risk = risk_of(settled.ceiling, rules, privilege_separation=wish.privilege_separation)
    if not by.is_operator:
        require_reason(risk, reason)
    waits = waiting.approvals_for(risk, rules, by)
    expiry = limits.bounded(expiry, rules.default_lifetime, by)
    restrictions = limits.inherited(restrictions, by)
    asked = Spec(access=settled, expires_at=expiry.at, lifetime=expiry.lifetime, restrictions=restrictions)
    require_issuable(organization, owner, asked, rules, by=by)
    at = now()
    kind = kind_of(owner)
    token = Token(
        organization=organization,
        kind=kind,
        name=name,
        description=description,
        role=settled.role,
        privilege_separation=wish.privilege_separation,
        **wishes.level_columns(settled),
        risk=risk,
        status=Token.Status.PENDING if waits else Token.Status.ACTIVE,
        created_at=at,
        created_by=by.user,
        created_by_name=by.actor.label if by.user is None else by.user.username,
        approved_at=None if waits else at,
        lifetime=expiry.lifetime if waits else None,
        expires_at=expiry.at if waits or expiry.lifetime is None else at + expiry.lifetime,
        rotate_every=rotate_every,
        **restriction_columns(restrictions),
    )
    setattr(token, COLUMN[kind], owner)
    token.principal = principals.make(token, owner, role_of_principal)
    _insert(token)
    wishes.write_new(token, settled)
    fresh = new_secret(token, generation=1, known_by=known_by, by=by)
    data = {
        "kind": token.kind,
        "owner": token.owner_label,
        "scopes": sorted(settled.ceiling),
        "grants": wishes.rows_as_json(settled.rows),
        "risk": risk.label,
        "status": token.status,
        "expires_at": token.expires_at,
        "restrictions": restrictions.as_json(),
    }
    record(Action.TOKEN_ISSUED, by=by, target=token, reason=reason, data=data)
    if waits:
        waiting.open_issue(token, rules, needed=waits, reason=reason, by=by)
    return Issued(token.presented(), fresh)


def new_secret(token: Token, *, generation: int, known_by: Ids, by: Access) -> Secret:
    """Make a secret, and keep its digest and who is shown it: the only place that does.

    Who is shown it are the users behind the caller, and `known_by`: whoever knew a secret of the token that calls when
    it came.
    """
    knowing = behind_of(by) | known_by
    text = secret.generate(token.kind, token.pk)
    number, pepper = peppers.for_a_new_secret()
    TokenSecret.objects.create(
        token=token,
        generation=generation,
        digest=secret.digest(text, pepper),
        pepper_id=number,
        created_at=now(),
        shown_to=sorted(str(pk) for pk in knowing),
    )
    return Secret(text)


def _insert(token: Token) -> None:
    token.validate_columns()
    with unless_taken(NAME_TAKEN, "name_taken"):
        token.save(force_insert=True)
