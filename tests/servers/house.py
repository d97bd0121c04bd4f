"""The product in processes of its own, started, watched and stopped as a person does it with `make run`."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests import environment

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SUPERVISOR = (sys.executable, "-m", "config.supervisor")
READY_DEADLINE = 120.0  # seconds
STOP_DEADLINE = 30.0  # seconds
# With the line for curl behind it, where there is one.
END_OF_BOX = re.compile(r"Stop       Ctrl-C\n(-{20,}|[\s\S]*\ncurl )")


def _as_at_a_terminal() -> None:
    """Whatever runs in a shell's background is started with Ctrl-C ignored, and hands that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class House:
    """One `python -m config.supervisor` with a data folder of its own."""

    def __init__(
        self,
        data: Path,
        *,
        repository: Path = REPOSITORY,
        port: int = 0,
        command: tuple[str, ...] = SUPERVISOR,
        **variables: str,
    ) -> None:
        self.data = data
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            command,
            cwd=repository,
            env=environment.without_product_settings()
            | {"TOKENHOUSE_DATA": str(data), "PORT": str(port), "PYTHONUNBUFFERED": "1", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_as_at_a_terminal,  # noqa: PLW1509 (nothing of ours is done between fork and exec but this)
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def run_file(self) -> dict[str, str | int]:
        content: dict[str, str | int] = json.loads((self.data / "run.json").read_text(encoding="utf-8"))
        return content

    @property
    def url(self) -> str:
        return str(self.run_file["url"])

    @property
    def username(self) -> str:
        return str(self.run_file["username"])

    @property
    def password(self) -> str:
        """As printed; only the run that made the account prints it."""
        return self._printed(r"Password +(\S+) +\(shown only this once\)")

    @property
    def token(self) -> str:
        return self._printed(r"Authorization: Bearer (\S+)'")

    @property
    def curl_line(self) -> str:
        return self._printed(r"^(curl .*)$")

    def wait_until_ready(self) -> Self:
        """Return once the box and the run file are there."""
        self._wait_until_printed(END_OF_BOX)
        if not (self.data / "run.json").exists():
            raise AssertionError(f"the product did not get ready:\n{self.output}")
        return self

    def wait_for_line(self, text: str) -> None:
        """Wait until a printed line holds the text."""
        self._wait_until_printed(re.compile(re.escape(text)))

    def _wait_until_printed(self, pattern: re.Pattern[str]) -> None:
        end = time.monotonic() + READY_DEADLINE
        while not pattern.search(self.output):
            if time.monotonic() > end or (self._process.poll() is not None and not self._reader.is_alive()):
                raise AssertionError(f"never printed {pattern.pattern!r}:\n{self.output}")
            time.sleep(0.05)

    def status_of(self, path: str, **headers: str) -> int:
        """The status of a GET, or 0 where nothing answers."""
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 (our own)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def children(self) -> dict[int, str]:
        """{process id: command line} of everything that the supervisor started, however deep."""
        return descendants(self._process.pid)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop and return its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        return self.wait()

    def wait(self, deadline: float = STOP_DEADLINE) -> int:
        status = self._process.wait(deadline)
        self._reader.join(5)  # it closes our end of the pipe
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise

    def _printed(self, pattern: str) -> str:
        found = re.search(pattern, self.output, re.MULTILINE)
        if found is None:
            raise AssertionError(f"nothing printed matches {pattern}:\n{self.output}")
        return found[1]

    def _read(self) -> None:
        stdout = self._process.stdout
        if stdout is None:
            return
        with stdout:
            for line in stdout:
                self.lines.append(line.rstrip("\n"))


def descendants(pid: int) -> dict[int, str]:
    """{process id: command line} of every process below this one (Linux: read from /proc)."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            status = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            )
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return {process: commands.get(process, "") for process in sorted(below - {pid})}


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not merely waiting to be reaped."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (ProcessLookupError, FileNotFoundError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
