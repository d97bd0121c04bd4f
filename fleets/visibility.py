"""What a caller sees of the estate: organizations, what they own, machines. What is not in these querysets does not
exist."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from audit.organizations import Named
from config.edge.access import Access, Rights
from config.edge.parsing import is_plain_text
from config.edge.refusals import FieldError, Invalid, Missing
from fleets import paths
from fleets.models import (
    Fleet,
    Group,
    Machine,
    MachineQuerySet,
    Organization,
    OwnedByOrganization,
    TechnicalUser,
)
from fleets.scopes import Scope

# Who holds one of these at the root sees who owns the organization's tokens.
OVERSEEING = (Scope.PERMISSIONS_MANAGE, Scope.TOKENS_READ, Scope.TOKENS_MANAGE)


def organizations(by: Access) -> QuerySet[Organization]:
    return Organization.objects.filter(pk__in=by.organization_ids())


def organization(by: Access, slug: str | None = None) -> Organization:
    """The organization of that slug; without one the caller's only one, or the only one they are a member of."""
    if slug is not None:
        found = organizations(by).filter(slug=slug).first() if is_plain_text(slug) else None
        if found is None:
            raise Missing("There is no such organization.")
        return found
    implied = sole_organization(by)
    if implied is None:
        detail = "Say which organization is meant."
        error = FieldError("organization", "organization_required", detail)
        raise Invalid(detail, code="organization_required", errors=(error,))
    return implied


def sole_organization(by: Access) -> Organization | None:
    """The organization that a caller means who names none: their only one; for who sees more, the only one they are
    a member of."""
    seen = list(organizations(by)[:2])
    if len(seen) > 1 and by.user is not None:
        seen = list(
            Organization.objects.filter(
                memberships__user=by.user, memberships__left_at=None, memberships__suspended_at=None
            )[:2]
        )
    return seen[0] if len(seen) == 1 else None


def named(by: Access, slug: str | None) -> Named:
    """`organization`, as the audit trail asks for it."""
    found = organization(by, slug)
    return Named(found.pk, found.slug)


def named_by_id(organization_id: UUID) -> Named:
    return Named(organization_id, Organization.objects.values_list("slug", flat=True).get(pk=organization_id))


def named_by_ids(organization_ids: Collection[UUID]) -> list[Named]:
    rows = Organization.objects.filter(pk__in=organization_ids).order_by("slug")
    return [Named(pk, slug) for pk, slug in rows.values_list("pk", "slug")]


@dataclass(frozen=True)
class Reach:
    """What rights in one organization lead to, judged once for each fleet and each named machine, never row by row."""

    organization_id: UUID
    rights: Rights

    @cached_property
    def open_fleets(self) -> Mapping[str, Fleet]:
        """By slug."""
        rows = Fleet.objects.filter(organization_id=self.organization_id, closed_at=None)
        return {fleet.slug: fleet for fleet in rows.select_related("organization")}

    @cached_property
    def fleets(self) -> Mapping[str, Fleet]:
        """The open fleets at which, or below which, some scope is held; by slug."""
        return {slug: fleet for slug, fleet in self.open_fleets.items() if self._reaches(fleet)}

    def fleet(self, slug: object) -> Fleet:
        """One of `fleets`; Missing where there is none of that slug."""
        found = self.fleets.get(slug) if isinstance(slug, str) else None
        if found is None:
            raise Missing("There is no such fleet.")
        return found

    def with_rights(self, rights: Rights) -> "Reach":
        """What other rights lead to in the organization. Its fleets are not read again."""
        other = Reach(self.organization_id, rights)
        vars(other)["open_fleets"] = self.open_fleets
        return other

    def machines(self, scope: Scope = Scope.MACHINES_READ) -> MachineQuerySet:
        """The live machines on whose path the scope is held."""
        wholly = [
            fleet.pk for fleet in self.open_fleets.values() if scope in self.rights.at(_any_machine(fleet))
        ]
        included: list[UUID] = []
        excluded: list[UUID] = []
        for path, machine_id in self._named_machines.items():
            (included if scope in self.rights.at(path) else excluded).append(machine_id)
        reached = Q(fleet__in=wholly)
        if excluded:
            reached &= ~Q(pk__in=excluded)
        if included:
            reached |= Q(pk__in=included)
        return Machine.objects.live().filter(reached, organization_id=self.organization_id)

    @cached_property
    def _named_machines(self) -> Mapping[str, UUID]:
        """The paths of machines that are named one by one and lead to the fleet in which the machine is now."""
        named = {path: machine_id for path in self.rights.paths if (machine_id := paths.machine_id_of(path))}
        if not named:
            return {}
        rows = Machine.objects.live().filter(pk__in=set(named.values()), organization_id=self.organization_id)
        slugs = dict(rows.values_list("pk", "fleet__slug"))
        return {path: key for path, key in named.items() if slugs.get(key) == paths.fleet_slug_of(path)}

    def _reaches(self, fleet: Fleet) -> bool:
        below = (path for path in self.rights.paths if paths.is_under(path, fleet.path))
        return any(
            self.rights.at(path)
            for path in (fleet.path, f"{fleet.path}/machines", _any_machine(fleet), *below)
        )


def reach(by: Access, organization_id: UUID) -> Reach:
    return Reach(organization_id, by.rights(organization_id))


def owners(by: Access, model: type[OwnedByOrganization], organization_ids: Collection[UUID]) -> QuerySet[Any]:
    """The open fleets, groups or applications of the organizations that the caller sees.

    Fleets: as Reach has them. Groups: all, for the organization's people in their session and for who oversees.
    Applications: all for who oversees, their own for their owners in their session.
    """
    rows: QuerySet[Any] = model._default_manager.filter(organization__in=organization_ids, closed_at=None)
    if model is Fleet:
        reached = (reach(by, key).fleets.values() for key in organization_ids)
        return rows.filter(pk__in=[fleet.pk for fleets in reached for fleet in fleets])
    here = by.organization_ids() if by.is_browser_session else frozenset()
    wholly = [key for key in organization_ids if (model is Group and key in here) or oversees(by, key)]
    seen = Q(organization__in=wholly)
    if by.is_browser_session and len(wholly) < len(organization_ids):
        theirs = rows.filter(organization__in=here, memberships__user=by.user, memberships__left_at=None)
        seen |= Q(pk__in=theirs.values("pk"))
    return rows.filter(seen)


def technical_users(by: Access, organization_ids: Collection[UUID]) -> QuerySet[TechnicalUser]:
    """All of the organizations, those of tokens and those that ended too, for who oversees; a fleet's for who does so
    there."""
    seen = [key for key in organization_ids if oversees(by, key)]
    fleets = Fleet.objects.filter(organization__in=seen).values_list("pk", "slug", "organization")
    unseen = [pk for pk, slug, key in fleets if not oversees(by, key, paths.fleet_path(slug))]
    rows = TechnicalUser.objects.filter(organization__in=seen)
    return rows.exclude(fleet__in=unseen) if unseen else rows


def oversees(by: Access, organization_id: UUID, path: str = paths.ROOT) -> bool:
    """Manages permissions, or reads or manages tokens."""
    return any(by.permits(scope, path, organization_id) for scope in OVERSEEING)


def _any_machine(fleet: Fleet) -> str:
    """Stands for every machine of a fleet that nobody names."""
    return f"{fleet.path}/machines/*"
