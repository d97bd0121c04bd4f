"""Rows as queries find them."""

from typing import Any, TypeVar

from django.db.models import QuerySet

Row = TypeVar("Row")


def sole(rows: QuerySet[Any, Row]) -> Row | None:
    """The row of a query that can find no more than one. `first` would have it ordered, which is work for nothing."""
    return next(iter(rows[:1]), None)
