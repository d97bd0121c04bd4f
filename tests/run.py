"""`make test` and `make soak`: which tests run against which database, in which order.

Unit and API tests, races included, run on both databases, two workers each, over one PostgreSQL and one Valkey. What
breaks servers or starts whole products comes afterwards, on servers of its own, two parts side by side; what compares
times runs alone. The exit status is 0 only when every part passed.
"""

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import STDOUT
from typing import IO

from tests import environment, templates
from tests.servers.browser import find_chromium
from tests.servers.postgres import Postgres
from tests.servers.valkey import Valkey

NO_TESTS = 5  # pytest's exit status when nothing was selected
APART = ("browser", "acceptance", "fault")  # marks of what runs in processes without workers
LONG = ("soak", "race")
ALONE = " or ".join(APART)
AT_ONCE = 2  # parts


@dataclass(frozen=True)
class Part:
    """One run of pytest."""

    title: str
    database: str
    selection: str
    marks: tuple[str, ...] = ()  # only modules with one of these are collected; all, where none is named
    workers: int = 2
    may_be_empty: bool = False

    @property
    def modules(self) -> list[str]:
        """Those that name a mark, for others have none of it; where there are no marks, none: pytest finds all."""
        words = [f"mark.{mark}" for mark in self.marks]
        modules = sorted(Path(__file__).parent.rglob("test_*.py")) if words else []
        return [str(module) for module in modules if any(word in module.read_text("utf-8") for word in words)]


apart = functools.partial(Part, marks=APART, workers=0)
long = functools.partial(Part, marks=LONG)


# Parts in one tuple run side by side, so many at once, the longest first. Browser and faults are never one process:
# Playwright leaves an event loop running in it, in which Django refuses to open a database.
TEST = (
    (Part("unit, API and races on SQLite", "sqlite", f"not soak and not ({ALONE})"),),
    (Part("unit, API and races on PostgreSQL", "postgres", f"not soak and not ({ALONE})"),),
    (
        apart("faults on SQLite", "sqlite", "fault and not soak and not quiet"),
        apart("faults on PostgreSQL", "postgres", "fault and not soak and not quiet"),
        apart("acceptance", "sqlite", "acceptance and not soak"),
        apart("browser", "sqlite", "browser and not soak"),
    ),
    (apart("faults and times on SQLite", "sqlite", "fault and quiet and not soak"),),
    (apart("faults and times on PostgreSQL", "postgres", "fault and quiet and not soak"),),
)
SOAK = (
    (long("races and soak on SQLite", "sqlite", f"(soak or race) and not ({ALONE})"),),
    (long("races and soak on PostgreSQL", "postgres", f"(soak or race) and not ({ALONE})"),),
    (
        apart("soak that breaks SQLite", "sqlite", "soak and fault and not quiet"),
        apart("soak that breaks PostgreSQL", "postgres", "soak and fault and not quiet"),
        apart("soak in the browser", "sqlite", "soak and (browser or acceptance)", may_be_empty=True),
    ),
    (apart("soak and times on PostgreSQL", "postgres", "soak and fault and quiet"),),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", action="store_true")
    arguments, for_pytest = parser.parse_known_args()
    parts = SOAK if arguments.soak else TEST
    if arguments.soak:
        os.environ.setdefault("SOAK_ROUNDS", "50")
        os.environ.setdefault("SOAK_SEED", str(int(time.time())))
        print(f"SOAK_ROUNDS={os.environ['SOAK_ROUNDS']} SOAK_SEED={os.environ['SOAK_SEED']}", flush=True)
        for_pytest.append("--timeout=1200")
    else:
        _announce_browser()
    if seed := os.environ.get("SOAK_SEED" if arguments.soak else "TEST_SEED"):
        for_pytest.append(f"--hypothesis-seed={zlib.crc32(seed.encode())}")
    with ExitStack() as servers:
        shared = _start_shared(servers)
        outcomes = [outcome for group in parts for outcome in _run_group(group, shared, for_pytest)]
    for part, status, seconds in outcomes:
        print(f"{'passed' if status == 0 else 'FAILED':7} {seconds:5.0f} s  {part.title}", flush=True)
    return 1 if any(status for _, status, _ in outcomes) else 0


def _announce_browser() -> None:
    """Find or install it before the long parts; without one, browser tests fail and the others still run."""
    try:
        os.environ["CHROMIUM"] = find_chromium()
    except (RuntimeError, subprocess.CalledProcessError) as problem:
        print(problem, file=sys.stderr, flush=True)


def _start_shared(servers: ExitStack) -> dict[str, str]:
    """One server of each kind for all parts with workers, and a migrated database of each kind for them to copy.

    A server that the environment names is used as it is.
    """
    named = {name: os.environ[name] for name in (environment.POSTGRES_URL,) if name in os.environ}
    if environment.POSTGRES_URL not in named:
        named[environment.POSTGRES_URL] = servers.enter_context(Postgres()).url()
    valkey = servers.enter_context(Valkey()).url()
    migrated = {
        environment.TEMPLATE_FILE: templates.migrated_file(valkey),
        environment.TEMPLATE_DATABASE: templates.migrated_database(valkey, named[environment.POSTGRES_URL]),
    }
    with ThreadPoolExecutor(len(migrated)) as threads:
        copied = dict(zip(migrated, threads.map(servers.enter_context, migrated.values()), strict=True))
    return named | copied | {environment.VALKEY_URL: valkey}


def _run_group(
    group: tuple[Part, ...], shared: dict[str, str], for_pytest: list[str]
) -> list[tuple[Part, int, float]]:
    """Run them side by side; of several, each one's output is printed whole when it has ended."""
    if len(group) == 1:
        print(f"\n=== {group[0].title}", flush=True)
        return [(group[0], *_run(group[0], shared, for_pytest, sys.stdout))]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(functools.partial(_run_aside, shared=shared, for_pytest=for_pytest), group))


def _run_aside(part: Part, *, shared: dict[str, str], for_pytest: list[str]) -> tuple[Part, int, float]:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        status, seconds = _run(part, shared, for_pytest, output)
        output.seek(0)
        print(f"\n=== {part.title}\n{output.read()}", flush=True)
    return part, status, seconds


def _run(part: Part, shared: dict[str, str], for_pytest: list[str], output: IO[str]) -> tuple[int, float]:
    """Run pytest; without workers it starts servers of its own, which its tests may stop."""
    variables = {name: value for name, value in os.environ.items() if name != environment.POSTGRES_URL}
    given = shared if part.workers else {environment.TEMPLATE_FILE: shared[environment.TEMPLATE_FILE]}
    variables |= {environment.DATABASE: part.database} | given
    command = [sys.executable, "-m", "pytest", "-q", "-m", part.selection, *for_pytest, *part.modules]
    command += ["-n", str(part.workers), "--dist", "worksteal"] if part.workers else []
    started = time.monotonic()
    status = subprocess.run(command, env=variables, stdout=output, stderr=STDOUT, check=False).returncode
    if status == NO_TESTS and part.may_be_empty:
        status = 0
    return status, time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
