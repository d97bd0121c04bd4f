"""Tokens and what belongs to them: their secrets' digests, their ceiling, their grants, what governs them.

A token is never deleted: it ends. What its rows let it do is decided in decision and verification; who changes them, by
the verbs in issuance, lifecycle, grants, emergency and revocation.
"""

from tokens.models.ceiling import Grant, TokenMachine, TokenScope
from tokens.models.governance import DenialTally, EmergencyAccess, ExpiryNotice
from tokens.models.secrets import PepperCheck, TokenSecret, TokenSecretQuerySet
from tokens.models.token import EXTENDED, Token, TokenQuerySet

__all__ = [
    "EXTENDED",
    "DenialTally",
    "EmergencyAccess",
    "ExpiryNotice",
    "Grant",
    "PepperCheck",
    "Token",
    "TokenMachine",
    "TokenQuerySet",
    "TokenScope",
    "TokenSecret",
    "TokenSecretQuerySet",
]
