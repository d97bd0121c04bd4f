"""The catalogue of built-in scopes: name, area, risk, one line of description.

Owns what a scope is called and how risky it is at least; not how risky an organization takes it to be, which is the one
risk that anything is judged by (organization_policy), nor who holds it (authority).
"""

from collections.abc import Iterable
from enum import IntEnum, StrEnum


class Risk(IntEnum):
    """How much harm a scope can do; ordered, so that the risk of several is their maximum."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2

    @property
    def label(self) -> str:
        return self.name.lower()


class Scope(StrEnum):
    """What may be done, never where. Names are exact: no wildcard, no prefix, no other case."""

    MACHINES_READ = "machines:read"
    MACHINES_OPERATE = "machines:operate"
    MACHINES_WRITE = "machines:write"
    MACHINES_CONFIGURE = "machines:configure"
    MACHINES_CREATE = "machines:create"
    SNAPSHOTS_READ = "snapshots:read"
    SNAPSHOTS_WRITE = "snapshots:write"
    TEMPLATES_MANAGE = "templates:manage"
    NETWORKS_MANAGE = "networks:manage"
    IMAGES_MANAGE = "images:manage"
    COMMANDS_EXECUTE = "commands:execute"
    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    SCHEDULES_MANAGE = "schedules:manage"
    AGENT_INVOKE = "agent:invoke"
    PERMISSIONS_MANAGE = "permissions:manage"
    TOKENS_READ = "tokens:read"
    TOKENS_MANAGE = "tokens:manage"
    APPROVALS_DECIDE = "approvals:decide"
    AUDIT_READ = "audit:read"
    INTROSPECT = "introspect"

    @property
    def area(self) -> str:
        return AREA[self]

    @property
    def built_in_risk(self) -> Risk:
        """The least that it can be. What it is in an organization, its policy says: `OrganizationPolicy.risk_of`."""
        return BUILT_IN_RISK[self]

    @property
    def description(self) -> str:
        return DESCRIPTION[self]


_CATALOGUE: dict[Scope, tuple[Risk, str]] = {
    Scope.MACHINES_READ: (Risk.LOW, "See machines and their configuration"),
    Scope.MACHINES_OPERATE: (Risk.MEDIUM, "Start, stop, pause, resume and restart machines"),
    Scope.MACHINES_WRITE: (Risk.MEDIUM, "Register, deregister and retag machines"),
    Scope.MACHINES_CONFIGURE: (Risk.HIGH, "Change the configuration, disks and networks of machines"),
    Scope.MACHINES_CREATE: (Risk.HIGH, "Create machines"),
    Scope.SNAPSHOTS_READ: (Risk.LOW, "See snapshots"),
    Scope.SNAPSHOTS_WRITE: (Risk.MEDIUM, "Take, restore and remove snapshots"),
    Scope.TEMPLATES_MANAGE: (Risk.MEDIUM, "Manage machine templates"),
    Scope.NETWORKS_MANAGE: (Risk.MEDIUM, "Manage networks"),
    Scope.IMAGES_MANAGE: (Risk.MEDIUM, "Manage images"),
    Scope.COMMANDS_EXECUTE: (Risk.HIGH, "Execute commands on machines"),
    Scope.FILES_READ: (Risk.MEDIUM, "Read files on machines"),
    Scope.FILES_WRITE: (Risk.HIGH, "Write files on machines"),
    Scope.SCHEDULES_MANAGE: (Risk.MEDIUM, "Manage schedules"),
    Scope.AGENT_INVOKE: (Risk.HIGH, "Invoke the agent on machines"),
    Scope.PERMISSIONS_MANAGE: (Risk.HIGH, "Give and take permissions"),
    Scope.TOKENS_READ: (Risk.MEDIUM, "See tokens and their settings, never their secrets"),
    Scope.TOKENS_MANAGE: (Risk.HIGH, "Issue, change, rotate and revoke tokens"),
    Scope.APPROVALS_DECIDE: (Risk.HIGH, "Decide on requests for approval"),
    Scope.AUDIT_READ: (Risk.MEDIUM, "Read the audit trail"),
    Scope.INTROSPECT: (Risk.LOW, "Ask whether a token is active and what it may do"),
}

BUILT_IN_RISK: dict[Scope, Risk] = {scope: risk for scope, (risk, _) in _CATALOGUE.items()}
DESCRIPTION: dict[Scope, str] = {scope: description for scope, (_, description) in _CATALOGUE.items()}
AREA: dict[Scope, str] = {scope: scope.partition(":")[0] for scope in Scope}

ALL_SCOPES: frozenset[Scope] = frozenset(Scope)
PERSONAL_ONLY: frozenset[Scope] = frozenset({Scope.APPROVALS_DECIDE})  # in no other kind of token


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes of these exact names; a ValueError names the first that is none."""
    return frozenset(_parse(name) for name in names)


def _parse(name: str) -> Scope:
    try:
        return Scope(name)
    except ValueError:
        raise ValueError(f"unknown scope {name!r:.80}") from None
