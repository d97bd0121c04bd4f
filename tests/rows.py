"""The raw rows of tables, as the database stores them: read, compared, and written back."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connection

Row = Any  # PostgreSQL: the row as JSON text; SQLite: a tuple of its stored values
Table = dict[Any, Row]  # by primary key, in the order in which they are stored


@dataclass(frozen=True)
class Change:
    """Rows that were added to a table, or changed in it."""

    table: str
    rows: Sequence[Row]
    replaces: bool  # whether some were there before


@cache
def primary_keys() -> dict[str, str]:
    """The column of each table's primary key."""
    models = apps.get_models(include_auto_created=True)
    return {model._meta.db_table: str(model._meta.pk.column) for model in models if model._meta.managed}


def is_empty() -> bool:
    """Whether the database is as its migrations left it."""
    tables = ("fleets_user", "fleets_organization", "audit_event")
    exist = " OR ".join(f"EXISTS (SELECT 1 FROM {table})" for table in tables)  # noqa: S608
    with closing(connection.connection.cursor()) as cursor:
        return not cursor.execute(f"SELECT {exist}").fetchone()[0]


def read(table: str) -> Table:
    """All rows. Unseen by who watches or counts Django's statements."""
    with closing(connection.connection.cursor()) as cursor:
        if _is_postgres():
            found = cursor.execute(
                f'SELECT "{primary_keys()[table]}"::text, to_jsonb(t)::text FROM "{table}" t'  # noqa: S608
            ).fetchall()
            return dict(found)
        # with a sign before it a column is an expression, whose stored value nothing converts
        columns = ", ".join(f'+"{column}"' for column in _columns(table))
        place = _columns(table).index(primary_keys()[table])
        rows = cursor.execute(f'SELECT {columns} FROM "{table}" ORDER BY rowid').fetchall()  # noqa: S608
        return {row[place]: row for row in rows}


def difference(table: str, before: Table, after: Table) -> Change | None:
    """What was added or changed; None where rows are gone, which no `Change` can tell."""
    if not before.keys() <= after.keys():
        return None
    changed = [row for key, row in after.items() if before.get(key) != row]
    return Change(table, changed, replaces=len(after) - len(before) < len(changed))


def apply(changes: Sequence[Change]) -> None:
    """Write rows back. Foreign keys wait for the transaction's end, so tables may come in any order."""
    with closing(connection.connection.cursor()) as cursor:
        if _is_postgres():
            if changes:
                parts = ", ".join(
                    f"c{number} AS ({_insertion(change)})" for number, change in enumerate(changes)
                )
                cursor.execute(f"WITH {parts} SELECT 1", [_as_list(change) for change in changes])
        else:
            for change in changes:
                cursor.executemany(_insertion(change), change.rows)


def _insertion(change: Change) -> str:
    columns = _columns(change.table)
    if _is_postgres():
        source = f'SELECT * FROM jsonb_populate_recordset(NULL::"{change.table}", %s::jsonb)'  # noqa: S608
    else:
        source = f"VALUES ({', '.join('?' * len(columns))})"
    insertion = f'INSERT INTO "{change.table}" {source}'
    if change.replaces:
        setting = ", ".join(f'"{column}" = excluded."{column}"' for column in columns)
        insertion += f' ON CONFLICT ("{primary_keys()[change.table]}") DO UPDATE SET {setting}'
    return insertion


def _as_list(change: Change) -> str:
    return f"[{','.join(change.rows)}]"


@cache
def _columns(table: str) -> list[str]:
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(f'SELECT * FROM "{table}" LIMIT 0')  # noqa: S608
        return [column[0] for column in cursor.description]


def _is_postgres() -> bool:
    return connection.vendor == "postgresql"
