"""Builds once in a process what many tests build: called again, a factory gives back the rows that it wrote.

A `@remembered` factory runs for real the first time that it is called with these arguments on a database with this
content. Called so again, by another test, the rows it wrote are inserted, the versions it published are published, and
its result and its arguments are as it left them. What a factory asks of Valkey besides, or of a worker, is not brought
back: one that does so is not remembered (make_request, make_webhook).

It holds only in tests that are rolled back, and only as long as all that was written since the test began was written
by remembered factories: any other statement that writes makes the content unknown, and what follows is built for real.
So it never gives another world than the factory would, only the same one sooner. Nor is anything remembered where the
clock is set, a request is bound, or a test replaces parts of the product.
"""

import io
import itertools
import pickle
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import time_machine
from django.conf import UserSettingsHolder, settings
from django.db import connection
from django.db.models import Model

from audit import frames
from config.edge import clock, context
from config.edge.redis import state
from fleets import currency
from tests import rows
from tests.describing import NotDescribed, described
from tokens.secret import Secret

P = ParamSpec("P")
R = TypeVar("R")
EMPTY = 0  # the content of a migrated database
LONGEST = 15.0  # seconds: what the clock is compared with (a session last seen) is hardly older than if built
MOST = 50  # new calls of one test: what builds more is building numbers, which nobody else needs
WRITTEN = re.compile(r'(?:INSERT INTO|UPDATE|DELETE FROM) "(\w+)"')
VERSIONS = "version:*"


@dataclass(frozen=True)
class Memory:
    """What one call of a factory left behind."""

    changes: Sequence[rows.Change]
    versions: dict[str, int]  # published, by key
    left: bytes  # its result and how it changed its arguments, pickled
    content: int  # of the database afterwards


@dataclass
class Building:
    """A factory that runs for real and is watched."""

    before: dict[str, rows.Table] = field(default_factory=dict)  # the tables that it wrote to, as they were
    is_clear: bool = True  # whether each of its statements was understood


factories: list[Callable[..., Any]] = []
_contents = itertools.count(EMPTY + 1)
_memories: dict[Any, Memory] = {}  # by the content before the call, and the call
_content: int | None = None  # what the database holds; None is unknown
_at_savepoint: dict[str, int | None] = {}
_building: Building | None = None
_watched = 0  # calls in this test
_since = 0.0  # when the first memory was made, as time.monotonic() tells
_is_patched: Callable[[], bool] = bool


def remembered(build: Callable[P, R]) -> Callable[P, R]:
    """A factory whose result is made of models, their secrets, and frozen dataclasses of them."""

    factories.append(build)

    @wraps(build)
    def again(*args: P.args, **kwargs: P.kwargs) -> R:
        if not _may_remember():
            return build(*args, **kwargs)
        given: list[Model] = []
        try:
            call = (_content, (build, described((args, kwargs), given)))
        except NotDescribed:
            return build(*args, **kwargs)
        memory = _memories.get(call)
        if memory is None:
            return _watch(lambda: build(*args, **kwargs), given, call)
        result: R = _recall(memory, given)
        return result

    return again


@contextmanager
def from_empty(is_patched: Callable[[], bool]) -> Iterator[None]:
    """Remember during a test whose transaction has just begun on a database that holds nothing.

    `is_patched` tells whether the test has replaced parts of the product.
    """
    global _content, _is_patched, _since, _watched  # noqa: PLW0603 (one connection, one test at a time)
    if time.monotonic() > _since + LONGEST:
        forget()
        _since = time.monotonic()
    _is_patched, _watched = is_patched, 0
    _content = EMPTY if len(connection.atomic_blocks) == 1 and rows.is_empty() else None
    _at_savepoint.clear()
    connection.execute_wrappers.append(_notice)
    try:
        yield
    finally:
        connection.execute_wrappers.remove(_notice)
        _content = None


def watched() -> int:
    """How many calls in this test were new, and ran for real."""
    return _watched


def forget(**_: object) -> None:
    """The database is another than the one that memories are about."""
    _memories.clear()


def _may_remember() -> bool:
    return (
        _content is not None
        and _building is None
        and not connection.force_debug_cursor  # somebody counts statements
        and not connection.needs_rollback
        and not frames.running()
        and not clock.ahead()
        and not time_machine.escape_hatch.is_travelling()
        and context._current.get() is None
        and not isinstance(vars(settings)["_wrapped"], UserSettingsHolder)
        and not _is_patched()
    )


def _notice(execute: Callable[..., Any], sql: str, params: Any, many: bool, about: Any) -> Any:
    """An execute wrapper: every statement of this connection comes through here."""
    global _content  # noqa: PLW0603
    if sql.startswith(("SELECT", "RELEASE")):
        pass
    elif sql.startswith("SAVEPOINT"):
        _at_savepoint[sql.rpartition(" ")[2]] = _content
    elif sql.startswith("ROLLBACK TO SAVEPOINT"):
        _content = _at_savepoint.get(sql.rpartition(" ")[2])
    elif _building is None:
        _content = None
    elif not (table := WRITTEN.match(sql)) or table[1] not in rows.primary_keys():
        _building.is_clear = False
    elif table[1] not in _building.before:
        _building.before[table[1]] = rows.read(table[1])
    return execute(sql, params, many, about)


def _watch(build: Callable[[], R], given: Sequence[Model], call: Any) -> R:
    """Build for real, and remember what it did."""
    global _building, _content, _watched  # noqa: PLW0603
    _watched += 1
    if _watched > MOST:
        _content = None
        return build()
    published = _published()
    vars_before = [_vars_of(row) for row in given]
    _building = building = Building()
    try:
        result = build()
    except BaseException:
        _content = None
        raise
    finally:
        _building = None
    _content = None
    changes = [rows.difference(table, before, rows.read(table)) for table, before in building.before.items()]
    if not building.is_clear or None in changes:
        return result
    changed = [_difference(before, _vars_of(row)) for row, before in zip(given, vars_before, strict=True)]
    memory = Memory(
        changes=[change for change in changes if change and change.rows],
        versions={key: version for key, version in _published().items() if published.get(key) != version},
        left=_pickled((result, changed), given),
        content=next(_contents),
    )
    _memories[call] = memory
    _content = memory.content
    return result


def _recall(memory: Memory, given: Sequence[Model]) -> Any:
    """Bring back what the call did, to the database, to Valkey and to its arguments."""
    global _content  # noqa: PLW0603
    rows.apply(memory.changes)
    if memory.versions:
        currency.publish([{"versions": memory.versions}])
    result, changed = _Unpickler(memory.left, given).load()
    for row, (attributes, related) in zip(given, changed, strict=True):
        vars(row).update(attributes)
        row._state.fields_cache.update(related)
    _content = memory.content
    return result


def _published() -> dict[str, int]:
    valkey: Any = state()
    keys = valkey.keys(VERSIONS)
    return dict(zip(keys, map(int, valkey.mget(keys)), strict=True)) if keys else {}


def _vars_of(row: Model) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes of a row, and the related rows that it holds."""
    attributes = {name: value for name, value in vars(row).items() if name != "_state"}
    return attributes, dict(row._state.fields_cache)


def _difference(
    before: tuple[dict[str, Any], dict[str, Any]], after: tuple[dict[str, Any], dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    missing = object()
    attributes, related = (
        {name: value for name, value in new.items() if old.get(name, missing) is not value}
        for old, new in zip(before, after, strict=True)
    )
    return attributes, related


def _pickled(left: Any, given: Sequence[Model]) -> bytes:
    """With references to the rows that came in, in their order."""
    buffer = io.BytesIO()
    _Pickler(buffer, given).dump(left)
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, given: Sequence[Model]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._places = {id(row): place for place, row in enumerate(given)}

    def persistent_id(self, value: Any) -> int | None:
        return self._places.get(id(value))

    def reducer_override(self, value: Any) -> Any:
        return (Secret, (value.reveal(),)) if isinstance(value, Secret) else NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, text: bytes, given: Sequence[Model]) -> None:
        super().__init__(io.BytesIO(text))
        self._given = given

    def persistent_load(self, place: int) -> Model:
        return self._given[place]
