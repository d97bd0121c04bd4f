"""What becomes of a request about a token: who may not decide, what is asked again, what an approval or its end does.

The handlers of `token_issue` and `token_change`; how a request is opened is in waiting.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from approvals.models import ApprovalRequest, Ids
from approvals.subjects import Offer, Proposal, Row
from audit.actions import Action
from audit.trail import record
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Conflict, Invalid, Refused
from fleets import currency, places
from fleets.access import PersonAccess, operator
from fleets.models import User
from fleets.organization_policy import OrganizationPolicy
from fleets.paths import is_vms
from fleets.scopes import Risk
from tokens import changes, decision, lifecycle, limits, revocation, verification, waiting, widening
from tokens.authentication import TokenAccess
from tokens.changes import Edit
from tokens.decision import Ask
from tokens.effects import effect_of
from tokens.kinds import ACTS_AS_OWNER
from tokens.models import Token
from tokens.restrictions import Restrictions
from tokens.spec import Spec, own_roles, spec_from, spec_of
from tokens.told import in_words, label_of
from tokens.verification import Proven

REASONS: dict[str, Token.Reason] = {
    ApprovalRequest.Status.REJECTED: Token.Reason.REJECTED,
    ApprovalRequest.Status.WITHDRAWN: Token.Reason.WITHDRAWN,
    ApprovalRequest.Status.LAPSED: Token.Reason.LAPSED,
}
# What a token that asked is held to, wherever and whenever it would call.
WORKS = (decision.status, decision.owner, decision.organization_policy)
EMPTY: tuple[Any, ...] = (None, "", [], False)


# What an approval of less says, as an edit of what was asked for, which is restricted like that. Invalid names fields.
Reading = Callable[[dict[str, Any], Restrictions], Edit]


class _OfTokens(ABC):
    """What the two have in common."""

    def __init__(self, read: Reading) -> None:
        self.read = read

    def lock(self, request: ApprovalRequest) -> None:
        """In the one order. The organization first: what is asked for may name vmids."""
        currency.lock(request.organization)
        token = Token.objects.select_related("organization", "principal").get(pk=request.subject_id)
        limits.lock_list(token.organization, token.owner)
        if token.kind not in ACTS_AS_OWNER:
            currency.lock(token.principal)
        currency.lock(token)

    def parties_of_many(self, requests: Sequence[ApprovalRequest]) -> dict[UUID, Ids]:
        """Everybody who was shown a secret that works."""
        knowing = waiting.shown_to_of_many({row.subject_id for row in requests})
        return {row.pk: knowing[row.subject_id] for row in requests}

    def rows(self, request: ApprovalRequest) -> list[Row]:
        return [
            (label_of(name).capitalize(), in_words(name, before), in_words(name, after))
            for name, (before, after) in sorted(request.diff["changes"].items())
        ]

    def offers(self, request: ApprovalRequest) -> Offer | None:
        """One scope more or less, of those that it does not have yet."""
        if not request.is_open:
            return None
        before, asked = self.specs(request, _token(request))
        had, ceiling = before.access.ceiling, asked.access.ceiling
        if len(ceiling - had) < 2:
            return None
        words = ((str(scope), f"{scope}: {scope.description}") for scope in sorted(ceiling - had))
        return Offer(
            "scopes", "Scopes that are approved", tuple(words), tuple(map(str, sorted(ceiling & had)))
        )

    def recheck(self, request: ApprovalRequest) -> None:
        """Neither the token nor what it would be is out of date, and who asked could still do it."""
        token = _token(request)
        before, asked = self.specs(request, token)
        ends_at = asked.expires_at if asked.lifetime is None else None
        if ends_at is not None and ends_at != before.expires_at and ends_at <= now():
            raise Conflict("Its expiry has come meanwhile.", code="expired_meanwhile")
        _require_rows_mean_the_same(request, before, asked)
        rules = waiting.rules_of(token.organization)
        _require_no_riskier(request, asked, rules)
        _require_still_may(token, asked, rules, _asker(request) or operator("operator"))

    def narrow(self, request: ApprovalRequest, narrowed: dict[str, Any], by: Access) -> Proposal:
        """`narrowed` names fields of an edit, read as those of the API, and what they shall be; what it does not name
        is as it was asked for."""
        token = _token(request)
        before, asked = self.specs(request, token)
        less = self._meant(token, asked, narrowed, _asker(request) or PersonAccess(request.requested_by))
        if less.as_json() == asked.as_json():
            raise Invalid.field("narrowed", "This is all of it; approve it as it is.", "not_narrower")
        if words := effect_of(asked, less).gained:
            raise Invalid.field("narrowed", f"This is more than was asked for: {words[0]}.", "not_narrower")
        if not effect_of(before, less, had_expired=token.expired_at is not None).widens:
            raise Invalid.field("narrowed", "Nothing would be left; reject it instead.", "nothing_left")
        return self.proposed(request, token, less, by)

    def _meant(self, token: Token, asked: Spec, narrowed: dict[str, Any], meaning: Access) -> Spec:
        """What was asked for, with other values of the fields that `narrowed` names; errors name them below it."""
        try:
            change = self.read(narrowed, asked.restrictions)
            return changes.after(token.organization, token.owner, asked, change, meaning)
        except Invalid as refusal:
            errors = (replace(each, field=f"narrowed.{each.field}".rstrip(".")) for each in refusal.errors)
            raise Invalid(refusal.detail, code=refusal.code, errors=tuple(errors)) from None

    @abstractmethod
    def specs(self, request: ApprovalRequest, token: Token) -> tuple[Spec, Spec]:
        """What it may do without the approval, and what is asked for; Conflict where the token is another by now."""

    @abstractmethod
    def proposed(self, request: ApprovalRequest, token: Token, less: Spec, by: Access) -> Proposal:
        """What is asked for is less from now on."""


class TokenIssues(_OfTokens):
    """The handler of new tokens: each is there already, pending, and is what its request says."""

    def rows(self, request: ApprovalRequest) -> list[Row]:
        """Without a before, and without what is empty but for what that lets it do: it may be used everywhere, or for
        ever."""
        asked = waiting.asked_of(request)
        meant = {"grants"} if asked["lifetime"] is not None else {"grants", "expires_at"}
        return [
            (label_of(name).capitalize(), "", in_words(name, value))
            for name, value in sorted(asked.items())
            if value not in EMPTY or name in meant
        ]

    def specs(self, request: ApprovalRequest, token: Token) -> tuple[Spec, Spec]:
        asked = spec_of(token)
        _require_unchanged(asked.as_json() == waiting.asked_of(request))
        return Spec(), asked

    def proposed(self, request: ApprovalRequest, token: Token, less: Spec, by: Access) -> Proposal:
        _carry_out(request, token, less, by)
        rules = waiting.rules_of(token.organization)
        return waiting.of_issue(token, less, rules, asked_by=request.diff["asked_by"])

    def apply(self, request: ApprovalRequest, by: Access) -> None:
        """It works from now on, and its lifetime counts from now."""
        token, at = _token(request), now()
        expires_at = token.expires_at if token.lifetime is None else at + token.lifetime
        token.move_to(
            Token.Status.ACTIVE, approved_at=at, expires_at=expires_at, lifetime=None, open_request=None
        )
        widening.forget(token)
        data = {"approval": str(request.pk), "expires_at": expires_at}
        record(Action.TOKEN_ACTIVATED, by=by, target=token, reason=request.reason, data=data)

    def discard(self, request: ApprovalRequest, by: Access, *, reason: str) -> None:
        revocation.reject(_token(request), REASONS[request.status], approval=request.pk, reason=reason, by=by)


class TokenChanges(_OfTokens):
    """The handler of changes: the token is as it was until they are approved."""

    def specs(self, request: ApprovalRequest, token: Token) -> tuple[Spec, Spec]:
        before = spec_of(token)
        _require_unchanged(before.digest == request.diff["base"])
        asked = before.as_json() | waiting.asked_of(request)
        return before, spec_from(asked, token.organization_id)

    def proposed(self, request: ApprovalRequest, token: Token, less: Spec, by: Access) -> Proposal:
        before, asked = self.specs(request, token)
        _require_nothing_taken(before, asked, less)
        rules = waiting.rules_of(token.organization)
        return waiting.of_change(token, before, less, rules, asked_by=request.diff["asked_by"])

    def apply(self, request: ApprovalRequest, by: Access) -> None:
        token = _token(request)
        _, asked = self.specs(request, token)
        _carry_out(request, token, asked, by)
        waiting.forget(token)

    def discard(self, request: ApprovalRequest, by: Access, *, reason: str) -> None:
        waiting.forget(_token(request))


def _token(request: ApprovalRequest) -> Token:
    return Token.objects.presented().get(pk=request.subject_id)


def _require_unchanged(is_same: bool) -> None:
    if not is_same:
        raise Conflict("The token was changed since it was asked for.", code="diff_changed")


def _require_nothing_taken(before: Spec, asked: Spec, less: Spec) -> None:
    """Less is left of what was asked for, never of what the token has: that is for who manages it."""
    meant = effect_of(before, asked).lost
    if taken := [words for words in effect_of(before, less).lost if words not in meant]:
        detail = f"The token has this, and nobody asked to take it: {taken[0]}."
        raise Invalid.field("narrowed", detail, "takes_away")


def _require_rows_mean_the_same(request: ApprovalRequest, before: Spec, asked: Spec) -> None:
    """No machine has come to bear the vmid of a row that would be stored as a free path; no role is gone, nor gives
    something else."""
    for row in set(asked.access.rows or ()) - set(before.access.rows or ()):
        is_same = not is_vms(row.path) or places.resolved(request.organization_id, row.path) == row.path
        _require_unchanged(is_same and (not row.role or row.role in asked.access.roles))
    _require_unchanged(own_roles(before, asked) == request.diff["roles"])


def _require_no_riskier(request: ApprovalRequest, asked: Spec, rules: OrganizationPolicy) -> None:
    """How risky it is was decided on too, and how many have to agree depends on it."""
    risk, was = asked.risk(rules), Risk(request.risk)
    if risk > was:
        raise Conflict(
            f"The organization takes it to be of {risk.label} risk by now, not {was.label}. It has to be asked for "
            "again.",
            code="diff_changed",
        )


def _asker(request: ApprovalRequest) -> Access | None:
    """Who asked, with what they may do now; None for the operator. Conflict where they could ask for nothing more."""
    user_id, token_id = request.diff["asked_by"]["user"], request.diff["asked_by"]["token"]
    if token_id is not None:
        token = Token.objects.deciding().get(pk=token_id)
        newest = token.secrets.order_by("-generation")[0]
        proven = Proven(token, newest, verification.compiled_record(token, newest))
        if any(check(proven.record, Ask(None, None, now())) for check in WORKS):
            raise _lost("the token that asked for it does not work any more")
        return TokenAccess(proven)
    if user_id is None:
        return None
    user = User.objects.get(pk=user_id)
    if not user.is_live():
        raise _lost("who asked for it is not active any more")
    return PersonAccess(user)


def _require_still_may(token: Token, asked: Spec, rules: OrganizationPolicy, by: Access) -> None:
    try:
        role = lifecycle.suiting(token, spec_of(token), asked)
        lifecycle.require_may_widen(token, asked, role, rules, by)
    except (Refused, Invalid) as refusal:
        raise _lost(refusal.detail) from None


def _lost(why: str) -> Conflict:
    return Conflict(f"Who asked for it could not do it now: {why.rstrip('.')}.", code="requester_lost_right")


def _carry_out(request: ApprovalRequest, token: Token, after: Spec, by: Access) -> None:
    before = spec_of(token)
    lifecycle.carry_out(
        token,
        before,
        after,
        waiting.rules_of(token.organization),
        effect=effect_of(before, after, had_expired=token.expired_at is not None),
        role=lifecycle.suiting(token, before, after),
        reason=request.reason,
        approval=request.pk,
        by=by,
    )
