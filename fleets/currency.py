"""Versions: how a change becomes current everywhere at once.

A row that verification depends on (organization, principal, token) has a version. A verb raises the narrowest one; the
new version is owed to Redis in the same transaction and published before the answer. Locks and raises go in one order,
organization → membership or machine → principal → token by ascending key: unordered ones deadlock. Locks are of the
kind that lets others insert rows which refer to the locked one (`no_key`): those have no order.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Protocol, TypeVar

from django.db.models import F, Model
from redis.commands.core import Script

from audit import outbox
from config.edge.redis import state
from config.edge.refusals import Conflict

ORDER = ("organization", "principal", "token")
SET_IF_GREATER = """
for i, key in ipairs(KEYS) do
  if tonumber(ARGV[i]) > tonumber(redis.call('GET', key) or '0') then redis.call('SET', key, ARGV[i]) end
end
"""


class Versioned(Protocol):
    """A row with a version. `currency_kind` is empty where only readers' ETags depend on it."""

    currency_kind: ClassVar[str]
    pk: Any
    version: int


V = TypeVar("V", bound=Model)


def lock(row: V) -> V:
    """The row as it is now, locked until the transaction ends (on SQLite the transaction itself is the lock)."""
    return type(row)._default_manager.select_for_update(of=("self",), no_key=True).get(pk=row.pk)


def claim(row: Any, **expected: Any) -> None:
    """Raise the row's version if it still has the one that was read, and these values; else Conflict."""
    here = type(row)._default_manager.filter(pk=row.pk, version=row.version, **expected)
    if not here.update(version=F("version") + 1):
        raise Conflict("It was changed meanwhile. Read it again, then decide.")
    row.version += 1
    _owe(row)


def raise_(*rows: Any) -> None:
    """Raise the versions of rows whatever they are, in the one order."""
    for row in sorted(rows, key=lambda row: (ORDER.index(row.currency_kind), str(row.pk))):
        here = type(row)._default_manager.filter(pk=row.pk)
        here.update(version=F("version") + 1)
        row.version = here.values_list("version", flat=True).get()
        _owe(row)


def _owe(row: Versioned) -> None:
    if row.currency_kind:
        outbox.add("versions", {"key": key(row.currency_kind, row.pk), "version": row.version})


def key(kind: str, pk: object) -> str:
    """Where a row's version is kept in Redis."""
    return f"version:{kind}:{pk}"


def publish(payloads: Sequence[outbox.Payload]) -> None:
    """Tell every process the new versions. An older one never replaces a newer one, in whatever order they arrive."""
    _set_if_greater()(
        keys=[payload["key"] for payload in payloads], args=[payload["version"] for payload in payloads]
    )


@lru_cache(maxsize=1)
def _set_if_greater() -> Script:
    return state().register_script(SET_IF_GREATER)


def reachable() -> str | None:
    state().ping()
    return None
