"""What an organization lays down for its tokens: their default lifetime, and how many approvals each risk needs."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from config.edge.refusals import Invalid
from fleets.models import Organization
from fleets.scopes import Risk

MOST_APPROVALS = 5
LONGEST_LIFETIME = 3650  # days


@dataclass(frozen=True)
class OrganizationPolicy:
    """`default_lifetime_days`: of a token issued without an expiry. `approvals_needed`: per risk, 0–5."""

    default_lifetime_days: int = 90
    approvals_needed: tuple[int, int, int] = (0, 0, 0)  # low, medium, high

    @property
    def default_lifetime(self) -> timedelta:
        return timedelta(days=self.default_lifetime_days)

    def approvals_for(self, risk: Risk) -> int:
        return self.approvals_needed[risk]

    def as_json(self) -> dict[str, Any]:
        needed = {risk.label: self.approvals_needed[risk] for risk in Risk}
        return {"default_lifetime_days": self.default_lifetime_days, "approvals_needed": needed}


def policy_of(organization: Organization) -> OrganizationPolicy:
    stored = organization.policy
    needed = stored.get("approvals_needed", {})
    default = OrganizationPolicy()
    return OrganizationPolicy(
        default_lifetime_days=stored.get("default_lifetime_days", default.default_lifetime_days),
        approvals_needed=tuple(needed.get(risk.label, default.approvals_needed[risk]) for risk in Risk),
    )


def parsed(data: dict[str, Any], *, before: OrganizationPolicy) -> OrganizationPolicy:
    """The policy with the changes of `data`; Invalid names what it can't be."""
    merged = before.as_json()
    for name, value in data.items():
        if name not in merged:
            raise Invalid.field(f"policy.{name}", "There is no such policy.", "unknown_field")
        if name == "default_lifetime_days":
            merged[name] = _whole(f"policy.{name}", value, 1, LONGEST_LIFETIME)
            continue
        if not isinstance(value, dict):
            raise Invalid.field(f"policy.{name}", "An object of low, medium and high.")
        for risk, count in value.items():
            if risk not in merged[name]:
                raise Invalid.field(
                    f"policy.{name}.{str(risk)[:20]}", "There is no such risk.", "unknown_field"
                )
            merged[name][risk] = _whole(f"policy.{name}.{risk}", count, 0, MOST_APPROVALS)
    needed = merged["approvals_needed"]
    return OrganizationPolicy(
        merged["default_lifetime_days"], (needed["low"], needed["medium"], needed["high"])
    )


def _whole(field: str, value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Invalid.field(field, f"A whole number from {least} to {most}.")
    return value
