"""Posture: what about a token somebody should look at. Names only; the pages put them into words."""

from datetime import timedelta
from enum import StrEnum

from config.edge.clock import now
from fleets.organization_policy import policy_of
from fleets.scopes import Risk
from tokens import widening
from tokens.models import Token, TokenMachine
from tokens.restrictions import is_open
from tokens.rules import Violation, has_ended, violations_of

UNUSED_AFTER = timedelta(days=90)
WIDE_FROM = Risk.MEDIUM  # below it nobody is asked why a token works from everywhere
ABOUT_ITS_END = frozenset({Violation.NEVER_NOT_ALLOWED, Violation.LIFETIME_TOO_LONG})


class Hint(StrEnum):
    """What somebody should look at: each violation of the policy, and what else is odd."""

    KIND_NOT_ALLOWED = Violation.KIND_NOT_ALLOWED
    SCOPE_ABOVE_CEILING = Violation.SCOPE_ABOVE_CEILING
    NEVER_NOT_ALLOWED = Violation.NEVER_NOT_ALLOWED
    LIFETIME_TOO_LONG = Violation.LIFETIME_TOO_LONG
    EXPIRED_BY_POLICY = "expired_by_policy"  # in place of `lifetime_too_long`, once that has ended it
    NETWORK_REQUIRED = Violation.NETWORK_REQUIRED
    OPEN_NETWORK = "open_network"
    NO_NETWORK_LIMIT = "no_network_limit"
    NEVER_EXPIRES = "never_expires"
    ROTATION_OVERDUE = "rotation_overdue"
    UNUSED_90_DAYS = "unused_90_days"
    WIDENED_BY_ROLE = "widened_by_role"
    WIDENED_BY_ENTRY = "widened_by_entry"
    MACHINE_GONE = "machine_gone"


def hints_of(token: Token) -> list[Hint]:
    if token.is_ended:
        return []
    at = now()
    found = violations_of(token, at)
    hints = [Hint(violation) for violation in found]
    if Violation.LIFETIME_TOO_LONG in found and has_ended(token, policy_of(token.organization), at):
        hints[found.index(Violation.LIFETIME_TOO_LONG)] = Hint.EXPIRED_BY_POLICY
    if token.expires_at is None and token.lifetime is None and ABOUT_ITS_END.isdisjoint(found):
        hints.append(Hint.NEVER_EXPIRES)
    networks = token.restrictions.networks
    if is_open(networks):
        hints.append(Hint.OPEN_NETWORK)
    elif networks is None and token.risk >= WIDE_FROM and Violation.NETWORK_REQUIRED not in found:
        hints.append(Hint.NO_NETWORK_LIMIT)
    if token.rotation_due_at and token.rotation_due_at <= at:
        hints.append(Hint.ROTATION_OVERDUE)
    if (token.last_used_at or token.created_at) <= at - UNUSED_AFTER:
        hints.append(Hint.UNUSED_90_DAYS)
    if by := widening.hint_of(token, at):
        hints.append(Hint(by))
    if any(is_gone(row, token) for row in token.machine_rows.all()):
        hints.append(Hint.MACHINE_GONE)
    return hints


def is_gone(row: TokenMachine, token: Token) -> bool:
    """Whether a machine is no longer where the token reaches it: deregistered, or moved to another fleet."""
    is_named = any(grant.path == row.machine.path for grant in token.grants.all())
    return row.machine.deregistered_at is not None or not is_named
