"""All that an edit can change of a token, as one plain value: compared, told in JSON, and read back from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from approvals.subjects import digest_of
from config.edge.clock import now
from fleets.models import Machine
from fleets.organization_policy import OrganizationPolicy
from fleets.roles import BUILT_IN, book
from fleets.scopes import Risk, Scope
from tokens.models import Token
from tokens.restrictions import UNRESTRICTED, Restrictions, from_stored
from tokens.risk import risk_of
from tokens.wishes import GrantWish, Settled, level_columns, rows_as_json, settled_of
from tokens.wishes import write as write_access

NOTHING = Settled(frozenset(), "", ())


@dataclass(frozen=True)
class Spec:
    """What a token is called, what it may do, until when, and from where, how often and when.

    `lifetime`: of a pending token, in place of `expires_at`; it counts from the approval.
    """

    name: str = ""
    description: str = ""
    access: Settled = NOTHING
    expires_at: datetime | None = None
    lifetime: timedelta | None = None
    rotate_every: timedelta | None = None
    restrictions: Restrictions = UNRESTRICTED

    def risk(self, rules: OrganizationPolicy) -> Risk:
        """How risky it is in the organization whose policy it is."""
        return risk_of(self.access.ceiling, rules, privilege_separation=self.access.rows is not None)

    @property
    def ends_at(self) -> datetime | None:
        """When it would end if it were approved now; None is never."""
        return self.expires_at if self.lifetime is None else now() + self.lifetime

    def as_json(self) -> dict[str, Any]:
        """One text for one spec, whoever reads it back from the database."""
        access = self.access
        return {
            "name": self.name,
            "description": self.description,
            "role": access.role or None,
            "scopes": sorted(access.ceiling),
            "grants": rows_as_json(access.rows),
            "machines": [
                {"id": str(machine.pk), "name": machine.name}
                for machine in sorted(access.machines, key=lambda machine: machine.pk)
            ],
            "all_machines": access.all_machines,
            "extended": sorted(access.extended),
            "privilege_separation": access.rows is not None,
            "expires_at": instant(self.expires_at),
            "lifetime": _seconds(self.lifetime),
            "rotate_every": _seconds(self.rotate_every),
            **self.restrictions.as_json(),
        }

    @property
    def digest(self) -> str:
        """SHA-256 of its canonical JSON, hexadecimal."""
        return digest_of(self.as_json())


def spec_of(token: Token) -> Spec:
    """A token as it is stored."""
    return Spec(
        name=token.name,
        description=token.description,
        access=settled_of(token),
        expires_at=token.expires_at,
        lifetime=token.lifetime,
        rotate_every=token.rotate_every,
        restrictions=token.restrictions,
    )


def spec_from(data: Mapping[str, Any], organization_id: UUID) -> Spec:
    """The spec whose `as_json` this is, with the machines and roles that there are now."""
    rows = data["grants"]
    named = tuple(GrantWish(row["path"], row["role"] or "", row["propagate"]) for row in rows or ())
    ids = [UUID(machine["id"]) for machine in data["machines"]]
    machines = Machine.objects.select_related("fleet").filter(organization=organization_id, pk__in=ids)
    access = Settled(
        frozenset(Scope(name) for name in data["scopes"]),
        data["role"] or "",
        None if rows is None else named,
        tuple(machines),
        data["all_machines"],
        frozenset(data["extended"]),
        book(organization_id, (row.role for row in named)),
    )
    return Spec(
        name=data["name"],
        description=data["description"],
        access=access,
        expires_at=datetime.fromisoformat(data["expires_at"]) if data["expires_at"] else None,
        lifetime=_span(data["lifetime"]),
        rotate_every=_span(data["rotate_every"]),
        restrictions=from_stored(data["allowed_networks"], data["rate_limit"], data["access_windows"]),
    )


def own_roles(*specs: Spec) -> dict[str, dict[str, list[str]]]:
    """{role: {path: the scopes it gives there}}, of the organization's own roles that rows name: what a row gives by
    one is said nowhere else. One that was removed gives nothing."""
    found: dict[str, dict[str, list[str]]] = {}
    for access in (spec.access for spec in specs):
        for row in access.rows or ():
            if row.role and row.role not in BUILT_IN:
                scopes = access.roles.scopes(row.role, row.path)
                found.setdefault(row.role, {})[row.path] = sorted(scopes)
    return found


def columns_of(spec: Spec, rules: OrganizationPolicy) -> dict[str, Any]:
    """What the token's own row holds of it, under its organization's policy."""
    return {
        "name": spec.name,
        "description": spec.description,
        "role": spec.access.role,
        "risk": int(spec.risk(rules)),
        **level_columns(spec.access),
        "expires_at": spec.expires_at,
        "lifetime": spec.lifetime,
        "rotate_every": spec.rotate_every,
        **restriction_columns(spec.restrictions),
    }


def restriction_columns(restrictions: Restrictions) -> dict[str, Any]:
    """What the token's own row holds of them."""
    columns = restrictions.as_json()
    return {**columns, "rate_limit": columns["rate_limit"] or ""}


def store(token: Token, before: Spec, after: Spec, rules: OrganizationPolicy) -> dict[str, list[Any]]:
    """Write what is different, for who holds the locks of the organization, whose policy these rules are, and of the
    token; {field: [before, after]}. A name that is taken is an IntegrityError. Another expiry brings back what was
    recorded as expired."""
    new = columns_of(after, rules)
    changed = {name: [getattr(token, name), value] for name, value in new.items()}
    if after.expires_at != before.expires_at:
        new["expired_at"] = None
    for name, value in new.items():
        setattr(token, name, value)
    token.validate_columns()
    with transaction.atomic():
        token.save(update_fields=list(new))
    if after.access != before.access:
        write_access(token, after.access)
        changed["scopes"] = [sorted(before.access.ceiling), sorted(after.access.ceiling)]
        changed["grants"] = [rows_as_json(before.access.rows), rows_as_json(after.access.rows)]
    changed["risk"] = [Risk(value).label for value in changed["risk"]]
    return {name: pair for name, pair in changed.items() if pair[0] != pair[1]}


def instant(moment: datetime | None) -> str | None:
    """RFC 3339, in UTC."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def _seconds(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds())


def _span(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
