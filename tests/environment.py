"""The environment in which tests, and the product's processes under test, run: nothing of the developer's own."""

import os
from collections.abc import Mapping
from pathlib import Path

# Read by the tests' own plumbing.
POSTGRES_URL = "TEST_DATABASE_URL"  # a server where databases may be created
VALKEY_URL = "TEST_REDIS_URL"  # a unix socket; each worker takes three logical databases
DATABASE = "TOKENHOUSE_TEST_DB"  # sqlite or postgres
TEMPLATE_FILE = "TEST_TEMPLATE_FILE"  # a migrated SQLite database to begin with
TEMPLATE_DATABASE = "TEST_TEMPLATE_DATABASE"  # the name of one on the server of TEST_DATABASE_URL

# What the product reads (config/environment.py), so that a developer's own values do not leak into tests.
OF_THE_PRODUCT = (
    *(
        "SECRET_KEY",
        "TOKENHOUSE_PEPPERS",
        "TOKENHOUSE_DATA",
        "DATABASE_URL",
        "REDIS_URL",
        "CACHE_URL",
        "STATE_URL",
    ),
    *(
        "BROKER_URL",
        "PUBLIC_URL",
        "ALLOWED_HOSTS",
        "TRUSTED_PROXIES",
        "BIND",
        "LOG_LEVEL",
        "DEBUG",
        "PORT",
        "DEMO",
    ),
    *("EMAIL_URL", "EMAIL_FROM", "METRICS_NETWORKS"),
    *("LIMIT_SIGN_IN", "LIMIT_CREDENTIALS", "LIMIT_LINKS", "LIMIT_API"),
    *("ADMIN_PASSWORD", "DJANGO_SETTINGS_MODULE", "SQLITE_SYNCHRONOUS", "MAKELEVEL", "MAKEFLAGS"),
)


# Tests come from one address, and walks knock on every door: what is counted by address has tests of its own.
UNLIMITED = dict.fromkeys(
    ("LIMIT_SIGN_IN", "LIMIT_CREDENTIALS", "LIMIT_LINKS", "LIMIT_API"), "1000000/second"
)


def uses_postgres() -> bool:
    return os.environ.get(DATABASE, "sqlite") == "postgres"


def template() -> str | None:
    """The migrated database that this process's begins as a copy of."""
    return os.environ.get(TEMPLATE_DATABASE if uses_postgres() else TEMPLATE_FILE)


def without_product_settings() -> dict[str, str]:
    """This process's environment as a person's shell would have it."""
    return {name: value for name, value in os.environ.items() if name not in OF_THE_PRODUCT}


def product_settings(data: Path, redis_url: str, database_url: str | None) -> Mapping[str, str]:
    """What the settings read, in one process that runs tests."""
    settings = {
        "TOKENHOUSE_DATA": str(data),
        "SECRET_KEY": "only-for-tests-" + "s" * 50,
        "TOKENHOUSE_PEPPERS": f"1:{'1a' * 32},2:{'2b' * 32}",
        "REDIS_URL": redis_url,
        "SQLITE_SYNCHRONOUS": "OFF",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        **UNLIMITED,
    }
    return settings | ({"DATABASE_URL": database_url} if database_url else {})
