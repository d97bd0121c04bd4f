"""An organization's policy in plain words: what each part is called, and what it says."""

from collections.abc import Iterable
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
    "scope_risks": "Risks of scopes",
    "approvals_needed": "Approvals",
    "deciders": "Who decides",
    "request_hours": "Requests stay open",
    "narrowing_allowed": "Less than asked for can be approved",
    "self_approval": "Own requests",
}
BY_ROLE = {"allowed_kinds", "scope_ceilings"}
BUILT_IN = "as built in"


def in_words(name: str, value: Any) -> str:
    """One part, as JSON writes it."""
    if name in {"maximum_lifetime_days", "unused_limit_days"} and value is None:
        return "no limit" if name == "maximum_lifetime_days" else "never"
    if name.endswith("_days"):
        return f"after {_counted(value, 'day')}" if name == "unused_limit_days" else _counted(value, "day")
    if name == "request_hours":
        return _counted(value, "hour")
    if name == "deciders":
        return " and ".join(f"{role}s" for role in value)
    if isinstance(value, dict):
        return _map_in_words(name, value)
    if name == "self_approval":
        return "people may approve what they asked for" if value else "are decided by others"
    if name == "never_allowed":
        return "are allowed" if value else "are not allowed"
    return _yes(value)


def _map_in_words(name: str, value: dict[str, Any]) -> str:
    if name == "approvals_needed":
        return ", ".join(f"{number or 'none'} for {risk} risk" for risk, number in value.items())
    if name == "networks_required":
        return _listed([f"{risk} risk" for risk, needs in value.items() if needs], "never")
    if name == "scope_risks":
        return _listed([f"{scope} {risk}" for scope, risk in value.items() if risk], BUILT_IN)
    limited = [f"{role}s: {_listed(value[role], 'none')}" for role in ROLES if value.get(role) is not None]
    return "; ".join(limited) or "all, for everybody"


def change_in_words(part: str, before: Any, after: Any) -> tuple[str, str, str]:
    """(label, words before, words after) of a part that changes; `name.key` is one key of a part that is a map."""
    name, _, key = part.partition(".")
    if not key:
        return LABELS[name], in_words(name, before), in_words(name, after)
    if name in BY_ROLE:
        return f"{LABELS[name]} of {key}s", _limit(before), _limit(after)
    if name == "scope_risks":
        return f"Risk of {key}", before or BUILT_IN, after or BUILT_IN
    label = f"{LABELS[name]} for {key} risk"
    if name == "networks_required":
        return label, _yes(before), _yes(after)
    return label, str(before or "none"), str(after or "none")


def whole(rules: OrganizationPolicy) -> list[tuple[str, str]]:
    """(label, words) of every part."""
    written = rules.as_json()
    return [(label, in_words(name, written[name])) for name, label in LABELS.items()]


def _limit(value: list[str] | None) -> str:
    return "all" if value is None else _listed(value, "none")


def _listed(names: Iterable[str], none: str) -> str:
    return ", ".join(name.replace("_", " ") for name in names) or none


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'s'[count == 1 :]}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
