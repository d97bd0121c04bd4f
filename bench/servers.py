"""The servers of one run, on loopback and in a folder of their own: database, Valkey, and two web servers."""

import contextlib
import functools
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from config.supervisor.port import reserved_port
from config.supervisor.programs import die_with_parent
from tests import environment
from tests.servers.postgres import Postgres, find_binaries
from tests.servers.valkey import Valkey

REPOSITORY = Path(__file__).resolve().parent.parent
WORKERS = 2
THREADS = 2  # in each worker
START_DEADLINE = 60.0  # seconds


@dataclass(frozen=True)
class Running:
    """The addresses of the bare and of the product's web server, and a token that works there."""

    bare: str
    product: str
    database: str
    organization: str
    fleet: str
    secret: str


@contextlib.contextmanager
def running() -> Iterator[Running]:
    with contextlib.ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="th-bench-")))
        valkey = stack.enter_context(Valkey())
        database = _postgres(stack)
        settings = environment.product_settings(data, valkey.url(), database)
        variables = {**environment.without_product_settings(), **settings, "SQLITE_SYNCHRONOUS": "FULL"}
        _manage(variables, "migrate", "-v0")
        made = json.loads(_manage(variables, "demo"))
        yield Running(
            bare=stack.enter_context(_web("bench.bare:application", variables, data, "/empty")),
            product=stack.enter_context(_web("config.wsgi:application", variables, data, "/readyz")),
            database="PostgreSQL (fsync off)" if database else "SQLite",
            organization=made["organization"],
            fleet=made["fleet"],
            secret=made["token"],
        )


def _postgres(stack: contextlib.ExitStack) -> str | None:
    """A database on a server of its own; None where there is no PostgreSQL, which means SQLite."""
    try:
        find_binaries()
    except RuntimeError:
        return None
    return stack.enter_context(Postgres()).url()


def _manage(variables: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=REPOSITORY,
        env=variables,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"manage.py {words[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


@contextlib.contextmanager
def _web(application: str, variables: Mapping[str, str], data: Path, ready: str) -> Iterator[str]:
    """Some processes that share a port, stopped afterwards; their log goes to the folder."""
    with reserved_port("127.0.0.1", "0") as port, contextlib.ExitStack() as stack:
        log = data / f"{application}.log"
        processes = [stack.enter_context(_process(application, port, variables, log)) for _ in range(WORKERS)]
        end = time.monotonic() + START_DEADLINE
        while log.read_text(encoding="utf-8").count("listening") < WORKERS or not _answers(port, ready):
            if time.monotonic() > end or any(process.poll() is not None for process in processes):
                raise RuntimeError(f"the web server did not get ready on {ready}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _process(
    application: str, port: int, variables: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "config.web", "--port", str(port), "--threads", str(THREADS)),
                application,
            ],
            cwd=REPOSITORY,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=functools.partial(die_with_parent, os.getpid()),  # noqa: PLW1509
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()


def _answers(port: int, path: str) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status < 400
    return False
