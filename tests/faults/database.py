"""What is in the database, row by row, and faults that are made inside of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import connection


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table: equal before and after a change that did not happen."""
    return {
        model._meta.db_table: [tuple(row) for row in model._base_manager.order_by("pk").values_list()]
        for model in apps.get_models()
    }


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
