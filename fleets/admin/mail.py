"""Mail in the admin, for superusers: what waits, what was given up, and a test of the server."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from audit import deliveries, given_up
from audit.admin import OfferedFilter
from audit.models import OutboxRow
from audit.policy import may_manage_mail
from config.edge.access import Access
from config.edge.commands import Adding, CommandForm, RowVerb
from config.edge.facts import Fact
from config.edge.form_fields import MailAddress
from config.edge.scoped_admin import ScopedAdmin
from fleets import mail


class StateFilter(OfferedFilter):
    title = parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "waiting"), ("given-up", "given up")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if not chosen:
            return queryset
        if chosen not in {"waiting", "given-up"}:
            return queryset.none()
        return queryset.filter(dead_at__isnull=chosen == "waiting")


class TestForm(CommandForm):
    to = MailAddress(label="Mail address")


def may_manage(by: Access, row: Any) -> bool:
    return may_manage_mail(by)


@admin.register(OutboxRow)
class MailAdmin(ScopedAdmin):
    list_display = ("what", "state", "attempts", "last_error", "owed_since", "due_at")
    list_filter = (StateFilter,)
    ordering = ("-pk",)
    sortable_by = ()
    place = 92
    heading = "Mail"
    about = "What waits to be sent, and what was given up after three days. Whom it is for is not shown."
    nothing = "Nothing waits and nothing was given up: every mail was sent."
    adding = Adding(
        "Send a test mail",
        may_manage_mail,
        TestForm,
        lambda data, by: mail.test(to=data["to"], by=by),
        "Sends a mail to this address by the server that EMAIL_URL names. If it does not arrive, look here.",
        "The test is on its way. While it stands here, it waits; the last error says why.",
    )
    verbs = (
        RowVerb(
            "retry",
            "Send again",
            may_manage,
            lambda row, _, by: given_up.retry(row, by=by),
            lambda row: f"Tries {row.label} again, now, and for three days more.",
            "It is on its way again.",
        ),
        RowVerb(
            "drop",
            "Drop",
            may_manage,
            lambda row, _, by: given_up.drop(row, by=by),
            lambda row: f"Never sends {row.label}. This can’t be undone.",
            "It is dropped.",
            is_grave=True,
        ),
    )

    def is_offered(self, by: Access) -> bool:
        return may_manage_mail(by)

    def visible(self, by: Access) -> QuerySet[OutboxRow]:
        rows = OutboxRow.objects.filter(kind__in=deliveries.kinds())
        return rows if may_manage_mail(by) else rows.none()

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """To the list afterwards: what was sent by then is no row any more."""
        response = super().add_view(request, form_url, extra_context)
        return redirect(self.address("changelist")) if response.status_code == 302 else response

    def facts(self, row: OutboxRow, by: Access) -> list[Fact]:
        return [
            Fact("What", row.label),
            Fact("State", self.state(row)),
            Fact("Tries", row.attempts),
            Fact("Last error", row.last_error),
            Fact("Owed since", row.owed_since),
            Fact("Next try", None if row.dead_at else row.due_at),
            Fact("Given up", row.dead_at),
        ]

    @admin.display(description="what")
    def what(self, row: OutboxRow) -> str:
        return row.label

    @admin.display(description="state")
    def state(self, row: OutboxRow) -> str:
        return "given up" if row.dead_at else "waiting"
