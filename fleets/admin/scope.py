"""What the estate's pages share: the organizations to choose from, filters that offer only what is visible."""

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest

from audit.admin import OfferedFilter
from config.edge.access import Access, access_of
from config.edge.commands import CommandForm, offer
from config.edge.refusals import Missing
from config.edge.remembering import remembered, seen_ids
from fleets import visibility
from fleets.models import Fleet, Organization
from fleets.visibility import Reach


class OrganizationFilter(OfferedFilter):
    """Offered to whoever sees several organizations."""

    title = parameter_name = "organization"
    column = "organization__slug"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        by = access_of(request)
        if len(seen_ids(by)) < 2:
            return []
        return [(organization.slug, organization.name) for organization in organizations_seen(by)]


class FleetFilter(OfferedFilter):
    """The fleets that the caller may see."""

    title = parameter_name = column = "fleet"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        by = access_of(request)
        return [(str(fleet.pk), fleet.name) for fleet in fleets_seen(by)]


class OrganizationForm(CommandForm):
    """A form that makes something in an organization: one of those where the caller may."""

    organization = forms.ChoiceField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organizations = {row.slug: row for row in self.open_to(self.by)}
        offer(self, "organization", [(slug, row.name) for slug, row in self.organizations.items()])

    def open_to(self, by: Access) -> Iterable[Organization]:
        raise NotImplementedError

    def clean_organization(self) -> Organization:
        return self.organizations[self.cleaned_data["organization"]]


def organizations_where(by: Access, may: Callable[[Access, Organization], bool]) -> list[Organization]:
    return [row for row in organizations_seen(by) if may(by, row)]


def is_anywhere(may: Callable[[Access, Organization], bool]) -> Callable[[Access], bool]:
    """Whether the caller may in some organization: for a button above a list."""
    return lambda by: bool(organizations_where(by, may))


def organizations_seen(by: Access) -> list[Organization]:
    rows = Organization.objects.filter(pk__in=seen_ids(by)).order_by("name")
    return remembered(by, "organization rows", lambda: list(rows))


def reach(by: Access, organization_id: UUID) -> Reach:
    return remembered(by, ("reach", organization_id), lambda: visibility.reach(by, organization_id))


def fleets_seen(by: Access) -> list[Fleet]:
    reached = (reach(by, key).fleets.values() for key in seen_ids(by))
    return sorted(
        (fleet for fleets in reached for fleet in fleets), key=lambda fleet: (fleet.name, fleet.slug)
    )


def fleet_of(by: Access, organization_id: UUID, key: str) -> Fleet:
    """A fleet that the caller sees in the organization, by its id."""
    found = [row for row in reach(by, organization_id).fleets.values() if str(row.pk) == key]
    if not found:
        raise Missing("There is no such fleet.")
    return found[0]
