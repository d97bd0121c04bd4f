"""How risky a token is, and when a reason is asked for."""

import unicodedata
from collections.abc import Iterable

from config.edge.refusals import Invalid
from fleets.scopes import Risk, Scope, highest_risk

BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800"  # Hangul fillers and the empty Braille pattern


def risk_of(ceiling: Iterable[Scope], *, privilege_separation: bool) -> Risk:
    """The highest risk in the ceiling; a token that goes by its principal's rights is high. Grants never lower it."""
    return highest_risk(ceiling) if privilege_separation else Risk.HIGH


def require_reason(risk: Risk, reason: str) -> None:
    """Medium and high need a reason that says something."""
    if risk >= Risk.MEDIUM and not has_words(reason):
        raise Invalid.field("reason", f"A token of {risk.label} risk needs a reason.", "required")


def has_words(text: str) -> bool:
    """Whether anything visible is in it: spaces, zero-width and control characters say nothing."""
    return any(
        unicodedata.category(character)[0] in "LNPS" and character not in BLANK_LETTERS for character in text
    )
