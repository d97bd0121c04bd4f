"""What verbs ask of approvals: let the issue or a change of a token wait; say what is proposed, and who is behind it.

What becomes of a request is for requests.
"""

import copy
from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from approvals import requests
from approvals.models import ApprovalRequest, Ids
from approvals.subjects import Proposal
from audit.trail import differences
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import ChangedMeanwhile, Conflict
from fleets import currency
from fleets.models import Organization
from fleets.organization_policy import OrganizationPolicy, policy_of
from fleets.scopes import Risk, Scope
from tokens import policy
from tokens.effects import effect_of, until
from tokens.expiry import format_duration
from tokens.models import Token, TokenSecret
from tokens.risk import risk_of
from tokens.spec import Spec, columns_of, own_roles, spec_of

ISSUE = ApprovalRequest.Kind.TOKEN_ISSUE
CHANGE = ApprovalRequest.Kind.TOKEN_CHANGE


def rules_of(organization: Organization) -> OrganizationPolicy:
    """The organization's policy as it is now, whenever the row was read."""
    return policy_of(Organization.objects.get(pk=organization.pk))


def rules_under_lock(organization: Organization) -> OrganizationPolicy:
    """As `rules_of`, and they stay what they are until the transaction ends: what is judged by them is stored while
    they hold. A verb's first lock, for the one order."""
    return policy_of(currency.lock(organization))


def approvals_for(risk: Risk, rules: OrganizationPolicy, by: Access) -> int:
    """How many approvals a token of this risk needs; the operator's none."""
    return 0 if by.is_operator else rules.approvals_for(risk)


def open_issue(token: Token, rules: OrganizationPolicy, *, needed: int, reason: str, by: Access) -> None:
    """Let a new token wait, pending as it is."""
    proposal = of_issue(token, spec_of(token), rules, asked_by=asker(by))
    _open(ISSUE, token, proposal, needed=needed, reason=reason, by=by)


def open_change(
    token: Token,
    before: Spec,
    after: Spec,
    rules: OrganizationPolicy,
    *,
    needed: int,
    reason: str,
    by: Access,
) -> Token:
    """Let a change of a token wait, which stays as it is; the token, whose `edit_waits`. Conflict where it was changed
    since it was read."""
    _require_storable(token, after, rules)
    lock_as_read(token)
    proposal = of_change(token, before, after, rules, asked_by=asker(by))
    _open(CHANGE, token, proposal, needed=needed, reason=reason, by=by)
    presented = token.presented()
    presented.edit_waits = True
    return presented


def note_edit(
    token: Token, after: Spec, rules: OrganizationPolicy, *, widens: bool, reason: str, by: Access
) -> None:
    """For verbs that edited a token: the request of a pending one says what it is now, and its votes are void; any
    other that was open is superseded."""
    request = token.open_request
    if request is None:
        return
    if token.status != Token.Status.PENDING:
        requests.supersede(currency.lock(request), by=by)
        forget(token)
        return
    asked_by = asker(by) if widens else request.diff["asked_by"]
    needed = max(1, rules.approvals_for(after.risk(rules)))
    proposal = of_issue(token, after, rules, asked_by=asked_by)
    known_by = shown_to(by.token_id)
    requests.rewrite(request, proposal, needed=needed, reason=reason, originators=known_by, by=by)


def says_it_already(token: Token, spec: Spec, rules: OrganizationPolicy) -> bool:
    """Whether something waits that an edit to what is stored would only disturb. What a pending token's roles give, and
    how risky it is, may be something else by now, and then its request has to say so."""
    request = token.open_request
    if request is None:
        return False
    is_same = own_roles(spec) == request.diff["roles"] and spec.risk(rules) == request.risk
    return token.has_waiting_change or is_same


def visible_ids(by: Access) -> QuerySet[Any, Any]:
    """The ids of the tokens that the caller may see."""
    return policy.visible_to(by, Token.objects.all()).order_by().values("pk")


def managed_ids(by: Access) -> QuerySet[Any, Any]:
    """The ids of the tokens that the caller manages."""
    return policy.managed_by(by, Token.objects.all()).order_by().values("pk")


def forget(token: Token) -> None:
    """Nothing about it waits any more. Its version stays: what it may do is what it was."""
    token.open_request = None
    token.save(update_fields=["open_request"])


def shown_to(token_id: str | None) -> Ids:
    """Everybody who was shown a secret of the token that works; of no token nobody."""
    return frozenset() if token_id is None else shown_to_of_many([token_id])[token_id]


def shown_to_of_many(token_ids: Collection[str]) -> dict[str, Ids]:
    """As `shown_to`, of each of these tokens, in one query."""
    known: dict[str, Ids] = dict.fromkeys(token_ids, frozenset())
    live = TokenSecret.objects.live(now()).filter(token__in=token_ids)
    for token_id, people in live.values_list("token", "shown_to"):
        known[token_id] |= {UUID(pk) for pk in people}
    return known


def asker(by: Access) -> dict[str, str | None]:
    """Whose rights a proposal needs, in its diff: who asks, and by which token; nobody's where the operator does."""
    return {"user": str(by.user.pk) if by.user is not None else None, "token": by.token_id}


def of_issue(
    token: Token, spec: Spec, rules: OrganizationPolicy, *, asked_by: dict[str, str | None]
) -> Proposal:
    risk = spec.risk(rules)
    changes = {name: [None, value] for name, value in spec.as_json().items()}
    about = {"risk": risk.label, "roles": own_roles(spec), "changes": changes}
    return Proposal(risk, _diff(ISSUE, token, None, asked_by, about), (*_described(spec),))


def of_change(
    token: Token, before: Spec, after: Spec, rules: OrganizationPolicy, *, asked_by: dict[str, str | None]
) -> Proposal:
    risk = after.risk(rules)
    was, new = before.as_json(), after.as_json()
    changes = differences(was, new)
    effect = effect_of(before, after, had_expired=token.expired_at is not None)
    words = (
        *(f"gains {words}" for words in effect.gained),
        *(f"loses {words}" for words in effect.lost),
        *_renamed(before, after),
        *_stays(after, changes),
    )
    # The whole of it too: what makes the change risky may have been loosened before, when it was of low risk.
    about = {"risk": risk.label, "roles": own_roles(before, after), "changes": changes, "result": new}
    return Proposal(risk, _diff(CHANGE, token, before.digest, asked_by, about), words)


def asked_of(request: ApprovalRequest) -> dict[str, Any]:
    """{field: what it shall become}."""
    return {name: after for name, (_, after) in request.diff["changes"].items()}


def asked_risk(request: ApprovalRequest, rules: OrganizationPolicy) -> Risk:
    """How risky the token would be that is asked for, under these rules."""
    asked = request.diff.get("result") or asked_of(request)
    scopes = (Scope(name) for name in asked["scopes"])
    return risk_of(scopes, rules, privilege_separation=asked["privilege_separation"])


def _open(kind: str, token: Token, proposal: Proposal, *, needed: int, reason: str, by: Access) -> None:
    token.open_request = requests.open_request(
        kind,
        token,
        proposal,
        organization=token.organization,
        needed=needed,
        reason=reason,
        originators=shown_to(token.pk) | shown_to(by.token_id),
        by=by,
    )
    token.save(update_fields=["open_request"])


def _diff(
    kind: str, token: Token, base: str | None, asked_by: dict[str, str | None], about: dict[str, Any]
) -> dict[str, Any]:
    return {
        "kind": kind,
        "token": token.pk,
        "owner": token.owner_label,
        "base_version": token.version,
        "base": base,
        "asked_by": asked_by,
        **about,
    }


def lock_as_read(token: Token) -> None:
    """Conflict where it was changed since it was read."""
    fresh = currency.lock(token)
    if (fresh.version, fresh.status) != (token.version, token.status):
        raise ChangedMeanwhile


def _require_storable(token: Token, after: Spec, rules: OrganizationPolicy) -> None:
    """What is only written once it is approved is refused now where it never could be."""
    draft = copy.copy(token)
    for name, value in columns_of(after, rules).items():
        setattr(draft, name, value)
    draft.validate_columns()
    others = Token.objects.of_owner(token.owner).filter(organization=token.organization_id)
    if others.exclude(pk=token.pk).filter(name__iexact=after.name).exists():
        raise Conflict("This owner has, or had, a token of this name.", code="name_taken")


def _described(spec: Spec) -> list[str]:
    """What a new token may do and where, until when, and what restricts it."""
    if spec.access.rows is None:
        may = [f"{scope} wherever whom it acts as may" for scope in sorted(spec.access.ceiling)]
    else:
        same = replace(spec, access=Spec().access)
        may = list(effect_of(same, spec).gained)
    return [
        *(f"may use {words}" for words in may),
        *(f"works {words}" for words in _works(spec).values() if words),
    ]


def _stays(after: Spec, changes: Collection[str]) -> list[str]:
    """Until when, from where, how often and when it works besides: what the change does not touch."""
    told = [words for field, words in _works(after).items() if words and field not in changes]
    return [f"then works {', '.join(told)}"] if told else []


def _works(spec: Spec) -> dict[str, str]:
    """{field: until when, from where, how often and when, in words}; no words where nothing limits it."""
    ends = until(spec.expires_at) if spec.lifetime is None else f"for {format_duration(spec.lifetime)}"
    restricted = spec.restrictions
    networks, windows = restricted.networks, restricted.windows
    return {
        "expires_at": ends + ("" if spec.lifetime is None else " from its approval"),
        "allowed_networks": "from any network"
        if networks is None
        else f"only from {', '.join(map(str, networks))}",
        "rate_limit": "" if restricted.rate is None else f"at most {restricted.rate}",
        "access_windows": "" if windows is None else f"only {'; '.join(map(str, windows))} UTC",
    }


def _renamed(before: Spec, after: Spec) -> list[str]:
    """What else becomes different, that gives and takes nothing."""
    words = []
    if after.name != before.name:
        words.append(f"is called {after.name}, not {before.name}")
    if after.description != before.description:
        words.append("is described in other words")
    if after.rotate_every != before.rotate_every:
        every = "no longer" if after.rotate_every is None else f"every {format_duration(after.rotate_every)}"
        words.append(f"is to be rotated {every}")
    return words
