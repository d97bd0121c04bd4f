"""What an organization's policy means for a token: what of it is not allowed, and when it ends at the latest.

Judged when a token is issued or widened (`require_issuable`, `require_widenable`), at each of its calls
(`effective_expiry`, `refuses`, `kept`), and before a policy is saved (preview).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from config.edge.access import Access
from config.edge.clock import now
from config.edge.networks import Network
from config.edge.refusals import Invalid, Refused
from fleets.models import Membership, Organization, User
from fleets.organization_policy import OrganizationPolicy, policy_of
from fleets.scopes import Risk, Scope
from tokens.kinds import Kind, Owner, kind_of
from tokens.models import Token
from tokens.restrictions import is_open
from tokens.spec import Spec


class Violation(StrEnum):
    """What of a token the policy does not allow."""

    KIND_NOT_ALLOWED = "kind_not_allowed"
    SCOPE_ABOVE_CEILING = "scope_above_ceiling"
    NEVER_NOT_ALLOWED = "never_not_allowed"
    LIFETIME_TOO_LONG = "lifetime_too_long"
    NETWORK_REQUIRED = "network_required"


# Calls of such a token are refused; what lives too long only ends earlier, what holds too much only does less.
REFUSING = frozenset({Violation.KIND_NOT_ALLOWED, Violation.NEVER_NOT_ALLOWED, Violation.NETWORK_REQUIRED})


@dataclass(frozen=True, slots=True)
class Facts:
    """What the policy looks at. `starts_at`: from when its life counts; `expires_at` None is never."""

    kind: str
    risk: Risk
    scopes: frozenset[str]
    networks: tuple[Network, ...] | None
    starts_at: datetime
    expires_at: datetime | None


def facts_of(token: Token, at: datetime) -> Facts:
    """Of one that waits for its approval, as if that came at this moment."""
    start = token.approved_at or at
    end = token.expires_at if token.lifetime is None else start + token.lifetime
    scopes = frozenset(token.scopes)
    return Facts(token.kind, Risk(token.risk), scopes, token.restrictions.networks, start, end)


def violations(facts: Facts, rules: OrganizationPolicy, role: str | None) -> list[Violation]:
    """`role`: of a personal token its owner's in the organization; of another one that is issued, who issues it has.
    None is somebody without a role, whom the policy does not limit by it."""
    return list(_violations(facts, rules, role))


def violations_of(token: Token, at: datetime) -> list[Violation]:
    """Of a token that exists: who made it is history, whatever its kind."""
    rules = policy_of(token.organization)
    return violations(facts_of(token, at), rules, role_of_owner(token, rules))


def refuses(token: Token, rules: OrganizationPolicy) -> bool:
    """Whether the policy refuses every call of the token. Its expiry is for `effective_expiry`."""
    if rules.never_allowed and not any(rules.networks_required) and not rules.allowed_kinds:
        return False
    found = violations(facts_of(token, now()), rules, role_of_owner(token, rules))
    return not REFUSING.isdisjoint(found)


def effective_expiry(token: Token, rules: OrganizationPolicy) -> datetime | None:
    """The earlier of its expiry and the longest life that is allowed, which counts from its approval; None is never."""
    return earlier(token.expires_at, token.approved_at, rules.maximum_lifetime)


def has_ended(token: Token, rules: OrganizationPolicy, at: datetime) -> bool:
    """Whether its effective expiry has come, whatever its status says."""
    end = effective_expiry(token, rules)
    return end is not None and end <= at


def earlier(
    expires_at: datetime | None, approved_at: datetime | None, maximum: timedelta | None
) -> datetime | None:
    latest = approved_at + maximum if approved_at and maximum else None
    return min(filter(None, (expires_at, latest)), default=None)


def kept(ceiling: frozenset[Scope], token: Token, rules: OrganizationPolicy) -> frozenset[Scope]:
    """What of its ceiling the policy leaves a token: of a personal one no more than its owner's role may hold."""
    role = role_of_owner(token, rules)
    most = rules.ceiling_of(role) if role else None
    return ceiling if most is None else ceiling & most


def role_of_owner(token: Token, rules: OrganizationPolicy) -> str | None:
    """The organization role of a personal token's owner, read only where the policy asks for roles."""
    if token.kind != Kind.PERSONAL or not (rules.allowed_kinds or rules.scope_ceilings):
        return None
    if hasattr(token, "owner_role"):  # as `deciding` reads it along
        role: str | None = token.owner_role
        return role
    return _role(token.principal, token.organization)


def require_issuable(
    organization: Organization, owner: Owner, spec: Spec, rules: OrganizationPolicy, *, by: Access
) -> None:
    """For the verb that issues a token: refuse what the policy does not allow, naming the field or the rule.

    The operator is bound too, but that a person's role may hold less than their token's ceiling: it has no effect.
    """
    at = now()
    field = "expires_at" if spec.expires_at else "expires_in"
    _require_allowed(_facts(kind_of(owner), spec, rules, at, at), organization, owner, rules, field, by)


def require_widenable(token: Token, spec: Spec, rules: OrganizationPolicy, *, by: Access) -> None:
    """As `require_issuable`, for what a token becomes by an edit that widens it, or as what a pending one would begin.
    The end of one that has begun is not judged where it stays: what is too long ends by the policy anyway."""
    at = now()
    is_moved = (spec.expires_at, spec.lifetime) != (token.expires_at, token.lifetime)
    is_judged = is_moved or token.status == Token.Status.PENDING
    facts = _facts(Kind(token.kind), spec, rules, token.approved_at or at, at)
    _require_allowed(facts, token.organization, token.owner, rules, "expires_at" if is_judged else "", by)


def _violations(facts: Facts, rules: OrganizationPolicy, role: str | None) -> Iterator[Violation]:
    kinds = rules.kinds_of(role) if role else None
    if kinds is not None and facts.kind not in kinds:
        yield Violation.KIND_NOT_ALLOWED
    most = rules.ceiling_of(role) if role and facts.kind == Kind.PERSONAL else None
    if most is not None and facts.scopes - most:
        yield Violation.SCOPE_ABOVE_CEILING
    longest = rules.maximum_lifetime
    if longest and (facts.expires_at is None or facts.expires_at > facts.starts_at + longest):
        yield Violation.LIFETIME_TOO_LONG
    elif facts.expires_at is None and not rules.never_allowed:
        yield Violation.NEVER_NOT_ALLOWED
    if rules.needs_network(facts.risk) and (facts.networks is None or is_open(facts.networks)):
        yield Violation.NETWORK_REQUIRED


def _facts(kind: Kind, spec: Spec, rules: OrganizationPolicy, starts_at: datetime, at: datetime) -> Facts:
    end = spec.expires_at if spec.lifetime is None else at + spec.lifetime
    return Facts(kind, spec.risk(rules), spec.access.ceiling, spec.restrictions.networks, starts_at, end)


def _require_allowed(
    facts: Facts,
    organization: Organization,
    owner: Owner,
    rules: OrganizationPolicy,
    expiry_field: str,
    by: Access,
) -> None:
    role = _role_judged(organization, owner, rules, by)
    found = violations(facts, rules, role)
    if Violation.KIND_NOT_ALLOWED in found:
        whose = f"{'an' if facts.kind[0] in 'ao' else 'a'} {Kind(facts.kind).label.lower()} token"
        detail = f"The organization's policy lets no {role} have {whose}."
        raise Refused(detail, code=Violation.KIND_NOT_ALLOWED)
    if _has_no_role(by) and not rules.lets_anybody_issue(facts.kind):
        detail = f"The organization's policy lets nobody issue tokens of the kind {facts.kind}."
        raise Refused(detail, code=Violation.KIND_NOT_ALLOWED)
    if Violation.SCOPE_ABOVE_CEILING in found and not by.is_operator:
        above = sorted(facts.scopes - (rules.ceiling_of(role or "") or frozenset()))
        detail = f"The organization's policy lets no personal token of a {role} hold {', '.join(above)}."
        raise Refused(detail, code=Violation.SCOPE_ABOVE_CEILING)
    if expiry_field:
        _require_an_end(facts, rules, found, expiry_field)
    if Violation.NETWORK_REQUIRED in found:
        detail = (
            f"The organization's policy wants a token of {facts.risk.label} risk to work from named networks only; "
            "0.0.0.0/0 and ::/0 are everywhere."
        )
        raise Invalid.field("allowed_networks", detail, Violation.NETWORK_REQUIRED)


def _require_an_end(facts: Facts, rules: OrganizationPolicy, found: list[Violation], field: str) -> None:
    if facts.expires_at is None and not rules.never_allowed:
        detail = "The organization's policy wants every token to end."
        raise Invalid.field(field, detail, Violation.NEVER_NOT_ALLOWED)
    if Violation.LIFETIME_TOO_LONG in found:
        days = f"{rules.maximum_lifetime_days} day{'s'[rules.maximum_lifetime_days == 1 :]}"
        latest = f"{facts.starts_at + (rules.maximum_lifetime or timedelta()):%Y-%m-%d %H:%M} UTC"
        detail = f"The organization's tokens live at most {days} from their approval: until {latest}."
        raise Invalid.field(field, detail, Violation.LIFETIME_TOO_LONG)


def _role_judged(
    organization: Organization, owner: Owner, rules: OrganizationPolicy, by: Access
) -> str | None:
    """The owner's role for a personal token, else the role of whoever calls, or acts by a token of theirs."""
    if not (rules.allowed_kinds or rules.scope_ceilings):
        return None
    if isinstance(owner, User) and kind_of(owner) is Kind.PERSONAL:
        return _role(owner, organization)
    return None if by.is_operator or by.user is None else _role(by.user, organization)


def _has_no_role(by: Access) -> bool:
    """A technical user's token, which may be in the hands of people of any role."""
    return not by.is_operator and by.user is not None and not by.user.is_person


def _role(user: User, organization: Organization) -> str | None:
    here = Membership.objects.active().filter(user=user, organization=organization)
    return here.values_list("role", flat=True).first()
