"""Posture: what about a token somebody should look at. Names only; the pages put them into words."""

from datetime import timedelta

from config.edge.clock import now
from fleets.organization_policy import policy_of
from fleets.scopes import Risk
from tokens import widening
from tokens.models import Token, TokenMachine
from tokens.restrictions import is_open
from tokens.rules import Violation, has_ended, violations_of

UNUSED_AFTER = timedelta(days=90)
WIDE_FROM = Risk.MEDIUM  # below it nobody is asked why a token works from everywhere
EXPIRED_BY_POLICY = "expired_by_policy"  # in place of `lifetime_too_long`, once that has ended it
ABOUT_ITS_END = frozenset({Violation.NEVER_NOT_ALLOWED, Violation.LIFETIME_TOO_LONG})


def hints_of(token: Token) -> list[str]:
    if token.is_ended:
        return []
    at = now()
    found = violations_of(token, at)
    hints = [violation.value for violation in found]
    if Violation.LIFETIME_TOO_LONG in found and has_ended(token, policy_of(token.organization), at):
        hints[found.index(Violation.LIFETIME_TOO_LONG)] = EXPIRED_BY_POLICY
    if token.expires_at is None and token.lifetime is None and ABOUT_ITS_END.isdisjoint(found):
        hints.append("never_expires")
    networks = token.restrictions.networks
    if is_open(networks):
        hints.append("open_network")
    elif networks is None and token.risk >= WIDE_FROM and Violation.NETWORK_REQUIRED not in found:
        hints.append("no_network_limit")
    if token.rotation_due_at and token.rotation_due_at <= at:
        hints.append("rotation_overdue")
    if (token.last_used_at or token.created_at) <= at - UNUSED_AFTER:
        hints.append("unused_90_days")
    if by := widening.hint_of(token, at):
        hints.append(by)
    if any(is_gone(row, token) for row in token.machine_rows.all()):
        hints.append("machine_gone")
    return hints


def is_gone(row: TokenMachine, token: Token) -> bool:
    """Whether a machine is no longer where the token reaches it: deregistered, or moved to another fleet."""
    is_named = any(grant.path == row.machine.path for grant in token.grants.all())
    return row.machine.deregistered_at is not None or not is_named
