"""What happens to a token after its issue: edit, rotate, disable, enable, revoke; and what departures end."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Conflict, IllegalMove, Invalid, Refused, require
from fleets import currency
from fleets.models import Membership, User
from fleets.organization_policy import policy_of
from tokens import policy
from tokens.issuance import (
    Issued,
    Settled,
    Wish,
    issuing_token,
    lock_owner,
    new_secret,
    require_within,
    rows_as_json,
    settle,
    settled_of,
    write_access,
)
from tokens.models import Grant, Token, TokenMachine, TokenSecret
from tokens.rights import exceeding, granted
from tokens.risk import require_reason, risk_of

LONGEST_OVERLAP = timedelta(days=7)
NOT_YOURS = "You may not manage this token."


@dataclass(frozen=True)
class Unchanged:
    """Nothing was said of this field."""


UNCHANGED = Unchanged()


@dataclass(frozen=True)
class Edit:
    """What shall be different. `wish` holds only the parts of the access that were named."""

    name: str | Unchanged = UNCHANGED
    description: str | Unchanged = UNCHANGED
    wish: Wish | Unchanged = UNCHANGED
    expires_at: datetime | Unchanged | None = UNCHANGED
    rotate_every: timedelta | Unchanged | None = UNCHANGED


@verb(Action.TOKEN_EDITED)
def edit(token: Token, *, change: Edit, reason: str = "", by: Access) -> None:
    """Edit a token. Narrowing needs the right to manage it; widening, the right to issue the result now."""
    is_itself = by.token_id == token.pk
    require(is_itself or policy.may_manage(by, token), NOT_YOURS)
    _require_not_ended(token)
    before, after = settled_of(token), _after(token, change, by)
    widens = _is_later(token, change) or _gains(before, after)
    if widens:
        require(not is_itself, "A token only narrows itself.", "widens_itself")
        _require_may_widen(token, after, change, by)
    risk = risk_of(after.ceiling, privilege_separation=token.privilege_separation)
    if widens and not by.is_operator:
        require_reason(risk, reason)
        if policy_of(token.organization).approvals_for(risk) and token.status != Token.Status.PENDING:
            raise Conflict(
                "A change like this needs an approval, so it can't be made yet.", code="approval_required"
            )
    token.claim()
    changes = _apply(token, change, after, risk)
    if after != before:
        write_access(token, after)
        changes["scopes"] = [sorted(before.ceiling), sorted(after.ceiling)]
        changes["grants"] = [rows_as_json(before.rows), rows_as_json(after.rows)]
    record(
        Action.TOKEN_EDITED,
        by=by,
        target=token,
        reason=reason,
        data={
            "changes": {name: pair for name, pair in changes.items() if pair[0] != pair[1]},
            "widens": widens,
        },
    )


@verb(Action.TOKEN_ROTATED)
def rotate(
    token: Token, *, overlap: timedelta = timedelta(0), generation: int | None = None, by: Access
) -> Issued:
    """Give a token a new secret; the previous one stays valid for the overlap, 0 to 7 days, never past the expiry.

    `generation` is the one that calls, where the token rotates itself. Conflict where it is pending, expired or ended.
    """
    is_itself = by.token_id == token.pk
    _require_may_rotate(token, by, is_itself=is_itself)
    if token.derived_status not in ("active", "disabled"):
        raise IllegalMove(f"A token that is {token.derived_status} can't be rotated.")
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise Invalid.field("overlap", "From 0 to 7 days.")
    token.claim()
    at = now()
    live = list(token.secrets.live(at).order_by("-generation"))
    newest, older = live[0], live[1:]
    if generation is not None and generation != newest.generation and newest.last_used_at:
        raise Conflict(
            "A newer secret of this token is in use; rotate with that one.", code="newer_secret_in_use"
        )
    until = _end_of_overlap(token, overlap, at)
    kept = _end_generations(newest, older, until, at)
    fresh = new_secret(token, generation=newest.generation + 1)
    token.rotated_at = at
    token.save(update_fields=["rotated_at"])
    data = {"generation": newest.generation + 1, "previous_valid_until": kept, "by_itself": is_itself}
    record(Action.TOKEN_ROTATED, by=by, target=token, data=data)
    return Issued(token, fresh, kept)


@verb(Action.TOKEN_DISABLED)
def disable(token: Token, *, reason: str = "", by: Access) -> None:
    """Refuse a token until it is enabled."""
    require(policy.may_manage(by, token), NOT_YOURS)
    token.move_to(Token.Status.DISABLED)
    record(Action.TOKEN_DISABLED, by=by, target=token, reason=reason)


@verb(Action.TOKEN_ENABLED)
def enable(token: Token, *, reason: str = "", by: Access) -> None:
    """Let a disabled token work again."""
    require(policy.may_manage(by, token), NOT_YOURS)
    if token.status != Token.Status.DISABLED:
        raise IllegalMove(f"A token that is {token.status} can't be enabled.")
    token.move_to(Token.Status.ACTIVE)
    record(Action.TOKEN_ENABLED, by=by, target=token, reason=reason)


@verb(Action.TOKEN_REVOKED)
def revoke(token: Token, *, reason: str = "", by: Access) -> None:
    """End a token for ever, whatever anybody does to it at the same time."""
    is_itself = by.token_id == token.pk
    require(is_itself or policy.may_manage(by, token), NOT_YOURS)
    _end(token, Token.Reason.BY_ITSELF if is_itself else Token.Reason.BY_HAND, by, reason)


def member_left(membership: Membership, by: Access) -> None:
    """Who leaves an organization takes their personal tokens with them; what they made for others lives on."""
    theirs = Token.objects.not_ended().filter(
        owner_user=membership.user_id, organization=membership.organization_id
    )
    for token in theirs.order_by("pk"):
        _end(token, Token.Reason.OWNER_LEFT, by, "")


def has_grants_at(organization_id: UUID, path: str) -> bool:
    return Grant.objects.filter(token__organization_id=organization_id, path=path).exists()


def _end(token: Token, status_reason: str, by: Access, reason: str) -> None:
    """Under the row's lock, so that it wins over whatever else was read before; grants go, the row stays."""
    if token.kind == Token.Kind.FLEET:
        _retire(token.principal)
    fresh = currency.lock(token)
    token.status, token.version = fresh.status, fresh.version
    token.move_to(Token.Status.REVOKED, status_reason=status_reason)
    Grant.objects.filter(token=token).delete()
    TokenMachine.objects.filter(token=token).delete()
    record(Action.TOKEN_REVOKED, by=by, target=token, reason=reason, data={"status_reason": status_reason})


def _retire(technical_user: User) -> None:
    technical_user.is_active = False
    technical_user.save(update_fields=["is_active"])
    currency.raise_(technical_user)


def _require_not_ended(token: Token) -> None:
    if token.is_ended:
        raise IllegalMove(f"A token that is {token.status} can't be changed.")


def _require_may_rotate(token: Token, by: Access, *, is_itself: bool) -> None:
    """A new secret needs the right to issue that same token now; a live token may always rotate itself."""
    if is_itself:
        return
    lock_owner(token.organization, token.owner)
    require(
        policy.may_issue_for(by, token.owner, token.organization),
        "A secret is only for who could issue this token; you may disable or revoke it.",
    )
    require_within(token.organization, token.owner, settled_of(token), by)
    _require_no_later(token.expires_at, by)


def _require_no_later(expires_at: datetime | None, by: Access) -> None:
    issuer = issuing_token(by)
    if issuer and issuer.expires_at and (expires_at is None or expires_at > issuer.expires_at):
        raise Refused("A token never gives what outlives it.", code="outlives_issuer")


def _end_of_overlap(token: Token, overlap: timedelta, at: datetime) -> datetime:
    until = at + overlap
    return min(until, token.expires_at) if token.expires_at else until


def _end_generations(
    newest: TokenSecret, older: list[TokenSecret], until: datetime, at: datetime
) -> datetime | None:
    """End what the rotation ends; the instant until which the previous secret stays valid, if it does."""
    if until <= at:
        keep, last = None, at
    elif older and newest.last_used_at is None:
        keep, last = (
            older[0],
            older[0].valid_until or at,
        )  # the unused newest is replaced, the overlap goes on
    else:
        keep, last = newest, until
    for row in (newest, *older):
        row.valid_until = last if row is keep else at
        row.save(update_fields=["valid_until"])
    return last if keep else None


def _after(token: Token, change: Edit, by: Access) -> Settled:
    """The access that the token has after the edit."""
    before = settled_of(token)
    wish = change.wish
    if isinstance(wish, Unchanged):
        return before
    if not token.privilege_separation and (wish.grants is not None or wish.machines not in (None, "all")):
        raise Invalid.field(
            "grants", "Without privilege separation the grants are the owner's rights.", "contradiction"
        )
    named = replace(wish, privilege_separation=token.privilege_separation)
    if wish.scopes is None and wish.role is None:
        named = replace(named, scopes=before.ceiling)
    after = settle(token.organization, token.owner, named, by)
    if wish.scopes is None and wish.role is None:
        after = replace(after, role=before.role)
    if wish.machines is None and wish.grants is None:
        after = replace(after, rows=before.rows, machines=before.machines)
    return after


def _is_later(token: Token, change: Edit) -> bool:
    if isinstance(change.expires_at, Unchanged) or token.expires_at is None:
        return False
    return change.expires_at is None or change.expires_at > token.expires_at


def _gains(before: Settled, after: Settled) -> bool:
    """Whether the token could do anything more, anywhere, whatever its principal may."""
    return bool(exceeding(granted(after.ceiling, after.entries), granted(before.ceiling, before.entries)))


def _require_may_widen(token: Token, after: Settled, change: Edit, by: Access) -> None:
    lock_owner(token.organization, token.owner)
    require(
        policy.may_issue_for(by, token.owner, token.organization),
        "Only who could issue this token may let it do more.",
        "widening_refused",
    )
    require_within(token.organization, token.owner, after, by)
    expires_at = token.expires_at if isinstance(change.expires_at, Unchanged) else change.expires_at
    _require_no_later(expires_at, by)


def _apply(token: Token, change: Edit, after: Settled, risk: int) -> dict[str, list[object]]:
    """Write the plain fields; {field: [before, after]} of them."""
    new: dict[str, object] = {"role": after.role, "risk": int(risk)}
    if not isinstance(change.name, Unchanged):
        new["name"] = change.name
    if not isinstance(change.description, Unchanged):
        new["description"] = change.description
    if not isinstance(change.expires_at, Unchanged):
        new |= {"expires_at": change.expires_at, "lifetime": None}
    if not isinstance(change.rotate_every, Unchanged):
        new["rotate_every"] = change.rotate_every
    changes = {name: [getattr(token, name), value] for name, value in new.items()}
    for name, value in new.items():
        setattr(token, name, value)
    token.full_clean(validate_unique=False, validate_constraints=False)
    try:
        with transaction.atomic():
            token.save(update_fields=list(new))
    except IntegrityError:
        raise Conflict("This owner has, or had, a token of this name.", code="name_taken") from None
    return changes
