"""Filters of lists: a parameter that a list does not know is a 400, not silently every row."""

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from config.edge.refusals import Invalid

ALWAYS = {"limit", "cursor", "organization"}


class StrictFilterBackend(DjangoFilterBackend):  # type: ignore[misc]  # django-filter has no types
    """django-filter, with unknown, repeated and unprintable parameters refused."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filterset_class = self.get_filterset_class(view, queryset)
        known = ALWAYS | set(filterset_class.base_filters if filterset_class else ())
        for name, values in request.query_params.lists():
            if name not in known:
                raise Invalid.field(name[:100], "This list has no such filter.", "unknown_parameter")
            if len(values) > 1:
                raise Invalid.field(name, "Give it once.", "repeated_parameter")
            if "\x00" in values[0] or len(values[0]) > 400:
                raise Invalid.field(name, "This is not a value of it.")
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered
