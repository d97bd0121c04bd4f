"""The audit trail in the admin: read only, for who holds audit:read at the root of an organization."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from audit import organizations
from audit.actions import Action, Outcome
from audit.models import Event
from audit.policy import may_read_trail
from config.edge.access import Access
from config.edge.facts import Cell, Fact, Section
from config.edge.remembering import seen_ids
from config.edge.scoped_admin import ScopedAdmin


def readable(by: Access) -> frozenset[Any]:
    """The organizations whose trail the caller may read."""
    return frozenset(key for key in seen_ids(by) if may_read_trail(by, key))


class OfferedFilter(admin.SimpleListFilter):
    """Rows with one of the offered values in a column. A value that is not offered matches nothing, and is not asked
    of the database, which may refuse it."""

    column: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if not chosen:
            return queryset
        offered = {value for value, _ in self.lookup_choices}
        return queryset.filter(**{self.column: chosen}) if chosen in offered else queryset.none()


class ChosenFilter(OfferedFilter):
    """One value of a column whose values are the same for everybody."""

    values: list[tuple[str, str]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, value) for value, _ in self.values]


class OutcomeFilter(ChosenFilter):
    title = parameter_name = column = "outcome"
    values = Outcome.choices


class ActionFilter(ChosenFilter):
    title = parameter_name = column = "action"
    values = Action.choices
    template = "admin/filter_select.html"


@admin.register(Event)
class EventAdmin(ScopedAdmin):
    list_display = ("when", "what", "how", "actor", "target", "address", "request_id")
    list_filter = (OutcomeFilter, ActionFilter)
    search_fields = ("request_id", "target_label")  # what `get_search_results` looks at
    search_help_text = "A request id, or the name or id of what it is about or who did it: the whole of it."
    ordering = ("-pk",)
    sortable_by = ()
    place = 70
    heading = "Audit trail"
    about = "Who did what, when, from where, and what was refused. Nobody can change it."
    nothing = "Nothing like this has happened."

    def is_offered(self, by: Access) -> bool:
        return bool(readable(by))

    def visible(self, by: Access) -> QuerySet[Event]:
        return Event.objects.of_organizations(readable(by))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        request_id = Q(request_id=text) | Q(client_request_id=text)
        target = Q(target_id=text) | Q(target_label=text)
        actor = Q(actor_id=text) | Q(actor_label=text)
        return queryset.filter(request_id | target | actor), False

    def facts(self, row: Event, by: Access) -> list[Fact]:
        organization = (
            organizations.registered().of_id(row.organization_id).slug if row.organization_id else "–"
        )
        behind = f"{row.on_behalf_of_label} ({row.on_behalf_of_type})" if row.on_behalf_of_type else ""
        return [
            Fact("At", f"{row.at:%Y-%m-%d %H:%M:%S.%f} UTC"),
            Fact("Action", row.action),
            Fact("Outcome", row.outcome),
            Fact("Reason", row.reason),
            Fact("Actor", f"{row.actor_label} ({row.actor_type}, {row.actor_id or 'no id'})"),
            Fact("On behalf of", behind),
            Fact("Target", f"{row.target_label} ({row.target_type}, {row.target_id or 'no id'})"),
            Fact("Organization", organization),
            Fact("Address", row.address),
            Fact("User agent", row.user_agent),
            Fact("Request id", row.request_id),
            Fact("Client's request id", row.client_request_id),
            Fact("Event id", row.pk),
        ]

    def sections(self, row: Event, by: Access) -> list[Section]:
        data = [[Cell(name), Cell(json.dumps(value, ensure_ascii=False))] for name, value in row.data.items()]
        return [Section("Data", ("Name", "Value"), data, "Nothing more was recorded.")]

    @admin.display(description="at (UTC)")
    def when(self, row: Event) -> str:
        return f"{row.at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="action")
    def what(self, row: Event) -> str:
        return row.action

    @admin.display(description="outcome")
    def how(self, row: Event) -> str:
        return format_html('<span class="badge outcome-{}">{}</span>', row.outcome, row.outcome)

    @admin.display()
    def actor(self, row: Event) -> str:
        return row.actor_label

    @admin.display()
    def target(self, row: Event) -> str:
        return f"{row.target_type} {row.target_label}"
