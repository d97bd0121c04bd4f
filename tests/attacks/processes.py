"""The web server and the Celery worker as `make run` starts them, on the database and the Valkey of this test run."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

from config.supervisor import programs
from config.supervisor.port import reserved_port

START_DEADLINE = 60.0  # seconds


class Answer(NamedTuple):
    """What came back on a connection. `status` 0: it was closed without an answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Process:
    """One child of the supervisor without the supervisor; what it prints is kept in a file."""

    def __init__(self, program: programs.Program, log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                program.command,
                env=program.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + START_DEADLINE
        while text not in self.output:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(f"never printed {text!r}:\n{self.output[-3000:]}")
            time.sleep(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Web(Process):
    """The web server, spoken to byte by byte."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        program: Callable[[str, int, Mapping[str, str]], programs.Program] = programs.web,
    ) -> None:
        self._reserved = ExitStack()  # from before the process listens until after it has ended
        self.port = self._reserved.enter_context(reserved_port("127.0.0.1", "0"))
        run = program("127.0.0.1", self.port, {**os.environ, **(environment or {})})
        super().__init__(run, folder / "web.log")
        self._wait_until_it_answers()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._reserved.close()

    def send(self, target: str, *header_lines: bytes, method: str = "GET", body: bytes = b"") -> Answer:
        """One request with exactly these header lines besides Host and Connection."""
        head = [
            f"{method} {target} HTTP/1.1".encode(),
            b"Host: 127.0.0.1",
            b"Connection: close",
            *header_lines,
        ]
        return self.send_bytes(b"\r\n".join(head) + b"\r\n\r\n" + body)

    def send_bytes(self, raw: bytes) -> Answer:
        return _answer(self.exchange(raw))

    def exchange(self, raw: bytes) -> bytes:
        """All that comes back until the connection is closed."""
        with self.connect() as connection:
            try:
                connection.sendall(raw)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it answered before it had read everything
            return _everything(connection)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_DEADLINE
        while True:
            try:
                if self.send("/healthz").status == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(f"the web server did not start:\n{self.output[-3000:]}")
            time.sleep(0.05)


class Worker(Process):
    """Celery, ready for tasks."""

    def __init__(self, folder: Path) -> None:
        super().__init__(programs.worker(dict(os.environ)), folder / "worker.log")
        self.wait_for("ready.")


def _everything(connection: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def _answer(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Answer(int(status_line.split()[1]) if status_line else 0, headers, body)
