"""What the inbox can be narrowed to: what waits (which is what it shows), what waits for me, what is settled."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from approvals import policy
from config.edge.access import access_of

MINE, SETTLED = "mine", "settled"


class StandingFilter(admin.SimpleListFilter):
    title, parameter_name = "status", "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(MINE, "Waiting for me"), (SETTLED, "Settled")]

    def choices(self, changelist: Any) -> Any:
        for choice in super().choices(changelist):
            yield {**choice, "display": "Open"} if choice["display"] == "All" else choice

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        chosen = self.value()
        if chosen == MINE:
            return policy.decidable_by(access_of(request), rows)
        if chosen == SETTLED:
            return rows.exclude(pk__in=rows.waiting().order_by().values("pk"))  # type: ignore[no-any-return]
        return rows.none() if chosen else rows.waiting()  # type: ignore[no-any-return]
