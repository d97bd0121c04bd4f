"""The pills above the list of tokens."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from audit.admin import OfferedFilter
from config.edge.clock import now
from tokens.decision import DerivedStatus
from tokens.models import Token

ENDED = "ended"


class StatusFilter(admin.SimpleListFilter):
    """All is what has not ended; the four below add up to it."""

    title = "status"
    parameter_name = "status"
    living = (DerivedStatus.ACTIVE, DerivedStatus.PENDING, DerivedStatus.DISABLED, DerivedStatus.EXPIRED)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((str(status), str(status).capitalize()) for status in self.living), (ENDED, "Ended")]

    def choices(self, changelist: Any) -> Any:
        for choice in super().choices(changelist):
            yield {**choice, "is_quiet": choice["display"] == "Ended"}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        tokens: Any = queryset
        chosen = self.value()
        if chosen == ENDED:
            return tokens.ended()  # type: ignore[no-any-return]
        if chosen in set(self.living):
            return tokens.with_status(chosen, now())  # type: ignore[no-any-return]
        return tokens.none() if chosen else tokens.not_ended()  # type: ignore[no-any-return]


class KindFilter(OfferedFilter):
    title = parameter_name = column = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(Token.Kind.choices)
