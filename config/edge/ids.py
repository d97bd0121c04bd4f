"""Identifiers made in the application."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from config.edge.clock import now
from config.edge.refusals import Missing

Row = TypeVar("Row", bound=Model)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def uuid7() -> UUID:
    """A UUID that begins with the time, so that ids sort by age (RFC 9562, 5.7).

    48 bits of milliseconds, then their fraction in 12 bits (6.2, method 3): two events of one verb keep their order.
    """
    milliseconds, microseconds = divmod((now() - EPOCH) // MICROSECOND, 1000)
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (microseconds << 12) // 1000 << 64
    value |= 0b10 << 62 | secrets.randbits(62)
    return UUID(int=value)


def first_uuid7(instant: datetime) -> UUID:
    """No id that was made at this instant or later is smaller."""
    return UUID(int=(instant - EPOCH) // timedelta(milliseconds=1) << 80)


def parsed_uuid(text: str) -> UUID | None:
    """The UUID that a path segment is, in its one spelling; None for all else."""
    try:
        key = UUID(text)
    except ValueError:
        return None
    return key if str(key) == text else None


def row_of(rows: QuerySet[Row], text: str, missing: str = "There is no such object.") -> Row:
    """The row among these whose id a path segment is; Missing, said like this, where there is none."""
    row = rows.filter(pk=pk).first() if (pk := parsed_uuid(text)) else None
    if row is None:
        raise Missing(missing)
    return row
