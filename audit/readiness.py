"""What `/readyz` and the system checks ask of the database: reachable, migrated, its triggers in place."""

from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from audit import triggers
from config.edge import health

# a process asks once: migrations are never taken back under a running server
_seen_migrated: list[bool] = []
