"""An organization's policy as a subject: a weaker one is itself decided, under the policy that it would weaken."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from approvals.models import ApprovalRequest, Diff, Ids
from approvals.requests import open_request, supersede
from approvals.subjects import Offer, Proposal, Row, digest_of
from audit.trail import differences
from config.edge.access import Access
from config.edge.refusals import Conflict, Invalid
from fleets import currency, organizations
from fleets.holdings import rights_of
from fleets.models import Organization
from fleets.organization_policy import OrganizationPolicy, parsed, policy_of, weakened
from fleets.paths import ROOT
from fleets.policy_words import change_in_words
from fleets.scopes import Risk, Scope

KIND = ApprovalRequest.Kind.POLICY_CHANGE


def weaker(organization: Organization, after: OrganizationPolicy, reason: str, by: Access) -> UUID | None:
    """Let a weaker policy wait; None where nobody has to approve it. The caller has locked the organization."""
    before = policy_of(organization)
    needed = before.most_approvals
    if not needed or by.is_operator:
        return None
    request = open_request(
        KIND,
        organization,
        _proposal(before, _parts(before, after)),
        organization=organization,
        needed=needed,
        reason=reason,
        originators=frozenset(),
        by=by,
    )
    return request.pk


def applied(organization: Organization, by: Access) -> None:
    """For the verb that holds the organization's lock and has stored its policy: what waits about another one than it
    is now is superseded. A request that is approved by this is open no more."""
    base = _base(policy_of(organization))
    for request in ApprovalRequest.objects.open().filter(kind=KIND, organization=organization):
        if request.diff["base"] != base:
            supersede(currency.lock(request), by=by)


class PolicyChanges:
    """The handler of policies. A diff is `{base, changes: {part: [before, after]}}`: `base` is the digest of the whole
    policy that it was asked under, a part a policy's name, or `name.key` of one that is a map."""

    def lock(self, request: ApprovalRequest) -> None:
        currency.lock(request.organization)

    def recheck(self, request: ApprovalRequest) -> None:
        """The policy is as it was, and who asked could still change it."""
        organization = Organization.objects.get(pk=request.organization_id)
        if request.diff["base"] != _base(policy_of(organization)):
            raise Conflict("The policy was changed since it was asked for.", code="diff_changed")
        if Scope.PERMISSIONS_MANAGE not in rights_of(request.requested_by, organization.pk).at(ROOT):
            raise Conflict(
                "Who asked for it may not change the policy any more.", code="requester_lost_right"
            )

    def parties_of_many(self, requests: Sequence[ApprovalRequest]) -> dict[UUID, Ids]:
        return {request.pk: frozenset() for request in requests}

    def rows(self, request: ApprovalRequest) -> list[Row]:
        return [change_in_words(part, *pair) for part, pair in _in_order(request)]

    def offers(self, request: ApprovalRequest) -> Offer | None:
        """One part more or less."""
        if len(request.diff["changes"]) < 2:
            return None
        words = ((part, _told(part, before, after)) for part, (before, after) in _in_order(request))
        return Offer("changes", "What is approved", tuple(words))

    def narrow(self, request: ApprovalRequest, narrowed: dict[str, Any], by: Access) -> Proposal:
        """`{"changes": [the parts that are approved]}`; the others stay as they are. Nothing weaker comes of it."""
        kept = _kept(request, narrowed)
        before = policy_of(Organization.objects.get(pk=request.organization_id))
        asked = parsed(_nested(request.diff["changes"]), before=before)
        less = parsed(_nested(kept), before=before)
        if words := weakened(asked, less):
            raise Invalid.field(
                "narrowed.changes", f"This is weaker than what was asked for: {words[0]}.", "not_narrower"
            )
        return _proposal(before, kept)

    def apply(self, request: ApprovalRequest, by: Access) -> None:
        organization = Organization.objects.get(pk=request.organization_id)
        _, after = organizations.judged(organization, _nested(request.diff["changes"]))
        organizations.apply_policy(
            organization, after=after, reason=request.reason, approval=request.pk, by=by
        )

    def discard(self, request: ApprovalRequest, by: Access, *, reason: str) -> None:
        """Nothing was done, so nothing is left to undo."""


def _in_order(request: ApprovalRequest) -> list[tuple[str, list[Any]]]:
    changes: Diff = request.diff["changes"]
    return sorted(changes.items())


def _kept(request: ApprovalRequest, narrowed: dict[str, Any]) -> Diff:
    if beyond := set(narrowed) - {"changes"}:
        raise Invalid.field(f"narrowed.{min(beyond)[:60]}", "Say `changes` alone.", "unknown_field")
    chosen, changes = narrowed.get("changes"), request.diff["changes"]
    if not isinstance(chosen, list) or not all(isinstance(part, str) for part in chosen):
        raise Invalid.field("narrowed.changes", "A list of the parts that are approved.")
    if beyond := set(chosen) - set(changes):
        raise Invalid.field("narrowed.changes", f"{min(beyond)[:60]!r} was not asked for.", "not_narrower")
    if not chosen:
        raise Invalid.field("narrowed.changes", "Nothing would be left; reject it instead.", "nothing_left")
    if set(chosen) == set(changes):
        raise Invalid.field("narrowed.changes", "This is all of it; approve it as it is.", "not_narrower")
    return {part: changes[part] for part in chosen}


def _proposal(before: OrganizationPolicy, changes: Diff) -> Proposal:
    return Proposal(Risk.HIGH, {"base": _base(before), "changes": changes}, tuple(_words(before, changes)))


def _base(policy: OrganizationPolicy) -> str:
    return digest_of(policy.as_json())


def _parts(before: OrganizationPolicy, after: OrganizationPolicy) -> Diff:
    """{part: [before, after]}, of maps key by key."""
    return differences(_flat(before.as_json()), _flat(after.as_json()))


def _flat(policy: dict[str, Any]) -> Diff:
    flat: Diff = {}
    for name, value in policy.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return flat


def _nested(changes: Diff) -> dict[str, Any]:
    """The changes as `organizations.set_policy` takes them."""
    nested: dict[str, Any] = {}
    for part, (_, after) in changes.items():
        name, _, key = part.partition(".")
        if key:
            nested.setdefault(name, {})[key] = after
        else:
            nested[name] = after
    return nested


def _words(before: OrganizationPolicy, changes: Diff) -> Iterator[str]:
    """Each part once: what it weakens in words of its own, the others by what they become."""
    for part, (was, becomes) in sorted(changes.items()):
        alone = parsed(_nested({part: [was, becomes]}), before=before)
        loosened = weakened(before, alone)
        yield from loosened
        takes_away = isinstance(was, list) and isinstance(becomes, list) and set(was) - set(becomes)
        if not loosened or takes_away:
            yield _told(part, was, becomes)


def _told(part: str, before: Any, after: Any) -> str:
    label, was, becomes = change_in_words(part, before, after)
    return f"{label}: {was} → {becomes}"
