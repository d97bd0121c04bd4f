"""What happens to a token after its issue: edit, rotate, disable, enable, revoke; and what departures end."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Conflict, IllegalMove, Invalid, require
from fleets import currency, holdings
from fleets.models import Membership, Organization
from fleets.organization_policy import policy_of
from fleets.scopes import Risk
from tokens import changes, limits, policy, principals, wishes
from tokens.changes import UNCHANGED as UNCHANGED  # the words of an edit, for who calls it
from tokens.changes import Edit as Edit
from tokens.changes import Unchanged as Unchanged
from tokens.issuance import Issued, new_secret
from tokens.kinds import Owner
from tokens.models import Grant, Token, TokenMachine, TokenQuerySet, TokenSecret
from tokens.risk import require_reason, risk_of
from tokens.wishes import Settled

LONGEST_OVERLAP = timedelta(days=7)
NOT_YOURS = "You may not manage this token."


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
    principals.suit(token, principals.role_for(token.owner, after.ceiling))
    widens = changes.widens(token, change, before, after)
    only_narrows = change.is_of_access_only and not widens
    require(only_narrows or not is_itself, "A token only narrows itself.", "widens_itself")
    risk = risk_of(after.ceiling, privilege_separation=token.privilege_separation)
    if widens:
        _require_may_widen(token, change, after, by)
        _require_settled_at_once(token, risk, reason, by)
    token.claim()
    written = _write(token, change, before, after, risk)
    data = {"changes": {name: pair for name, pair in written.items() if pair[0] != pair[1]}, "widens": widens}
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


@verb(Action.TOKEN_REVOKED)
def revoke(token: Token, *, reason: str = "", by: Access) -> Token:
    """End a token for ever, whatever anybody does to it at the same time."""
    is_itself = by.token_id == token.pk
    require(is_itself or policy.may_manage(by, token), NOT_YOURS)
    _end(token, Token.Reason.BY_ITSELF if is_itself else Token.Reason.BY_HAND, by, reason)
    return token.presented()


def member_left(membership: Membership, by: Access) -> list[str]:
    """Who leaves an organization takes their personal tokens with them; what they made for others lives on.

    The names of those that ended.
    """
    theirs = Token.objects.of_owner(membership.user).filter(organization=membership.organization_id)
    return _end_all(theirs, Token.Reason.OWNER_LEFT, by)


def owner_closed(owner: Owner, by: Access) -> list[str]:
    """What closes takes its tokens with it; the labels of those that ended."""
    return _end_all(Token.objects.of_owner(owner), Token.Reason.OWNER_CLOSED, by)


def has_grants_at(organization_id: UUID, path: str) -> bool:
    return Grant.objects.filter(token__organization_id=organization_id, path=path).exists()


def naming_role(organization_id: UUID, role: str) -> list[str]:
    """The live tokens, by id, of which a row names the role."""
    rows = Grant.objects.filter(token__organization_id=organization_id, role=role)
    return list(rows.values_list("token_id", flat=True).distinct().order_by("token_id"))


def _end_all(tokens: TokenQuerySet, status_reason: str, by: Access) -> list[str]:
    ended = list(tokens.not_ended().select_related("principal").order_by("pk"))
    for token in ended:
        _end(token, status_reason, by, "")
    return [token.name for token in ended]


def _end(token: Token, status_reason: str, by: Access, reason: str) -> None:
    """Under the row's lock, so that it wins over whatever else was read before; grants go, the row stays."""
    principals.retire(token)
    fresh = currency.lock(token)
    token.status, token.version = fresh.status, fresh.version
    token.move_to(Token.Status.REVOKED, status_reason=status_reason)
    Grant.objects.filter(token=token).delete()
    TokenMachine.objects.filter(token=token).delete()
    record(Action.TOKEN_REVOKED, by=by, target=token, reason=reason, data={"status_reason": status_reason})


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
