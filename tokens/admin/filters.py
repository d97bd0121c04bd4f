"""What the list of tokens can be narrowed to: pills above it, and a choice of owners."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from audit.admin import OfferedFilter
from config.edge.access import access_of
from config.edge.clock import now
from config.edge.remembering import seen_ids
from tokens import policy
from tokens.decision import DerivedStatus
from tokens.kinds import COLUMN, PREFIX, Kind
from tokens.models import Token

ENDED = "ended"
MOST_OWNERS = 200  # to choose from


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


class OwnerFilter(admin.SimpleListFilter):
    """One's own tokens, and those of each fleet, group, application, technical user or organization that has some here;
    other people's are found by the search."""

    title = parameter_name = "owner"
    template = "admin/filter_select.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        by = access_of(request)
        self.meant: dict[str, Q] = {"me": Q(kind=Kind.PERSONAL, owner_user=by.user)}
        names = {"me": "Yourself"}
        is_alone = len(seen_ids(by)) < 2
        tokens = policy.visible_to(by, Token.objects.exclude(kind=Kind.PERSONAL)).order_by()
        columns = ("owner_user", "owner_fleet", "owner_group", "owner_application", "organization")
        words = ("owner_user__username", "owner_fleet__slug", "owner_group__slug", "owner_application__slug")
        found = tokens.values_list("kind", *columns, *words, "organization__slug").distinct()
        for kind, *cells in found[:MOST_OWNERS]:
            keys, slugs = cells[: len(columns)], cells[len(columns) :]
            key, slug = next((key, slug) for key, slug in zip(keys, slugs, strict=True) if key)
            label = PREFIX[Kind(kind)] + slug
            name = f"{slugs[-1]}/{label}"
            self.meant[name] = Q(**{"kind": kind, COLUMN[Kind(kind)]: key})
            names[name] = label if is_alone else name
        return sorted(names.items(), key=lambda named: (named[0] != "me", named[1]))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if not chosen:
            return queryset
        return queryset.filter(self.meant[chosen]) if chosen in self.meant else queryset.none()


class KindFilter(OfferedFilter):
    title = parameter_name = column = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(Token.Kind.choices)
