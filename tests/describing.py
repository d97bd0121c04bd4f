"""What a factory was called with, as a value that can be compared: two calls with equal ones do the same."""

import dataclasses
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any
from uuid import UUID

from django.db.models import Model, QuerySet

from tokens.secret import Secret

PLAIN = (NoneType, bool, int, float, str, bytes, UUID, Decimal, Enum, timedelta)

OF_DJANGO = ("_state", "_django_version")  # the latter only of what was pickled


class NotDescribed(Exception):
    """Nobody can say whether another call's would be the same."""


def described(value: Any, found: list[Model], *, of_a_row: bool = False) -> Any:
    """A hashable description; every row in it, and every row that such a row holds, is appended to `found`.

    Instants count in rows only: as an argument one is never the same again.
    """
    if isinstance(value, PLAIN) or (of_a_row and isinstance(value, date | datetime)):
        return (type(value), value)
    if isinstance(value, Model):
        return _of_row(value, found)
    if isinstance(value, Secret):
        return (Secret, value.reveal())
    if isinstance(value, QuerySet) and value._result_cache is not None:  # prefetched with its row
        return (QuerySet, *(described(one, found, of_a_row=of_a_row) for one in value._result_cache))
    if isinstance(value, list | tuple):
        return (type(value), *(described(one, found, of_a_row=of_a_row) for one in value))
    if isinstance(value, dict):
        return (dict, *((name, described(one, found, of_a_row=of_a_row)) for name, one in value.items()))
    if isinstance(value, set | frozenset):
        if all(isinstance(one, PLAIN) for one in value):
            return (type(value), frozenset((type(one), one) for one in value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type) and _is_frozen(value):
        fields = (getattr(value, one.name) for one in dataclasses.fields(value))
        return (type(value), *(described(one, found, of_a_row=of_a_row) for one in fields))
    raise NotDescribed(type(value))


def _of_row(row: Model, found: list[Model]) -> Any:
    for place, known in enumerate(found):
        if known is row:
            return (Model, place)
    found.append(row)
    attributes = {name: value for name, value in vars(row).items() if name not in OF_DJANGO}
    related = row._state.fields_cache
    return (
        *(type(row), row._state.adding),
        *(described(some, found, of_a_row=True) for some in (attributes, related)),
    )


def _is_frozen(value: Any) -> bool:
    return bool(type(value).__dataclass_params__.frozen)
