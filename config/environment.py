"""Reads the environment, and <data folder>/settings.env beneath it: names, defaults, types and what each is for."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from config.edge.written_rates import parse_rate

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Setting:
    """One variable of the environment: `docs/settings.md` is made of these."""

    name: str
    default: str | None  # None: required
    purpose: str


SETTINGS = (
    Setting(
        "TOKENHOUSE_DATA",
        str(REPOSITORY / "var"),
        "Folder of the embedded database, generated secrets and logs.",
    ),
    Setting("SECRET_KEY", None, "Signs sessions and CSRF tokens. `make run` generates one."),
    Setting(
        "TOKENHOUSE_PEPPERS",
        None,
        "Keys that digest token secrets, `number:hex[,number:hex]`, 32 bytes each; the highest number is used for new "
        "secrets, the others stay readable. `make run` generates one.",
    ),
    Setting("DATABASE_URL", "", "`postgres://…`; empty is a SQLite file in the data folder."),
    Setting(
        "REDIS_URL",
        "redis://127.0.0.1:6379/0",
        "Redis or Valkey: cache, state and broker take this database and the two after it.",
    ),
    Setting("CACHE_URL", "", "Overrides the database derived from REDIS_URL for Django's cache."),
    Setting("STATE_URL", "", "Overrides the one for versions and counters."),
    Setting("BROKER_URL", "", "Overrides the one for Celery's broker."),
    Setting(
        "PUBLIC_URL",
        "http://127.0.0.1:8000",
        "Where people and clients reach Tokenhouse; https turns on secure cookies and HSTS.",
    ),
    Setting(
        "ALLOWED_HOSTS", "", "Host names that are answered; empty is the host of PUBLIC_URL and loopback."
    ),
    Setting("BIND", "127.0.0.1", "Address that the web server listens on."),
    Setting(
        "TRUSTED_PROXIES",
        "",
        "Networks of proxies whose X-Forwarded-For and -Proto are believed; none by default.",
    ),
    Setting(
        "OUTGOING_NETWORKS",
        "",
        "Internal networks that webhooks may be sent to, over http and to any port too; none by default.",
    ),
    Setting(
        "METRICS_NETWORKS",
        "127.0.0.0/8,::1/128",
        "Networks whose clients may read /metrics; for others there is nothing. Loopback by default; a proxy on this "
        "host must be named in TRUSTED_PROXIES, so that its clients are not taken for it.",
    ),
    Setting(
        "EMAIL_URL",
        "consolemail://",
        "Server that takes mail: `smtp+tls://user:password@host:587`, `smtp+ssl://…`, `smtp://host:25`. The default "
        "writes mail, with the links in it, into the worker's log: for trying out only.",
    ),
    Setting("EMAIL_FROM", "Tokenhouse <tokenhouse@localhost>", "Sender of mail."),
    Setting(
        "LIMIT_SIGN_IN",
        "60/minute",
        "Passwords that one address may try, `N/second`, `N/minute`, `N/hour` or `N/day`, as the three that follow. "
        "An IPv6 address is counted with its /64.",
    ),
    Setting(
        "LIMIT_CREDENTIALS",
        "100/minute",
        "Credentials that are no token's: what one address sends beyond is answered 429. Never refuses a token.",
    ),
    Setting(
        "LIMIT_LINKS",
        "60/minute",
        "Links of invitations and password resets that one address may open; and of approvals, by who is not signed in "
        "or not shown them.",
    ),
    Setting(
        "LIMIT_API",
        "1200/minute",
        "API requests without a token: of each signed-in person, and of each address for strangers.",
    ),
    Setting("LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR."),
    Setting(
        "SQLITE_SYNCHRONOUS",
        "FULL",
        "FULL, NORMAL or OFF: when SQLite waits for the disk. Only FULL keeps what was committed when the power goes: "
        "the others are for tests.",
    ),
    Setting("DEBUG", "false", "Django's debug pages. Never on a public address."),
)
DATABASES = ("django.db.backends.postgresql", "django.db.backends.sqlite3")
_BY_NAME = {setting.name: setting for setting in SETTINGS}


class Environment:
    """Typed look-ups that explain themselves when a value is missing or malformed."""

    def __init__(self) -> None:
        self._env = environ.Env()
        file = self.path("TOKENHOUSE_DATA") / "settings.env"
        if file.is_file():
            environ.Env.read_env(str(file), overwrite=False)

    def text(self, name: str) -> str:
        default = _BY_NAME[name].default
        value: str | None = os.environ.get(name, default)
        if value is None or (default is None and not value):
            raise ImproperlyConfigured(
                f"{name} is not set. {_BY_NAME[name].purpose} Run `make run` once, or export {name}."
            )
        return value

    def flag(self, name: str) -> bool:
        value = self.text(name).lower()
        if value not in {"1", "0", "true", "false", "yes", "no", "on", "off"}:
            raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
        return value in {"1", "true", "yes", "on"}

    def level(self, name: str) -> str:
        """How grave a log line must be to be written."""
        return self._one_of(name, ("DEBUG", "INFO", "WARNING", "ERROR"))

    def _one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """In capitals, however it was written."""
        value = self.text(name).upper()
        if value not in choices:
            raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
        return value

    def words(self, name: str) -> list[str]:
        return [item.strip() for item in self.text(name).split(",") if item.strip()]

    def rate(self, name: str) -> tuple[int, int]:
        """How many in how many seconds."""
        try:
            return parse_rate(self.text(name))
        except ValueError as error:
            raise ImproperlyConfigured(f"{name} must read {error}") from None

    def path(self, name: str) -> Path:
        return Path(self.text(name)).expanduser().resolve()

    def hosts_of(self, url: str) -> list[str]:
        return sorted({urlsplit(url).hostname or "", "localhost", "127.0.0.1", "[::1]"} - {""})

    def email(self, name: str) -> dict[str, Any]:
        """Django's EMAIL_* settings."""
        try:
            config: dict[str, Any] = dict(environ.Env.email_url_config(self.text(name)))
        except (ImproperlyConfigured, ValueError):
            raise ImproperlyConfigured(
                f"{name} must be an address such as smtp+tls://user:password@host:587."
            ) from None
        config.pop("OPTIONS", None)
        usual_port = 587 if config.get("EMAIL_USE_TLS") else 465 if config.get("EMAIL_USE_SSL") else 25
        return config | {"EMAIL_PORT": config["EMAIL_PORT"] or usual_port}

    def peppers(self, name: str) -> dict[int, bytes]:
        """{number: key} of `1:hex,2:hex`."""
        try:
            pairs = [item.split(":", 1) for item in self.words(name)]
            peppers = {int(number): bytes.fromhex(key) for number, key in pairs}
        except ValueError:
            raise ImproperlyConfigured(f"{name} must read number:hex[,number:hex].") from None
        if not peppers or len(peppers) != len(pairs) or min(peppers) < 1:
            raise ImproperlyConfigured(f"{name} must name at least one pepper, each number once, from 1.")
        return peppers

    def database(self, data: Path) -> dict[str, Any]:
        """Django's DATABASES entry: PostgreSQL by DATABASE_URL, else SQLite with settings that survive a power cut."""
        url = self.text("DATABASE_URL")
        embedded = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(data / "tokenhouse.sqlite3")}
        config: dict[str, Any] = _database_of(url) if url else embedded
        options = config.setdefault("OPTIONS", {})
        if config["ENGINE"].endswith("sqlite3"):
            synchronous = self._one_of("SQLITE_SYNCHRONOUS", ("FULL", "NORMAL", "OFF"))
            options["transaction_mode"] = "IMMEDIATE"
            options["timeout"] = 10  # seconds
            options["init_command"] = (
                f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA foreign_keys=ON;"
            )
        else:
            options.setdefault("connect_timeout", 5)
            config["CONN_HEALTH_CHECKS"] = True
        config["CONN_MAX_AGE"] = None if url else 0
        config["ATOMIC_REQUESTS"] = False
        return config


def _database_of(url: str) -> dict[str, Any]:
    """What DATABASE_URL says. A refusal does not repeat it, since it may hold a password."""
    try:
        if environ.Env.DB_SCHEMES.get(url.partition(":")[0]) in DATABASES:
            config: dict[str, Any] = dict(environ.Env.db_url_config(url))
            if config["NAME"]:
                return config
    except (ImproperlyConfigured, ValueError):
        pass  # as malformed as the others
    raise ImproperlyConfigured(
        "DATABASE_URL must be an address such as postgres://user:password@host:5432/name."
    )


@dataclass(frozen=True)
class RedisDatabases:
    """Addresses of the three logical databases."""

    cache: str
    state: str
    broker: str

    @property
    def celery_broker(self) -> str:
        """The broker's address as kombu writes it: redis+socket://…?virtual_host=n for a unix socket."""
        parts = urlsplit(self.broker)
        if parts.scheme != "unix":
            return self.broker
        query = dict(parse_qsl(parts.query))
        return f"redis+socket://{unquote(parts.path)}?virtual_host={query.get('db', '0')}"


def redis_databases(env: Environment) -> RedisDatabases:
    base = env.text("REDIS_URL")
    return RedisDatabases(
        cache=env.text("CACHE_URL") or _redis_database(base, 0),
        state=env.text("STATE_URL") or _redis_database(base, 1),
        broker=env.text("BROKER_URL") or _redis_database(base, 2),
    )


def _redis_database(url: str, offset: int) -> str:
    """The address of the database `offset` after the one that `url` names."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    try:
        if parts.scheme == "unix":
            query["db"] = str(int(query.get("db", "0")) + offset)
            return f"unix://{parts.path}?{urlencode(query)}"  # urlunsplit would drop the slashes
        number = int(parts.path.lstrip("/") or "0")
    except ValueError:
        raise ImproperlyConfigured(
            "REDIS_URL must end in a database number, such as redis://host:6379/0."
        ) from None
    return urlunsplit(parts._replace(path=f"/{number + offset}"))


env = Environment()
