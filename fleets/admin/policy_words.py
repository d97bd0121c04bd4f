"""An organization's policy in plain words: what each part is called, and what it says."""

from typing import Any

from fleets.organization_policy import ROLES, OrganizationPolicy

LABELS = {
    "default_lifetime_days": "Lifetime where none is asked for",
    "maximum_lifetime_days": "Longest lifetime",
    "never_allowed": "Tokens without an end",
    "unused_limit_days": "Disabled when unused",
    "networks_required": "Allowed networks are needed",
    "allowed_kinds": "Kinds of tokens",
    "scope_ceilings": "Scopes of personal tokens",
    "approvals_needed": "Approvals",
    "deciders": "Who decides",
    "request_hours": "Requests stay open",
    "narrowing_allowed": "Less than asked for can be approved",
    "self_approval": "Own requests",
}


def in_words(name: str, value: Any) -> str:
    """One part, as JSON writes it."""
    if name in {"maximum_lifetime_days", "unused_limit_days"} and value is None:
        return "no limit" if name == "maximum_lifetime_days" else "never"
    if name.endswith("_days"):
        return f"{value} day{'s'[value == 1 :]}" if name != "unused_limit_days" else f"after {value} days"
    if name == "request_hours":
        return f"{value} hour{'s'[value == 1 :]}"
    if name == "deciders":
        return " and ".join(f"{role}s" for role in value)
    if name == "approvals_needed":
        return ", ".join(f"{number or 'none'} for {risk} risk" for risk, number in value.items())
    if name == "networks_required":
        return _listed([f"{risk} risk" for risk, needs in value.items() if needs], "never")
    if name in {"allowed_kinds", "scope_ceilings"}:
        limited = [
            f"{role}s: {_listed(value[role], 'none')}" for role in ROLES if value.get(role) is not None
        ]
        return "; ".join(limited) or "all, for everybody"
    if name == "self_approval":
        return "people may approve what they asked for" if value else "are decided by others"
    if name == "never_allowed":
        return "are allowed" if value else "are not allowed"
    return "yes" if value else "no"


def whole(rules: OrganizationPolicy) -> list[tuple[str, str]]:
    """(label, words) of every part."""
    written = rules.as_json()
    return [(label, in_words(name, written[name])) for name, label in LABELS.items()]


def _listed(names: list[str], none: str) -> str:
    return ", ".join(name.replace("_", " ") for name in names) or none
