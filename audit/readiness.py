"""What `/readyz` and the system checks ask of the database: reachable, migrated, its triggers in place."""

from datetime import datetime, timedelta
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from audit import triggers
from audit.models import OutboxRow
from audit.webhooks import delivering
from config.edge import health
from config.edge.clock import now

# a process asks once: migrations are never taken back under a running server
_seen_migrated: list[bool] = []


def register() -> None:
    health.register("database", database)
    health.register("migrations", migrations)
    health.register("triggers", missing_triggers)
    health.register_due("outbox", oldest_owed, may_wait=timedelta(minutes=5))
    health.register_due("webhooks", delivering.oldest_due, may_wait=timedelta(minutes=5))


def oldest_owed() -> datetime | None:
    """Of the effects that are due, since when the oldest is."""
    due = OutboxRow.objects.filter(due_at__lte=now(), dead_at=None).order_by("due_at")
    return due.values_list("due_at", flat=True).first()


def database() -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return None


def migrations() -> str | None:
    if not _seen_migrated:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "not applied: run `manage.py migrate`"
        _seen_migrated.append(True)
    return None


def missing_triggers() -> str | None:
    names = triggers.missing()
    return f"missing: {', '.join(names)}; run `manage.py migrate`" if names else None


def check_triggers(*, databases: list[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Tokenhouse.E010: a trigger is gone. Silent before the first migration, when there is no table yet."""
    if not databases or "audit_event" not in connection.introspection.table_names():
        return []
    problem = missing_triggers()
    if problem is None or migrations() is not None:
        return []
    return [Error(f"Database triggers are {problem}.", hint="Run `manage.py migrate`.", id="tokenhouse.E010")]
