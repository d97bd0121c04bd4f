"""What happens to a token after its issue: edit, rotate, disable, enable. How it ends is in revocation."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Conflict, IllegalMove, Invalid, require
from fleets import holdings
from fleets.authority import NONE
from fleets.models import Organization
from fleets.organization_policy import policy_of
from fleets.scopes import Risk, Scope
from tokens import changes, limits, policy, principals, wishes
from tokens.changes import UNCHANGED as UNCHANGED  # the words of an edit, for who calls it
from tokens.changes import Edit as Edit
from tokens.changes import Unchanged as Unchanged
from tokens.effects import effect_of
from tokens.issuance import Issued, new_secret
from tokens.kinds import ACTS_AS_OWNER
from tokens.models import Grant, Token, TokenSecret
from tokens.revocation import NOT_YOURS
from tokens.revocation import revoke as revoke  # the last move of a life, for who calls the others
from tokens.risk import require_reason, risk_of
from tokens.wishes import Settled

LONGEST_OVERLAP = timedelta(days=7)


@verb(Action.TOKEN_EDITED)
def edit(token: Token, *, change: Edit, reason: str = "", by: Access) -> Token:
    """Edit a token. Narrowing needs the right to manage it; widening, the right to issue the result now."""
    is_itself = by.token_id == token.pk
    require(is_itself or policy.may_manage(by, token), NOT_YOURS)
    if token.is_ended:
        raise IllegalMove(f"A token that is {token.status} can't be changed.")
    if isinstance(change.wish, wishes.Wish):
        wishes.lock_vmids(token.organization, change.wish)
    before, after = wishes.settled_of(token), changes.after(token, change, by)
    if token.kind not in ACTS_AS_OWNER:  # its owner before its technical user: the one order of locks
        limits.lock_list(token.organization, token.owner)
    if after.ceiling != before.ceiling:
        principals.suit(token, after.ceiling, is_narrower=after.ceiling < before.ceiling)
    effect = effect_of(token, change, before, after)
    only_narrows = change.is_of_access_only and not effect.widens
    require(only_narrows or not is_itself, "A token only narrows itself.", "widens_itself")
    risk = risk_of(after.ceiling, privilege_separation=token.privilege_separation)
    if effect.widens:
        _require_may_widen(token, change, after, by)
        _require_settled_at_once(token, risk, reason, by)
    token.claim()
    written = _write(token, change, before, after, risk)
    differing = {name: pair for name, pair in written.items() if pair[0] != pair[1]}
    data = {"changes": differing, **effect.as_json()}
    record(Action.TOKEN_EDITED, by=by, target=token, reason=reason, data=data)
    return token.presented()


@verb(Action.TOKEN_ROTATED)
def rotate(
    token: Token, *, overlap: timedelta = timedelta(0), generation: int | None = None, by: Access
) -> Issued:
    """Give a token a new secret; the previous one stays valid for the overlap, 0 to 7 days, never past the expiry.

    `generation` is the one that calls, where the token rotates itself. Conflict where it is pending, expired or ended.
    """
    is_itself = by.token_id == token.pk
    if is_itself and generation is None:
        raise TypeError("A token that rotates itself says which generation calls.")
    if token.derived_status not in ("active", "disabled"):
        raise IllegalMove(f"A token that is {token.derived_status} can't be rotated.")
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
    fresh = new_secret(token, generation=newest.generation + 1)
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
def disable(token: Token, *, reason: str = "", by: Access) -> Token:
    """Refuse a token until it is enabled."""
    require(policy.may_manage(by, token), NOT_YOURS)
    token.move_to(Token.Status.DISABLED)
    record(Action.TOKEN_DISABLED, by=by, target=token, reason=reason)
    return token.presented()


@verb(Action.TOKEN_ENABLED)
def enable(token: Token, *, reason: str = "", by: Access) -> Token:
    """Let a disabled token work again."""
    require(policy.may_manage(by, token), NOT_YOURS)
    if token.status != Token.Status.DISABLED:
        raise IllegalMove(f"A token that is {token.status} can't be enabled.")
    token.move_to(Token.Status.ACTIVE)
    record(Action.TOKEN_ENABLED, by=by, target=token, reason=reason)
    return token.presented()


def has_grants_at(organization_id: UUID, path: str) -> bool:
    return Grant.objects.filter(token__organization_id=organization_id, path=path).exists()


def naming_role(organization_id: UUID, role: str, gaining: frozenset[Scope] = NONE) -> list[str]:
    """The live tokens, by id, of which a row names the role; of `gaining`, those alone whose ceiling holds some."""
    rows = Grant.objects.filter(token__organization_id=organization_id, role=role)
    if gaining:
        rows = rows.filter(token__scope_rows__scope__in=gaining)
    return list(rows.values_list("token_id", flat=True).distinct().order_by("token_id"))


def _require_may_reveal(token: Token, by: Access) -> None:
    """A new secret needs the right to issue that same token now."""
    limits.lock_owner(token.organization, token.owner, by)
    require(
        policy.may_issue_for(by, token.owner, token.organization),
        "A secret is only for who could issue this token; you may disable or revoke it.",
    )
    _require_within(token, wishes.settled_of(token), by)
    limits.require_no_later(token.expires_at, by)


def _require_may_widen(token: Token, change: Edit, after: Settled, by: Access) -> None:
    limits.lock_owner(token.organization, token.owner, by)
    require(
        policy.may_issue_for(by, token.owner, token.organization),
        "Only who could issue this token may let it do more.",
        "widening_refused",
    )
    _require_within(token, after, by)
    limits.require_no_later(
        token.expires_at if isinstance(change.expires_at, Unchanged) else change.expires_at, by
    )


def _require_within(token: Token, settled: Settled, by: Access) -> None:
    principal = holdings.rights_of(token.principal, token.organization_id)
    limits.require_within(token.organization, token.owner, settled, principal, by)


def _require_settled_at_once(token: Token, risk: Risk, reason: str, by: Access) -> None:
    """A widening says why; and it is made at once or not at all, for it can't wait for an approval yet."""
    if by.is_operator:
        return
    require_reason(risk, reason)
    rules = policy_of(Organization.objects.get(pk=token.organization_id))
    if rules.approvals_for(risk) and token.status != Token.Status.PENDING:
        raise Conflict(
            "A change like this needs an approval, so it can't be made yet.", code="approval_required"
        )


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


def _write(
    token: Token, change: Edit, before: Settled, after: Settled, risk: Risk
) -> dict[str, list[object]]:
    """Write what is different; {field: [before, after]}."""
    new: dict[str, object] = {"role": after.role, "risk": int(risk), **wishes.level_columns(after)}
    if not isinstance(change.name, Unchanged):
        new["name"] = change.name
    if not isinstance(change.description, Unchanged):
        new["description"] = change.description
    if not isinstance(change.expires_at, Unchanged):
        new |= {"expires_at": change.expires_at, "lifetime": None}
    if not isinstance(change.rotate_every, Unchanged):
        new["rotate_every"] = change.rotate_every
    written = {name: [getattr(token, name), value] for name, value in new.items()}
    for name, value in new.items():
        setattr(token, name, value)
    token.full_clean(validate_unique=False, validate_constraints=False)
    try:
        with transaction.atomic():
            token.save(update_fields=list(new))
    except IntegrityError:
        raise Conflict("This owner has, or had, a token of this name.", code="name_taken") from None
    if after != before:
        wishes.write(token, after)
        written["scopes"] = [sorted(before.ceiling), sorted(after.ceiling)]
        written["grants"] = [wishes.rows_as_json(before.rows), wishes.rows_as_json(after.rows)]
    written["risk"] = [Risk(written["risk"][0]).label, risk.label]
    return written
