"""Cursor pages: `{next, previous, results}`, `limit` 1–200, 50 where none is asked."""

from base64 import b64decode
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from config.edge.refusals import Invalid

LARGEST = 200
PARTS = {"o", "r", "p"}  # offset, reverse, position: how REST framework writes a cursor


class Cursor(CursorPagination):
    """REST framework's cursor, strict about what it is sent. Rows come newest first, by `ordering` of the view."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = LARGEST
    ordering = "-id"

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get("limit")
        if text is None:
            return self.page_size
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LARGEST):
            raise Invalid.field("limit", f"A whole number from 1 to {LARGEST}.")
        return int(text)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        try:
            self._require_position(queryset, request, view)
            return super().paginate_queryset(queryset, request, view)
        except (ValidationError, ValueError, OverflowError, TypeError) as error:  # a forged position
            raise Invalid.field("cursor", "This is not a cursor of this list.") from error

    def _require_position(self, queryset: Any, request: Request, view: Any) -> None:
        """ValueError or ValidationError where the cursor's position is no value of what the list is ordered by."""
        cursor = self.decode_cursor(request)
        if cursor is None or cursor.position is None:
            return
        column = self.get_ordering(request, queryset, view)[0].removeprefix("-")
        value = queryset.model._meta.get_field(column).to_python(cursor.position)
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError("an instant without an offset")

    def decode_cursor(self, request: Request) -> Any:
        encoded = request.query_params.get(self.cursor_query_param)
        if encoded is not None and (len(encoded) > 400 or "\x00" in encoded):
            raise Invalid.field("cursor", "This is not a cursor of this list.")
        try:
            _require_known_parts(encoded)
            return super().decode_cursor(request)
        except Exception as error:
            raise Invalid.field("cursor", "This is not a cursor of this list.") from error

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        ordering = getattr(view, "ordering", self.ordering)
        return (ordering,) if isinstance(ordering, str) else tuple(ordering)

    def get_next_link(self) -> str | None:
        return _relative(super().get_next_link())

    def get_previous_link(self) -> str | None:
        return _relative(super().get_previous_link())


def _require_known_parts(encoded: str | None) -> None:
    """ValueError where it is nothing that we made: REST framework takes any text for the first page."""
    if encoded is None:
        return
    parts = parse_qs(
        b64decode(encoded, validate=True).decode("ascii"), keep_blank_values=True, strict_parsing=True
    )
    if not parts or not parts.keys() <= PARTS or any(len(values) > 1 for values in parts.values()):
        raise ValueError("not a cursor")


def _relative(link: str | None) -> str | None:
    """Path and query only: behind a proxy the host that we see is not the one that the client knows."""
    if not link:
        return None
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"
