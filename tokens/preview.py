"""What a policy would do to the tokens of an organization, before it is saved. Nothing is changed or recorded here."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Q, Subquery

from approvals.models import ApprovalRequest
from audit.trail import differences
from config.edge.access import Access
from config.edge.clock import now
from fleets import organizations
from fleets.models import Membership, Organization
from fleets.organization_policy import ROLES, OrganizationPolicy, weakened
from fleets.scopes import Risk
from tokens import policy
from tokens.decision import DerivedStatus
from tokens.kinds import OWNER_COLUMNS, Kind
from tokens.models import Token, TokenQuerySet, TokenScope
from tokens.rerating import risk_under
from tokens.restrictions import from_stored
from tokens.rules import Facts, Violation, earlier, violations
from tokens.sweeps import unused
from tokens.waiting import asked_risk

NAMED = 50  # tokens
UNUSED = "unused"  # would be disabled for it
ASK_AGAIN = "ask_again"  # what waits about it could not be approved any more, for it is riskier
EXPIRED = "expired"  # would have ended already: in place of `lifetime_too_long`
COLUMNS = (
    *("pk", "kind", "risk", "expires_at", "approved_at", "lifetime", "allowed_networks"),
    *("owner_role", "becomes"),
)


@dataclass(frozen=True)
class Preview:
    """`weaker`: in words what it holds back less; `needs_approval`: by how many it would have to be approved.

    `affected`: how many living tokens would be refused, end earlier, do less, be disabled, or have to be asked for
    again; `why` of the first of them that the caller may see: the codes of `Violation`, "expired", "unused" and
    "ask_again".
    """

    changes: dict[str, list[Any]]
    weaker: list[str]
    needs_approval: int
    affected: int
    tokens: list[tuple[Token, list[str]]]


def preview(organization: Organization, changes: dict[str, Any], *, by: Access) -> Preview:
    """As `organizations.set_policy` would judge it: what it refuses is refused here."""
    before, after = organizations.proposed(organization, changes, by=by)
    weaker = weakened(before, after)
    why = dict(_affected(organization, before, after, now())) if after != before else {}
    named = list(why)[:NAMED]
    seen = policy.visible_to(by, Token.objects.filter(pk__in=named))
    tokens = {token.pk: token for token in seen.select_related("organization", *OWNER_COLUMNS)}
    return Preview(
        differences(before.as_json(), after.as_json()),
        weaker,
        before.most_approvals if weaker and not by.is_operator else 0,
        len(why),
        [(tokens[key], why[key]) for key in named if key in tokens],
    )


def _affected(
    organization: Organization, before: OrganizationPolicy, after: OrganizationPolicy, at: datetime
) -> Iterator[tuple[str, list[str]]]:
    """(token, why) by the tokens' names: what the new policy does to them and the present one does not."""
    living = _living(organization, at)
    narrowed = _narrowed(living, before, after)
    asked_again = _riskier(organization, before, after)
    idle = _unused(organization, after, at) - _unused(organization, before, at)
    rows = living.annotate(becomes=risk_under(after)).order_by("name", "pk").values_list(*COLUMNS, named=True)
    for row in rows.iterator(chunk_size=2000):
        facts = _facts(row, at)
        becomes = replace(facts, risk=Risk(row.becomes))
        was = violations(facts, before, row.owner_role)
        end = _end(facts, before)
        if end and end <= at:
            continue  # the present policy has ended it already
        why = [code.value for code in violations(becomes, after, row.owner_role) if code not in was]
        if Violation.LIFETIME_TOO_LONG in was and _is_earlier(_end(facts, after), end):
            why.append(Violation.LIFETIME_TOO_LONG.value)
        if Violation.LIFETIME_TOO_LONG in why and not _is_earlier(at, _end(facts, after)):
            why[why.index(Violation.LIFETIME_TOO_LONG)] = EXPIRED
        if row.pk in narrowed:
            why.append(Violation.SCOPE_ABOVE_CEILING.value)
        if row.pk in idle:
            why.append(UNUSED)
        if row.pk in asked_again:
            why.append(ASK_AGAIN)
        if why:
            yield row.pk, why


def _living(organization: Organization, at: datetime) -> TokenQuerySet:
    role = Membership.objects.active().filter(user=OuterRef("owner_user"), organization=organization)
    tokens = Token.objects.filter(organization=organization).not_ended()
    living = tokens.exclude(pk__in=tokens.with_status(DerivedStatus.EXPIRED, at).values("pk"))
    return living.annotate(owner_role=Subquery(role.values("role")[:1]))


def _narrowed(living: TokenQuerySet, before: OrganizationPolicy, after: OrganizationPolicy) -> set[str]:
    """The personal tokens that lose a scope: one query for each role whose ceiling gets lower."""
    found: set[str] = set()
    for role in ROLES:
        most, had = after.ceiling_of(role), before.ceiling_of(role)
        if most is None or (had is not None and had <= most):
            continue
        theirs = living.filter(Q(kind=Kind.PERSONAL), Q(("owner_role", role)))
        lost = TokenScope.objects.filter(token__in=theirs.values("pk")).exclude(scope__in=most)
        lost = lost if had is None else lost.filter(scope__in=had)
        found.update(lost.values_list("token_id", flat=True))
    return found


def _riskier(organization: Organization, before: OrganizationPolicy, after: OrganizationPolicy) -> set[str]:
    """The tokens about which something waits that would become riskier than it was asked for."""
    if after.scope_risks == before.scope_risks:
        return set()
    waiting = ApprovalRequest.objects.open().filter(organization=organization, subject_type="token")
    return {
        request.subject_id
        for request in waiting
        if asked_risk(request, before) <= request.risk < asked_risk(request, after)
    }


def _facts(row: Any, at: datetime) -> Facts:
    """All but the scopes, which are asked for in one query for all."""
    start = row.approved_at or at
    end = row.expires_at if row.lifetime is None else start + row.lifetime
    networks = from_stored(row.allowed_networks, None, None).networks
    return Facts(row.kind, Risk(row.risk), frozenset(), networks, start, end)


def _end(facts: Facts, rules: OrganizationPolicy) -> datetime | None:
    return earlier(facts.expires_at, facts.starts_at, rules.maximum_lifetime)


def _is_earlier(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one < other)


def _unused(organization: Organization, rules: OrganizationPolicy, at: datetime) -> set[str]:
    """Those that the sweep would disable."""
    limit = rules.unused_limit
    return set() if limit is None else set(unused(organization, at - limit).values_list("pk", flat=True))
