"""How risky a token is to its organization, and when a reason is asked for."""

from collections.abc import Iterable

from config.edge.parsing import has_words
from config.edge.refusals import Invalid
from fleets.organization_policy import OrganizationPolicy
from fleets.scopes import Risk, Scope


def risk_of(ceiling: Iterable[Scope], rules: OrganizationPolicy, *, privilege_separation: bool) -> Risk:
    """The highest risk in the ceiling; a token that goes by its principal's rights is high. Grants never lower it."""
    return rules.highest_risk(ceiling) if privilege_separation else Risk.HIGH


def require_reason(risk: Risk, reason: str) -> None:
    """Medium and high need a reason that says something."""
    if risk >= Risk.MEDIUM and not has_words(reason):
        raise Invalid.field("reason", f"A token of {risk.label} risk needs a reason.", "required")
