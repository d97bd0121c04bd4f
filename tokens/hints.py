"""Posture: what about a token somebody should look at. Names only; the pages put them into words."""

from datetime import timedelta

from config.edge.clock import now
from tokens.models import Token, TokenMachine

UNUSED_AFTER = timedelta(days=90)


def hints_of(token: Token) -> list[str]:
    if token.is_ended:
        return []
    at = now()
    hints = []
    if token.expires_at is None and token.lifetime is None:
        hints.append("never_expires")
    if token.rotation_due_at and token.rotation_due_at <= at:
        hints.append("rotation_overdue")
    if (token.last_used_at or token.created_at) <= at - UNUSED_AFTER:
        hints.append("unused_90_days")
    if any(is_gone(row, token) for row in token.machine_rows.all()):
        hints.append("machine_gone")
    return hints


def is_gone(row: TokenMachine, token: Token) -> bool:
    """Whether a machine is no longer where the token reaches it: deregistered, or moved to another fleet."""
    is_named = any(grant.path == row.machine.path for grant in token.grants.all())
    return row.machine.deregistered_at is not None or not is_named
