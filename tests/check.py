"""`make check`: everything that can be told without running the product. Two at a time, every failure shown whole."""

import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import environment

REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> int:
    with tempfile.TemporaryDirectory() as data, ThreadPoolExecutor(max_workers=2) as two:
        production = environment.without_product_settings() | _like_production(data)
        commands = {
            "mypy": _python("mypy"),  # the slowest, first
            "ruff check": _python("ruff", "check", "--output-format=concise", "."),
            "ruff format": _python("ruff", "format", "--check", "."),
            "import contracts": [sys.executable, str(Path(sys.executable).with_name("lint-imports"))],
            "templates": _python("djlint", "--lint", "--quiet", *_template_folders()),
            "migrations": _manage("makemigrations", "--check", "--dry-run"),
            "deployment settings": _manage("check", "--deploy", "--fail-level", "WARNING"),
        }
        if not _template_folders():
            del commands["templates"]
        outcomes = [two.submit(_run, name, command, production) for name, command in commands.items()]
        return 1 if any(not outcome.result() for outcome in outcomes) else 0


def _like_production(data: str) -> dict[str, str]:
    return {
        "TOKENHOUSE_DATA": data,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "TOKENHOUSE_PEPPERS": f"1:{secrets.token_hex(32)}",
        "PUBLIC_URL": "https://tokens.example.org",
        "ALLOWED_HOSTS": "tokens.example.org",
        "DATABASE_URL": "postgres://tokenhouse@db.example.org/tokenhouse",
        "REDIS_URL": "redis://redis.example.org:6379/0",
        "EMAIL_URL": "smtp+tls://tokenhouse:secret@mail.example.org",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(REPOSITORY),
    }


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "manage.py", *arguments]


def _template_folders() -> list[str]:
    folders = [
        REPOSITORY / "templates",
        *REPOSITORY.glob("*/templates"),
        *REPOSITORY.glob("config/*/templates"),
    ]
    return [str(folder.relative_to(REPOSITORY)) for folder in folders if folder.is_dir()]


def _run(name: str, command: list[str], variables: Mapping[str, str]) -> bool:
    started = time.monotonic()
    done = subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, check=False)
    passed = done.returncode == 0
    print(f"{'ok' if passed else 'FAILED':7}{time.monotonic() - started:5.1f} s  {name}", flush=True)
    if not passed:
        print(done.stdout + done.stderr, flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
