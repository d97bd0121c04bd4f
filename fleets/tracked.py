"""Which columns of the estate django-auditlog keeps diffs of: what people edit, and nothing else."""

from django.db.models import Model

from audit import diffs
from fleets.models import (
    AclEntry,
    Application,
    Fleet,
    Group,
    Machine,
    Membership,
    Organization,
    OrganizationRole,
    User,
)

TRACKED: dict[type[Model], tuple[str, ...]] = {
    User: ("username", "name", "email", "is_active", "is_superuser", "expires_at"),
    Organization: ("name", "policy"),
    Membership: ("role", "suspended_at", "left_at"),
    Fleet: ("name", "closed_at"),
    Group: ("name", "closed_at"),
    Application: ("name", "description", "closed_at"),
    Machine: ("fleet", "name", "vmid", "kind", "configuration", "template", "deregistered_at"),
    OrganizationRole: ("name", "scopes", "removed_at"),
    AclEntry: ("path", "role", "propagate", "user", "group"),
}


def register() -> None:
    for model, columns in TRACKED.items():
        diffs.track(model, *columns)
