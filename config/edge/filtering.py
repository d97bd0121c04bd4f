"""Filters of lists: a parameter that a list does not know is a 400, not silently every row."""

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from config.edge.parameters import require_known

ALWAYS = {"limit", "cursor", "organization"}


class StrictFilterBackend(DjangoFilterBackend):  # type: ignore[misc]  # django-filter has no types
    """django-filter, which knows which parameters there are."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filterset_class = self.get_filterset_class(view, queryset)
        known = ALWAYS | set(filterset_class.base_filters if filterset_class else ())
        require_known(request.query_params, known)
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered
