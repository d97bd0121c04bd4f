"""Fixtures that every test may use: databases, Valkey, the product as a running process, a browser."""

import functools
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection, connections
from django.db.models.signals import post_migrate
from redis import Redis

from audit import triggers
from config.edge.redis import breaker
from tests import environment, plugin, remembering
from tests.servers.browser import find_chromium
from tests.servers.house import House
from tests.servers.postgres import Postgres
from tests.servers.valkey import Valkey

hypothesis.settings.register_profile("suite", deadline=None)  # a busy machine is no failure
hypothesis.settings.register_profile("soak", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("soak" if "SOAK_ROUNDS" in os.environ else "suite")

FLUSH = "for _, number in ipairs(ARGV) do redis.call('SELECT', number) redis.call('FLUSHDB') end"


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """The test database is the one the environment names: processes that a test starts then use the same.

    It begins as a copy of the template, where there is one (tests/run.py); what is missing is migrated then.
    """
    database = connections["default"].settings_dict
    database["TEST"]["NAME"] = database["NAME"]
    if template := environment.template():
        if environment.uses_postgres():
            database["TEST"]["TEMPLATE"] = template
        else:
            shutil.copyfile(template, database["NAME"])


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """SQLite's file is there already where it is a copy; it goes with its folder."""
    return environment.template() is not None and not environment.uses_postgres()


@pytest.fixture(scope="session", autouse=True)
def _memories_of_one_database() -> None:
    """Emptying numbers content types and permissions anew."""
    post_migrate.connect(remembering.forget, weak=False)


@pytest.fixture(scope="session", autouse=True)
def _passwords_are_digested_quickly() -> None:
    """By the product's own hasher, in fewer of its rounds: no test in this process is about how long they take."""
    PBKDF2PasswordHasher.iterations = 1000


@pytest.fixture(scope="session", autouse=True)
def _static_files_looked_up_when_asked_for() -> None:
    """Each test's client builds the middleware anew, and whitenoise would list every static file each time."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def _emptied_despite_triggers(request: pytest.FixtureRequest) -> Iterator[None]:
    """SQLite empties tables by DELETE, which the append-only triggers refuse: drop them just before.

    Emptying sends post_migrate, which installs them again.
    """
    is_transactional = _commits(request)
    if is_transactional:
        request.getfixturevalue("transactional_db")  # torn down after this fixture
    yield
    if is_transactional and connection.vendor == "sqlite":
        triggers.remove()


@pytest.fixture(autouse=True)
def _empty_valkey(request: pytest.FixtureRequest) -> None:
    """Counters, versions and cached records of the test before are gone. Pure tests do not ask for it."""
    if _has_database(request):
        urls = (settings.REDIS.cache, settings.REDIS.state, settings.REDIS.broker)
        _valkey_client(urls[0]).eval(FLUSH, 0, *(url.rpartition("db=")[2] for url in urls))


@pytest.fixture(autouse=True)
def _remembering(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _empty_valkey: None
) -> Iterator[None]:
    """Factories bring back what they have built before, unless the test replaces or breaks parts of the product."""
    breaks = request.node.get_closest_marker("fault") is not None
    if breaks or _commits(request) or not _has_database(request):
        yield
        return
    request.getfixturevalue("db")
    with remembering.from_empty(lambda: bool(monkeypatch._setattr or monkeypatch._setitem)):
        yield


def _has_database(request: pytest.FixtureRequest) -> bool:
    return bool(
        {"db", "transactional_db", "live_server"} & set(request.fixturenames)
        or request.node.get_closest_marker("django_db")
    )


def _commits(request: pytest.FixtureRequest) -> bool:
    marker = request.node.get_closest_marker("django_db")
    return bool(
        {"transactional_db", "live_server"} & set(request.fixturenames)
        or (marker is not None and marker.kwargs.get("transaction"))
    )


@functools.cache
def _valkey_client(url: str) -> Any:
    return Redis.from_url(url)


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """The server behind REDIS_URL, for tests that stop or pause it. It runs again afterwards."""
    server = plugin.owned_valkey
    if server is None:
        pytest.fail("a test that stops Valkey needs its own: run it without -n and without TEST_REDIS_URL")
    yield server
    server.stop()
    server.start()
    breaker.reset()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """The server behind DATABASE_URL, for tests that stop it. It runs again afterwards."""
    server = plugin.owned_postgres
    if server is None:
        pytest.skip("needs a PostgreSQL of its own: TOKENHOUSE_TEST_DB=postgres without TEST_DATABASE_URL")
    yield server
    server.stop()
    server.start()


@pytest.fixture(scope="session")
def rounds() -> int:
    """How often a race is run: a few times in `make test`, many in `make soak`."""
    return int(os.environ.get("SOAK_ROUNDS", "3"))


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Randomness that SOAK_SEED repeats, different in each test."""
    return random.Random(f"{os.environ.get('SOAK_SEED', '0')} {request.node.nodeid}")


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The whole product, as `make run` starts it, with the demo organization. Shared: a test leaves it usable."""
    with House(tmp_path_factory.mktemp("house")) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """pytest-playwright drives the system's Chromium, which asks nobody outside this machine for anything."""
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    quiet += ["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    return browser_type_launch_args | {"executable_path": find_chromium(), "args": quiet + as_root}


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parent.parent
