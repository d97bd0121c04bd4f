"""Loaded by pytest before Django's settings are: starts the servers and sets the environment of this process.

With pytest-xdist the controlling process starts the servers and the workers share them, each with a database and a
range of logical Valkey databases of its own.
"""

import gc
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests import environment
from tests.servers.postgres import Postgres
from tests.servers.valkey import RANGE, Valkey

SECRET = re.compile(r"(?<=th[pfgoat]_)[0-9A-Za-z]{16}_[0-9A-Za-z]{6,}")
# The servers that this very process started, which a fault test may stop.
owned_valkey: Valkey | None = None
owned_postgres: Postgres | None = None
_data: Path | None = None


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Iterator[None]:
    """Wraps, and so comes before, the hook in which pytest-django loads the settings."""
    _prepare()
    try:
        yield
    except BaseException:  # settings that do not load: nobody will call pytest_unconfigure
        _clean_up()
        raise


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a case without the secret in it: made anew in each process, it would be another test in each worker."""
    if isinstance(val, str) and SECRET.search(val):
        return SECRET.sub("[secret]", val).encode("unicode_escape").decode("ascii")
    return None


def pytest_collection_finish() -> None:
    """What is there now stays to the end: no later collection of garbage need look at it again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    _clean_up()


def _clean_up() -> None:
    for server in (owned_valkey, owned_postgres):
        if server:
            server.remove()
    if _data:
        shutil.rmtree(_data, ignore_errors=True)


def worker_number() -> int:
    """0 in the controlling process and in its first worker."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def _prepare() -> None:
    global _data, owned_postgres, owned_valkey  # noqa: PLW0603 (one process, one run)
    if environment.VALKEY_URL not in os.environ:
        owned_valkey = Valkey().start()
        os.environ[environment.VALKEY_URL] = owned_valkey.url()
    if environment.uses_postgres() and environment.POSTGRES_URL not in os.environ:
        owned_postgres = Postgres().start()
        os.environ[environment.POSTGRES_URL] = owned_postgres.url()
    _data = Path(tempfile.mkdtemp(prefix="th-tests-"))
    database_url = (
        _own_database(os.environ[environment.POSTGRES_URL]) if environment.uses_postgres() else None
    )
    settings = environment.product_settings(
        _data, _own_range(os.environ[environment.VALKEY_URL]), database_url
    )
    for name in environment.OF_THE_PRODUCT:
        os.environ.pop(name, None)
    os.environ.update(settings)


def _own_range(url: str) -> str:
    return f"{url.partition('?')[0]}?db={RANGE * worker_number()}"


def _own_database(url: str) -> str:
    """A name that no other worker and no other run on the same server uses."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:8]
    return urlunsplit(urlsplit(url)._replace(path=f"/tokenhouse_{run}_{worker_number()}"))
