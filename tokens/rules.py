"""What an organization's policy means for a token: what of it is not allowed, and when it ends at the latest.

Judged when a token is issued or widened (`require_allowed`), at each of its calls (`effective_expiry`, `refuses`,
`kept`), and before a policy is saved (the preview).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from config.edge.access import Access
from config.edge.networks import Network
from config.edge.refusals import Invalid, Refused
from fleets.models import Membership, Organization, User
from fleets.organization_policy import OrganizationPolicy, policy_of
from fleets.scopes import Risk, Scope
from tokens.kinds import Kind, Owner, kind_of
from tokens.models import Token


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


def refuses(token: Token, rules: OrganizationPolicy, at: datetime) -> bool:
    """Whether the policy refuses every call of the token. Its expiry is for `effective_expiry`."""
    if rules.never_allowed and not any(rules.networks_required) and not rules.allowed_kinds:
        return False
    found = violations(facts_of(token, at), rules, role_of_owner(token, rules))
    return not REFUSING.isdisjoint(found)


def effective_expiry(token: Token, rules: OrganizationPolicy) -> datetime | None:
    """The earlier of its expiry and the longest life that is allowed, which counts from its approval; None is never."""
    return earlier(token.expires_at, token.approved_at, rules.maximum_lifetime)


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


def require_allowed(
    facts: Facts,
    rules: OrganizationPolicy,
    *,
    organization: Organization,
    owner: Owner,
    expiry_field: str | None = "expires_at",
    by: Access,
) -> None:
    """For verbs that issue or widen: Invalid names the field that has to be different, Refused what is for others.

    `expiry_field` None: nothing was asked about the end, and what is too long ends by the policy anyway. The operator
    is bound too, but that what the owner lacks may stand in the ceiling: it has no effect.
    """
    found = violations(facts, rules, _role_judged(organization, owner, rules, by))
    if Violation.KIND_NOT_ALLOWED in found:
        whose = f"{'an' if facts.kind[0] in 'ao' else 'a'} {Kind(facts.kind).label.lower()} token"
        raise Refused(f"The organization's policy does not let this role have {whose}.", code=found[0])
    if Violation.SCOPE_ABOVE_CEILING in found and not by.is_operator:
        above = sorted(facts.scopes - (_ceiling(organization, owner, rules) or frozenset()))
        raise Refused(
            f"The organization's policy lets no personal token of this role hold {', '.join(above)}.",
            code=Violation.SCOPE_ABOVE_CEILING,
        )
    if expiry_field:
        _require_an_end(facts, rules, found, expiry_field)
    if Violation.NETWORK_REQUIRED in found:
        detail = (
            f"The organization's policy wants a token of {facts.risk.label} risk to work from named networks only; "
            "0.0.0.0/0 and ::/0 are everywhere."
        )
        raise Invalid.field("allowed_networks", detail, Violation.NETWORK_REQUIRED)


def is_open(networks: tuple[Network, ...] | None) -> bool:
    """Whether these are all addresses of IPv4 or of IPv6, however they are written; None is not said here."""
    if networks is None:
        return False
    version_4 = [network for network in networks if isinstance(network, IPv4Network)]
    version_6 = [network for network in networks if isinstance(network, IPv6Network)]
    whole = (*collapse_addresses(version_4), *collapse_addresses(version_6))
    return any(network.prefixlen == 0 for network in whole)


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


def _ceiling(organization: Organization, owner: Owner, rules: OrganizationPolicy) -> frozenset[str] | None:
    role = _role(owner, organization) if isinstance(owner, User) else None
    return rules.ceiling_of(role) if role else None


def _role(user: User, organization: Organization) -> str | None:
    here = Membership.objects.active().filter(user=user, organization=organization)
    return here.values_list("role", flat=True).first()
