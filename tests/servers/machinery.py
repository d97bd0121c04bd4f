"""Workers and beats as processes of their own, on the database and the Valkey of the test that starts them."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from config.supervisor.programs import die_with_parent

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DEADLINE = 90.0  # seconds
WORKER = ("worker", "--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle")


class Machinery:
    """Starts what it is asked for, and leaves nothing behind."""

    def __init__(self, application: str = "tests.servers.hurried") -> None:
        self.application = application
        self.folder = Path(tempfile.mkdtemp(prefix="th-machinery-", dir="/tmp"))
        self._running: list[subprocess.Popen[bytes]] = []

    def worker(self) -> subprocess.Popen[bytes]:
        return self._start(*WORKER, "--hostname", f"worker-{len(self._running)}@tests")

    def beat(self) -> subprocess.Popen[bytes]:
        return self._start("beat", "--schedule", str(self.folder / f"schedule-{len(self._running)}"))

    def kill_all(self) -> None:
        """As a power cut does it."""
        for process in self._running:
            kill(process)
        self._running.clear()

    def said(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def wait_until_it_works(self, count: int) -> None:
        """Until that many workers say so."""
        eventually(lambda: self._has_died() or self.said().count(" ready.") >= count, self.said)
        assert not self._has_died(), self.said()

    def _has_died(self) -> bool:
        return any(process.poll() is not None for process in self._running)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        number = len(list(self.folder.glob("*.log")))
        with (self.folder / f"{number}-{words[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", self.application, *words, "--loglevel", "INFO"],
                cwd=REPOSITORY,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=functools.partial(die_with_parent, os.getpid()),  # noqa: PLW1509
            )
        self._running.append(process)
        return process


def kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def eventually(holds: Callable[[], bool], said: Callable[[], str] = str, deadline: float = DEADLINE) -> None:
    end = time.monotonic() + deadline
    while not holds():
        assert time.monotonic() < end, f"did not come true in time\n{said()[-4000:]}"
        time.sleep(0.1)
