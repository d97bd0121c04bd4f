"""Versions: how a change becomes current everywhere at once.

A row that verification depends on (organization, principal, token) has a version. A verb raises the narrowest one; the
new version is owed to Redis in the same transaction and published before the answer. Locks and raises go in one order,
organization → fleet, group or application → membership or machine → principal → token by ascending key: unordered ones
deadlock. Locks are of the kind that lets others insert rows which refer to the locked one (`no_key`): those have no
order.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Protocol, TypeVar

from django.db.models import F, Model, QuerySet
from redis.commands.core import Script

from audit import outbox
from config.edge.redis import breaker, state
from config.edge.refusals import ChangedMeanwhile, Conflict

ORDER = ("organization", "principal", "token")
MOST_AT_ONCE = 1000  # rows of a statement, and keys of a call to Redis, which answers within REDIS_TIMEOUT
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
T = TypeVar("T")


def lock(row: V) -> V:
    """The row as it is now, locked until the transaction ends (on SQLite the transaction itself is the lock)."""
    return type(row)._default_manager.select_for_update(of=("self",), no_key=True).get(pk=row.pk)


def lock_all(rows: QuerySet[V]) -> list[V]:
    """The rows of a query as they are now, locked in the one order until the transaction ends."""
    return list(rows.select_for_update(of=("self",), no_key=True).order_by("pk"))


def lock_open(row: V) -> V:
    """As `lock`, of a fleet, group or application: a closing that is under way is waited for. Conflict once closed."""
    fresh: Any = lock(row)
    if fresh.closed_at:
        raise Conflict(f"This {row._meta.verbose_name} is closed.", code="owner_closed")
    return row


def claim(row: Any, **expected: Any) -> None:
    """Raise the row's version if it still has the one that was read, and these values; else Conflict."""
    here = type(row)._default_manager.filter(pk=row.pk, version=row.version, **expected)
    if not here.update(version=F("version") + 1):
        raise ChangedMeanwhile
    row.version += 1
    _owe(row)


def raise_(*rows: Any) -> None:
    """Raise the versions of rows whatever they are, in the one order."""
    for row in sorted(rows, key=lambda row: (ORDER.index(row.currency_kind), str(row.pk))):
        here = type(row)._default_manager.filter(pk=row.pk)
        here.update(version=F("version") + 1)
        row.version = here.values_list("version", flat=True).get()
        _owe(row)


def change_all(locked: Sequence[Any], **changes: Any) -> None:
    """Write the same values to many rows of one model, and raise their versions; the caller has locked all of them."""
    for some in in_parts(locked):
        here = type(some[0])._default_manager.filter(pk__in=[row.pk for row in some])
        here.update(version=F("version") + 1, **changes)
        for row in some:
            row.version += 1
            for name, value in changes.items():
                setattr(row, name, value)
        if kind := some[0].currency_kind:
            outbox.add("versions", {"versions": {key(kind, row.pk): row.version for row in some}})


def in_parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """A long list in parts that one statement, or one call to Redis, bears."""
    for start in range(0, len(rows), MOST_AT_ONCE):
        yield rows[start : start + MOST_AT_ONCE]


def _owe(row: Versioned) -> None:
    if row.currency_kind:
        outbox.add("versions", {"key": key(row.currency_kind, row.pk), "version": row.version})


def versions_in(payload: outbox.Payload) -> Mapping[str, int]:
    """What an outbox row of versions owes, by key: one version, or those of many rows."""
    many: Mapping[str, int] = payload.get("versions") or {payload["key"]: payload["version"]}
    return many


def key(kind: str, pk: object) -> str:
    """Where a row's version is kept in Redis."""
    return f"version:{kind}:{pk}"


def publish(payloads: Sequence[outbox.Payload]) -> None:
    """As `republish`, before an answer: a server that does not answer is left alone for a while, and no verb waits."""
    breaker.call(lambda: republish(payloads))


def republish(payloads: Sequence[outbox.Payload]) -> None:
    """Tell every process the new versions. An older one never replaces a newer one, in whatever order they arrive."""
    owed = [pair for payload in payloads for pair in versions_in(payload).items()]
    for some in in_parts(owed):
        _set_if_greater()(keys=[name for name, _ in some], args=[version for _, version in some])


@lru_cache(maxsize=1)
def _set_if_greater() -> Script:
    return state().register_script(SET_IF_GREATER)


def reachable() -> str | None:
    state().ping()
    return None
