"""What is in the database, row by row, and faults that are made inside of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Model, QuerySet

from audit.actions import Action
from audit.models import Event
from tokens.models import Token, TokenSecret

LAST_USE = {"last_used_at", "last_used_address"}


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table: equal before and after a change that did not happen."""
    return {
        model._meta.db_table: [tuple(row) for row in model._base_manager.order_by("pk").values_list()]
        for model in apps.get_models()
    }


def everything_but_uses() -> dict[str, list[tuple[Any, ...]]]:
    """`everything`, without that tokens were used: true of a call too whose change did not happen."""
    uses = {
        Event._meta.db_table: Event.objects.exclude(action=Action.TOKEN_USED).order_by("pk").values_list(),
        **{model._meta.db_table: _without_last_use(model) for model in (Token, TokenSecret)},
    }
    return everything() | {table: [tuple(row) for row in rows] for table, rows in uses.items()}


def uses() -> set[tuple[str, Any, Any]]:
    """What tells that tokens were used: table, key of the row, and when. One use is new in each table at most once."""
    told = {
        Event._meta.db_table: Event.objects.filter(action=Action.TOKEN_USED).values_list("pk", "at"),
        **{
            model._meta.db_table: model._base_manager.exclude(last_used_at=None).values_list(
                "pk", "last_used_at"
            )
            for model in (Token, TokenSecret)
        },
    }
    return {(table, key, at) for table, rows in told.items() for key, at in rows}


def _without_last_use(model: type[Model]) -> QuerySet[Any, tuple[Any, ...]]:
    kept = [field.attname for field in model._meta.concrete_fields if field.name not in LAST_USE]
    return model._base_manager.order_by("pk").values_list(*kept)


@contextmanager
def inserts_killed(table: str, error: str = "P0001") -> Iterator[None]:
    """Let every insert into the table fail; on PostgreSQL with this SQLSTATE."""
    _execute(*_killers(table, error))
    try:
        yield
    finally:
        suffix = f" ON {table}" if connection.vendor == "postgresql" else ""
        _execute(f"DROP TRIGGER kill_inserts{suffix}")


def _killers(table: str, error: str) -> list[str]:
    if connection.vendor == "sqlite":
        return [
            f"CREATE TRIGGER kill_inserts BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'killed'); END"
        ]
    body = f"BEGIN RAISE EXCEPTION 'killed' USING ERRCODE = '{error}'; END"
    return [
        f"CREATE OR REPLACE FUNCTION kill_inserts() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        f"CREATE TRIGGER kill_inserts BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION kill_inserts()",
    ]


def _execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
