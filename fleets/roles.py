"""Roles by name: the built-in ones, and those of an organization's own making. What a role gives is for authority."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from fleets.authority import NONE, ROLE_SCOPES, Role, role_scopes
from fleets.models import OrganizationRole
from fleets.scopes import PERSONAL_ONLY, Scope

OF_PROXMOX = "pve"  # names that Proxmox VE's own roles have, and that its preset brings
_SCOPES = {scope.value: scope for scope in Scope if scope not in PERSONAL_ONLY}


@dataclass(frozen=True)
class RoleBook:
    """The roles that an entry, a grant or a wish can name. One that was removed gives nothing, wherever it is named."""

    own: Mapping[str, frozenset[Scope]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in ROLE_SCOPES or name in self.own

    def scopes(self, name: str, at_path: str) -> frozenset[Scope]:
        """What the role gives by an entry at this path."""
        return role_scopes(name, at_path) if name in ROLE_SCOPES else self.own.get(name, NONE)

    def gives_something(self, name: str) -> bool:
        return name != Role.NO_ACCESS and name in self


BUILT_IN = RoleBook()


def book(organization_id: UUID, named: Iterable[str]) -> RoleBook:
    """The roles of these names; a query only where one of them is not built in."""
    names = {name for name in named if name and name not in ROLE_SCOPES}
    if not names:
        return BUILT_IN
    rows = OrganizationRole.objects.present().filter(organization_id=organization_id, name__in=names)
    return RoleBook({row.name: scopes_of(row) for row in rows})


def is_reserved(name: str) -> bool:
    """Whether a built-in role has this name, in whatever case, or one may come to have it."""
    folded = name.casefold()
    return folded.startswith(OF_PROXMOX) or folded in {built_in.casefold() for built_in in ROLE_SCOPES}


def scopes_of(role: OrganizationRole) -> frozenset[Scope]:
    return frozenset(_SCOPES[name] for name in role.scopes if name in _SCOPES)
