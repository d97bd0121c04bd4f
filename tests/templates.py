"""A migrated database, made once a run of the tests: each of its processes begins with a copy of it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests import environment

REPOSITORY = Path(__file__).resolve().parent.parent
FILE = "tokenhouse.sqlite3"


@contextmanager
def migrated_file(valkey_url: str) -> Iterator[str]:
    """The path of an SQLite database."""
    folder = Path(tempfile.mkdtemp(prefix="th-template-"))
    try:
        _migrate(folder, valkey_url, None)
        yield str(folder / FILE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def migrated_database(valkey_url: str, postgres_url: str) -> Iterator[str]:
    """The name of a PostgreSQL database on that server."""
    name = f"tokenhouse_template_{os.getpid()}"
    with closing(psycopg.connect(postgres_url, autocommit=True)) as server:
        server.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            with tempfile.TemporaryDirectory(prefix="th-template-") as folder:
                url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
                _migrate(Path(folder), valkey_url, url)
            yield name
        finally:
            server.execute(f'DROP DATABASE "{name}"'.encode())


def _migrate(data: Path, valkey_url: str, database_url: str | None) -> None:
    settings = environment.product_settings(data, valkey_url, database_url)
    subprocess.run(
        [*(sys.executable, "manage.py", "migrate", "--verbosity", "0")],
        cwd=REPOSITORY,
        env={**environment.without_product_settings(), **settings},
        check=True,
    )
