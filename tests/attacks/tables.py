"""What the tables hold: that an attack left nothing in them, and that the next one finds them as this one did."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.apps import apps
from django.db import connection, transaction

from audit.models import Event

Attempt = Callable[[str], AbstractContextManager[None]]


@contextmanager
def undone() -> Iterator[None]:
    """What is done inside is not done afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@contextmanager
def nothing_changes() -> Iterator[None]:
    """No row of any table is another afterwards, but for uses and denials in the trail."""
    before = contents()
    yield
    after = contents()
    assert [name for name in before if before[name] != after[name]] == []


WRITTEN_BY_USES = {"last_used_at", "last_used_address", "last_login"}


def contents() -> dict[str, list[tuple[Any, ...]]]:
    """Each table as the database holds it: hundreds of tests ask, so nothing is made of the values."""
    found = {}
    with connection.cursor() as cursor:
        for name, sql, params in _questions():
            cursor.execute(sql, params)
            found[name] = cursor.fetchall()
    return found


@functools.cache
def _questions() -> list[tuple[str, str, tuple[Any, ...]]]:
    """The name of each table, and how its rows are asked for."""
    asked = []
    for model in apps.get_models():
        if model._meta.label_lower in {"sessions.session", "fleets.signedinsession", "audit.outboxrow"}:
            continue
        rows = model._default_manager.order_by("pk")
        if model is Event:
            rows = rows.filter(outcome="allowed").exclude(action__in=["token.used", "session.started"])
        columns = [
            field.attname for field in model._meta.concrete_fields if field.attname not in WRITTEN_BY_USES
        ]
        asked.append((model._meta.label_lower, *rows.values_list(*columns).query.sql_with_params()))
    return asked
