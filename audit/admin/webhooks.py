"""Webhooks in the admin: where an organization's events go, what waits, what was given up."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from audit.admin.events import ChosenFilter
from audit.admin.scope import manageable, slug_of
from audit.admin.webhook_forms import RotateForm, WebhookAdding, WebhookChange
from audit.models import WebhookDelivery, WebhookEndpoint
from audit.policy import may_manage_webhooks
from audit.webhooks import endpoints
from audit.webhooks.endpoints import Revealed
from config.edge import once
from config.edge.access import Access, access_of
from config.edge.commands import Adding, RowVerb
from config.edge.facts import Cell, Fact, Section, linked
from config.edge.revealing_admin import RevealingAdmin, Revelation
from config.edge.scoped_admin import ScopedAdmin

LISTED = 25  # deliveries of each state that the page of a webhook shows
State = WebhookDelivery.State


def manages(by: Access, row: WebhookEndpoint | WebhookDelivery) -> bool:
    endpoint = row.endpoint if isinstance(row, WebhookDelivery) else row
    return may_manage_webhooks(by, endpoint.organization_id)


def of_manageable(by: Access) -> QuerySet[WebhookEndpoint]:
    return WebhookEndpoint.objects.present().of_organizations(frozenset(named.id for named in manageable(by)))


def add(data: dict[str, Any], by: Access) -> Revealed:
    said = {name: value for name, value in data.items() if name not in {"organization", once.FIELD}}
    return endpoints.add(data["organization"], **said, by=by)


def is_undelivered(row: WebhookDelivery) -> bool:
    return row.state != State.DELIVERED


@admin.register(WebhookEndpoint)
class WebhookAdmin(RevealingAdmin):
    list_display = ("where", "wants", "state_shown", "dead_shown", "created_at")
    ordering = ("-pk",)
    sortable_by = ()
    place = 72
    heading = "Webhooks"
    about = "Where events are sent as they happen, signed, and what could not be delivered."
    nothing = "No webhook yet. Add one to have another system told of what happens here."
    adding = Adding(
        "New webhook",
        lambda by: bool(manageable(by)),
        WebhookAdding,
        add,
        "Sends the organization’s events to this address from now on. The next page shows the secret that signs them, "
        "once.",
        "",
    )
    secret_template = "audit/webhook_secret.html"
    verbs = (
        RowVerb(
            "edit",
            "Change",
            manages,
            lambda row, data, by: data and endpoints.change(row, changes=data, by=by),
            lambda row: f"Changes where {row} is, and what it gets from now on.",
            "The webhook is changed.",
            form=WebhookChange,
        ),
        RowVerb(
            "test",
            "Send a test event",
            manages,
            lambda row, _, by: endpoints.test(row, by=by),
            lambda row: f"Sends {row} one event, webhook.tested, behind what it is owed already.",
            "The test is on its way: see below how it goes.",
            fits=lambda row: row.enabled,
        ),
        RowVerb(
            "rotate-secret",
            "Rotate secret",
            manages,
            lambda row, _, by: endpoints.rotate_secret(row, by=by),
            lambda row: (
                f"Gives {row} a new secret, which the next page shows once. For 24 hours messages are signed with both."
            ),
            "",
            form=RotateForm,
        ),
        RowVerb(
            "remove",
            "Remove",
            manages,
            lambda row, _, by: endpoints.remove(row, by=by),
            lambda row: f"Sends nothing more to {row}. What it is owed is dropped. This can’t be undone.",
            "The webhook is removed.",
            is_grave=True,
            is_bound=False,
        ),
    )

    def is_offered(self, by: Access) -> bool:
        return bool(manageable(by))

    def visible(self, by: Access) -> QuerySet[WebhookEndpoint]:
        return of_manageable(by)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEndpoint]:
        dead = Count("deliveries", filter=Q(deliveries__state=State.DEAD))
        rows: QuerySet[WebhookEndpoint] = self.visible(access_of(request)).annotate(dead=dead)
        return rows

    def notes(self, row: WebhookEndpoint, by: Access) -> list[str]:
        if row.enabled:
            return []
        return [f"Nothing is sent to it. {row.disabled_reason} What it is owed waits until it is enabled."]

    def facts(self, row: WebhookEndpoint, by: Access) -> list[Fact]:
        return [
            Fact("URL", row.url),
            Fact("Description", row.description),
            Fact("Actions", ", ".join(row.actions)),
            Fact("State", "enabled" if row.enabled else "disabled"),
            Fact("Organization", slug_of(by, row.organization_id)),
            Fact("Added", row.created_at),
            Fact("Previous secret signs until", row.previous_until),
        ]

    def sections(self, row: WebhookEndpoint, by: Access) -> list[Section]:
        rows = row.deliveries
        return [
            _section("Given up", rows.dead().order_by("-pk"), "Nothing was given up."),
            _section("Waiting, in this order", rows.pending().order_by("pk"), "Nothing waits."),
            _section("Delivered lately", rows.filter(state=State.DELIVERED).order_by("-pk"), "Nothing yet."),
        ]

    def revealed(self, request: HttpRequest, result: Any) -> Revelation | None:
        if not isinstance(result, Revealed):
            return None
        endpoint = result.endpoint
        return Revelation(endpoint, result.secret, {"previous_until": endpoint.previous_until})

    # Columns

    @admin.display(description="webhook")
    def where(self, row: WebhookEndpoint) -> str:
        return str(row)

    @admin.display(description="actions")
    def wants(self, row: WebhookEndpoint) -> str:
        return ", ".join(row.actions[:3]) + ("…" if len(row.actions) > 3 else "")

    @admin.display(description="state")
    def state_shown(self, row: WebhookEndpoint) -> str:
        return "enabled" if row.enabled else "disabled"

    @admin.display(description="given up")
    def dead_shown(self, row: Any) -> str:
        return format_html("{}", row.dead or "–")


class StateFilter(ChosenFilter):
    title = parameter_name = column = "state"
    values = State.choices


@admin.register(WebhookDelivery)
class DeliveryAdmin(ScopedAdmin):
    list_display = ("action", "endpoint", "state", "attempts", "last_error", "created_at")
    list_filter = (StateFilter,)
    ordering = ("-pk",)
    sortable_by = ()
    is_section = False
    heading = "Deliveries"
    about = "Each event that a webhook is owed, or was."
    nothing = "No delivery like this."
    verbs = (
        RowVerb(
            "retry",
            "Send again",
            manages,
            lambda row, _, by: endpoints.retry(row, by=by),
            lambda row: f"Sends {row.action} to {row.endpoint} again, now, before what came after it.",
            "It is on its way again.",
            fits=is_undelivered,
        ),
        RowVerb(
            "drop",
            "Drop",
            manages,
            lambda row, _, by: endpoints.drop(row, by=by),
            lambda row: (
                f"Never sends this {row.action} to {row.endpoint}. The event stays in the audit trail."
            ),
            "It is dropped.",
            fits=is_undelivered,
            is_grave=True,
        ),
    )

    def is_offered(self, by: Access) -> bool:
        return bool(manageable(by))

    def visible(self, by: Access) -> QuerySet[WebhookDelivery]:
        return WebhookDelivery.objects.filter(endpoint__in=of_manageable(by)).select_related("endpoint")

    def facts(self, row: WebhookDelivery, by: Access) -> list[Fact]:
        return [
            Fact("Webhook", linked(row.endpoint)),
            Fact("Action", row.action),
            Fact("Event", row.event_id),
            Fact("State", row.state),
            Fact("Tries", row.attempts),
            Fact("Last error", row.last_error),
            Fact("Next try", row.due_at if row.state == State.PENDING else None),
            Fact("Happened", row.created_at),
            Fact("Delivered", row.delivered_at),
        ]


def _section(title: str, rows: QuerySet[WebhookDelivery], nothing: str) -> Section:
    cells = [
        [Cell(row.action, linked(row).link), Cell(row.created_at), Cell(row.attempts), Cell(row.last_error)]
        for row in rows[:LISTED]
    ]
    return Section(title, ("Event", "Happened", "Tries", "Last error"), cells, nothing)
