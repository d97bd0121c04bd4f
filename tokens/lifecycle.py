"""What happens to a token after its issue: edit, restrict, rotate, disable, enable. How it ends is in revocation."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.parsing import has_words
from config.edge.refusals import Conflict, IllegalMove, Invalid, require
from config.edge.taken import unless_taken
from fleets.organization_policy import OrganizationPolicy, policy_of
from tokens import changes, limits, policy, principals, waiting, widening
from tokens.changes import UNCHANGED as UNCHANGED  # the words of an edit, for who calls it
from tokens.changes import Edit as Edit
from tokens.changes import Unchanged as Unchanged
from tokens.effects import Effect, effect_of
from tokens.issuance import NAME_TAKEN, Issued, new_secret
from tokens.kinds import ACTS_AS_OWNER
from tokens.models import Grant, Token, TokenSecret
from tokens.restrictions import Restrictions
from tokens.revocation import NOT_YOURS
from tokens.revocation import revoke as revoke  # the last move of a life, for who calls the others
from tokens.risk import require_reason
from tokens.rules import has_ended, require_widenable
from tokens.spec import Spec, spec_of, store

LONGEST_OVERLAP = timedelta(days=7)
FROM_ABOVE = "Who oversees the organization's tokens disabled this one; only they enable it again."


@verb(Action.TOKEN_EDITED)
def edit(token: Token, *, change: Edit, reason: str = "", by: Access) -> Token:
    """Edit a token. Narrowing needs the right to manage it; widening, the right to issue the result now.

    A widening that the policy wants approved waits as a whole: the token is as it was, and what is returned says
    `edit_waits`. Any edit supersedes a change that waits; where something waits, one that changes nothing of what is
    stored does nothing.
    """
    is_itself = by.token_id == token.pk
    require(is_itself or policy.may_manage(by, token), NOT_YOURS)
    if token.is_ended:
        raise IllegalMove(f"A token that is {token.status} can't be changed.")
    if not isinstance(change.restrictions, Unchanged) and not has_words(reason):
        raise Invalid.field("reason", "Say why it is restricted otherwise.", "required")
    rules = waiting.rules_under_lock(token.organization)
    before = spec_of(token)
    after = changes.after(token.organization, token.owner, before, change, by)
    if token.kind not in ACTS_AS_OWNER:  # its owner before its technical user: the one order of locks
        limits.lock_list(token.organization, token.owner)
    role = suiting(token, before, after)
    effect = effect_of(before, after, had_expired=token.expired_at is not None)
    only_narrows = change.is_of_access_only and not effect.widens
    require(only_narrows or not is_itself, "A token only narrows itself.", "widens_itself")
    if after.as_json() == before.as_json() and waiting.says_it_already(token, after, rules):
        waiting.lock_as_read(token)
        return token.presented()
    if effect.widens:
        limits.lock_owner(token.organization, token.owner, by)
        require_may_widen(token, after, role, rules, by)
        risk = after.risk(rules)
        if not by.is_operator:
            require_reason(risk, reason)
        needed = waiting.approvals_for(risk, rules, by)
        if needed and token.status != Token.Status.PENDING:
            return waiting.open_change(token, before, after, rules, needed=needed, reason=reason, by=by)
    carry_out(token, before, after, rules, effect=effect, role=role, reason=reason, by=by)
    waiting.note_edit(token, after, rules, widens=effect.widens, reason=reason, by=by)
    return token.presented()


@verb(Action.TOKEN_EDITED)
def restrict(token: Token, *, restrictions: Restrictions, reason: str, by: Access) -> Token:
    """Restrict a token otherwise: an edit, so that a looser network, rate or window may have to wait."""
    return edit(token, change=Edit(restrictions=restrictions), reason=reason, by=by)


@verb(Action.TOKEN_ROTATED)
def rotate(
    token: Token, *, overlap: timedelta = timedelta(0), generation: int | None = None, by: Access
) -> Issued:
    """Give a token a new secret; the previous one stays valid for the overlap, 0 to 7 days, never past the expiry.

    `generation` is the one that calls, where the token rotates itself. Conflict where it is pending, ended or expired,
    be it by the longest life that the policy allows.
    """
    is_itself = by.token_id == token.pk
    if is_itself and generation is None:
        raise TypeError("A token that rotates itself says which generation calls.")
    if token.derived_status not in ("active", "disabled"):
        raise IllegalMove(f"A token that is {token.derived_status} can't be rotated.")
    if has_ended(token, policy_of(token.organization), now()):
        raise IllegalMove(
            "A token that has lived as long as its organization's policy lets it can't be rotated."
        )
    known_by = waiting.shown_to(by.token_id)  # before any secret ends
    if not is_itself:
        _require_may_reveal(token, by)
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise Invalid.field("overlap", "From 0 to 7 days.")
    token.claim()
    at = now()
    newest, *older = token.secrets.live(at).order_by("-generation")
    if is_itself and generation != newest.generation and newest.last_used_at:
        raise Conflict(
            "A newer secret of this token is in use; rotate with that one.", code="newer_secret_in_use"
        )
    previous_until = _end_generations(newest, older, _end_of_overlap(token, overlap, at), at)
    fresh = new_secret(token, generation=newest.generation + 1, known_by=known_by, by=by)
    token.rotated_at = at
    token.save(update_fields=["rotated_at"])
    data = {
        "generation": newest.generation + 1,
        "previous_valid_until": previous_until,
        "by_itself": is_itself,
    }
    record(Action.TOKEN_ROTATED, by=by, target=token, data=data)
    return Issued(token.presented(), fresh, previous_until)


@verb(Action.TOKEN_DISABLED)
def disable(token: Token, *, reason: str = "", for_disuse: bool = False, by: Access) -> Token:
    """Refuse a token until it is enabled. `for_disuse`: its organization's policy does it, by nobody's authority."""
    require(policy.may_manage(by, token), NOT_YOURS)
    from_above = Token.Reason.BY_OVERSEER if policy.stands_above(by, token) else ""
    why = Token.Reason.UNUSED if for_disuse else from_above
    token.move_to(Token.Status.DISABLED, status_reason=why)
    record(
        Action.TOKEN_DISABLED, by=by, target=token, reason=reason, data={"status_reason": why} if why else {}
    )
    return token.presented()


@verb(Action.TOKEN_ENABLED)
def enable(token: Token, *, reason: str = "", by: Access) -> Token:
    """Let a disabled token work again. Its owner's people do not undo what was done from above them."""
    require(policy.may_manage(by, token), NOT_YOURS)
    if token.status != Token.Status.DISABLED:
        raise IllegalMove(f"A token that is {token.status} can't be enabled.")
    require(policy.may_undo_disabling(by, token), FROM_ABOVE, "disabled_by_overseer")
    token.move_to(Token.Status.ACTIVE, status_reason="")
    record(Action.TOKEN_ENABLED, by=by, target=token, reason=reason)
    return token.presented()


def has_grants_at(organization_id: UUID, path: str) -> bool:
    return Grant.objects.filter(token__organization_id=organization_id, path=path).exists()


def naming_role(organization_id: UUID, role: str) -> list[str]:
    """The live tokens, by id, of which a row names the role."""
    rows = Grant.objects.filter(token__organization_id=organization_id, role=role)
    return list(rows.values_list("token_id", flat=True).distinct().order_by("token_id"))


def suiting(token: Token, before: Spec, after: Spec) -> str | None:
    """The role that its technical user gets with a change of its ceiling; None where it stays."""
    old, new = before.access.ceiling, after.access.ceiling
    return None if old == new else principals.role_suiting(token, new, is_narrower=new < old)


def require_may_widen(
    token: Token, after: Spec, role: str | None, rules: OrganizationPolicy, by: Access
) -> None:
    """Only who could issue what the token is then. The caller holds the lock of its owner."""
    require(
        policy.may_issue_for(by, token.owner, token.organization),
        "Only who could issue this token may let it do more.",
        "widening_refused",
    )
    _require_may_give(token, after, role, by)
    require_widenable(token, after, rules, by=by)


def carry_out(
    token: Token,
    before: Spec,
    after: Spec,
    rules: OrganizationPolicy,
    *,
    effect: Effect,
    role: str | None,
    reason: str,
    approval: UUID | None = None,
    by: Access,
) -> None:
    """For verbs that asked who may: make the token what it shall be, with its event. `approval`: the request by which
    it was agreed to."""
    principals.suit(token, role)
    token.claim()
    with unless_taken(NAME_TAKEN, "name_taken"):
        differing = store(token, before, after, rules)
    if by.token_id != token.pk:
        widening.forget(token)
    data: dict[str, Any] = {"changes": differing, **effect.as_json()}
    if approval:
        data["approval"] = str(approval)
    record(Action.TOKEN_EDITED, by=by, target=token, reason=reason, data=data)


def _require_may_reveal(token: Token, by: Access) -> None:
    """A new secret needs the right to issue that same token now."""
    limits.lock_owner(token.organization, token.owner, by)
    require(
        policy.may_issue_for(by, token.owner, token.organization),
        "A secret is only for who could issue this token; you may disable or revoke it.",
    )
    _require_may_give(token, spec_of(token), None, by)


def _require_may_give(token: Token, spec: Spec, role: str | None, by: Access) -> None:
    principal = principals.rights_with(token, role)
    limits.require_within(token.organization, token.owner, spec.access, principal, by)
    limits.require_no_later(spec.ends_at, by)
    limits.require_no_looser(spec.restrictions, by)


def _end_of_overlap(token: Token, overlap: timedelta, at: datetime) -> datetime:
    until = at + overlap
    return min(until, token.expires_at) if token.expires_at else until


def _end_generations(
    newest: TokenSecret, older: list[TokenSecret], until: datetime, at: datetime
) -> datetime | None:
    """End all but the one that stays for the overlap; the instant until which that is, if there is one.

    A newest that was never used is replaced by the next; the one before it stays, but never longer than it was to.
    """
    kept = older[0] if older and newest.last_used_at is None else newest
    last = min(until, kept.valid_until) if kept.valid_until else until
    for row in (newest, *older):
        row.valid_until = last if row is kept else at
        row.save(update_fields=["valid_until"])
    return last if last > at else None
