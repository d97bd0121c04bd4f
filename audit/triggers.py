"""Database triggers that hold even against our own code, on both databases.

Installed after every `migrate`: on SQLite a later change of a column remakes its table and drops the triggers
silently. A system check and `/readyz` say when one is missing.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper


@dataclass(frozen=True)
class Trigger:
    """Refuses `event` (UPDATE or DELETE) of a row of `table`, where `when` holds of OLD and NEW."""

    name: str
    table: str
    event: str
    message: str
    when: str = ""


_triggers: list[Trigger] = []


def register(*triggers: Trigger) -> None:
    _triggers.extend(trigger for trigger in triggers if trigger not in _triggers)


def install(**_signal: Any) -> None:
    """Install every registered trigger whose table exists; a second time changes nothing."""
    with transaction.atomic(), connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for trigger in _triggers:
            if trigger.table in tables:
                _create(cursor, trigger)


def remove() -> None:
    """Drop them. Only tests do this, to empty the tables between each other."""
    with transaction.atomic(), connection.cursor() as cursor:
        for trigger in _triggers:
            _drop(cursor, trigger)


def missing() -> list[str]:
    """The names of registered triggers that the database does not have."""
    if connection.vendor == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    else:
        query = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"
    with connection.cursor() as cursor:
        cursor.execute(query)
        present = {row[0] for row in cursor.fetchall()}
    return [trigger.name for trigger in _triggers if trigger.name not in present]


def _drop(cursor: CursorWrapper, trigger: Trigger) -> None:
    suffix = f" ON {trigger.table}" if connection.vendor == "postgresql" else ""
    cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name}{suffix}")


def _create(cursor: CursorWrapper, trigger: Trigger) -> None:
    _drop(cursor, trigger)
    when = f"WHEN ({trigger.when})" if trigger.when else ""
    if connection.vendor == "sqlite":
        cursor.execute(
            f"CREATE TRIGGER {trigger.name} BEFORE {trigger.event} ON {trigger.table} {when} "
            f"BEGIN SELECT RAISE(ABORT, '{trigger.message}'); END"
        )
        return
    cursor.execute(
        f"CREATE OR REPLACE FUNCTION {trigger.name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{trigger.message}'; END $$"
    )
    cursor.execute(
        f"CREATE TRIGGER {trigger.name} BEFORE {trigger.event} ON {trigger.table} "
        f"FOR EACH ROW {when} EXECUTE FUNCTION {trigger.name}()"
    )
