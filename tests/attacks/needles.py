"""Finds a secret in whatever form it was left behind, and reads the places where one could be."""

import base64
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from redis import Redis
from redis.exceptions import ResponseError


def forms(secret: str) -> dict[str, bytes]:
    """The secret and each half of its random part, as they stand in plain, encoded and reversed text."""
    found: dict[str, bytes] = {}
    for name, text in {"whole": secret, "first half": secret[21:37], "second half": secret[37:53]}.items():
        raw = text.encode()
        found[f"{name}, plain"] = raw
        found[f"{name}, reversed"] = raw[::-1]
        found[f"{name}, hex"] = raw.hex().encode()
        found[f"{name}, upper-case hex"] = raw.hex().upper().encode()
        found[f"{name}, percent-encoded"] = "".join(f"%{byte:02X}" for byte in raw).encode()
        found[f"{name}, URL-quoted"] = quote(text, safe="").encode()
        found[f"{name}, UTF-16"] = text.encode("utf-16-le")
        for shift in range(3):  # base64 of a longer text that holds it, wherever it begins
            encoded = base64.b64encode(b"\0" * shift + raw)
            found[f"{name}, base64 {shift}"] = encoded[(shift * 8 + 5) // 6 : len(encoded) - 4]
    return found


def hits(secrets: Iterable[str], sinks: dict[str, bytes]) -> list[str]:
    """Which secret stands where, and how it is written there."""
    return [
        f"{name} holds secret {number} ({form})"
        for number, secret in enumerate(secrets)
        for form, needle in forms(secret).items()
        for name, content in sinks.items()
        if needle in content
    ]


def database() -> dict[str, bytes]:
    """Every value of every table, and on SQLite the bytes of its files too.

    Another process reads those: in this one, closing a file that SQLite has open too would end SQLite's locks on it.
    """
    found: dict[str, bytes] = {}
    quoted = connection.ops.quote_name
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {quoted(table)}")  # noqa: S608 (names of our own tables)
            found[f"table {table}"] = b"\n".join(
                _as_bytes(value) for row in cursor.fetchall() for value in row
            )
    if connection.vendor == "sqlite":
        file = Path(str(connection.settings_dict["NAME"]))
        for path in (file, file.with_name(f"{file.name}-wal")):
            if path.exists():
                read = subprocess.run(["cat", path], capture_output=True, check=True)
                found[f"file {path.name}"] = read.stdout
    return found


def sessions() -> dict[str, bytes]:
    """Sessions are stored signed, and compressed where they are long: what they say once opened."""
    rows: Any = Session.objects.all()
    return {f"session {row.pk[:6]}": json.dumps(row.get_decoded()).encode() for row in rows}


def valkey() -> dict[str, bytes]:
    """Every key and every value of all logical databases of the server."""
    found: dict[str, bytes] = {}
    first: Any = Redis.from_url(settings.REDIS.cache)
    for name in first.info("keyspace"):  # those that hold a key, as db0
        number = int(name.removeprefix("db"))
        client: Any = Redis.from_url(settings.REDIS.cache.partition("?")[0], db=number)
        for key in client.scan_iter(count=1000):
            found[f"valkey {number} {key!r}"] = key + b"\n" + _value(client, key)
        client.close()
    first.close()
    return found


def everything() -> dict[str, bytes]:
    assert len(list(apps.get_models())) > 15
    return database() | sessions() | valkey()


def _value(client: Any, key: bytes) -> bytes:
    readers: dict[bytes, Callable[[], list[bytes]]] = {
        b"none": list,  # gone since it was listed: another worker empties its own databases
        b"string": lambda: [client.get(key)],
        b"hash": lambda: [part for pair in client.hgetall(key).items() for part in pair],
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: list(client.smembers(key)),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"stream": lambda: [
            part for _, fields in client.xrange(key) for pair in fields.items() for part in pair
        ],
    }
    try:
        return b"\n".join(part or b"" for part in readers[client.type(key)]())
    except ResponseError:  # replaced by a value of another type in between
        return b""


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, memoryview | bytes):
        return bytes(value)
    if isinstance(value, dict | list):
        return json.dumps(value).encode()
    return str(value).encode("utf-8", "surrogatepass")


def exceptions(error: BaseException | None) -> Iterator[bytes]:
    """An exception and what stands behind it, as a log would write them."""
    while error is not None:
        yield f"{error!s} {error!r} {error.args!r} {vars(error)!r}".encode("utf-8", "replace")
        error = error.__cause__ or error.__context__
