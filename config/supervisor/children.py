"""Starts the children, each in a session of its own, restarts those that die and stops them all."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from config.supervisor.announcement import say
from config.supervisor.data_folder import DataFolder
from config.supervisor.make_parent import MakeParent
from config.supervisor.programs import Program, die_with_parent

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PACE = 0.1  # seconds between two looks at the children
GRACE = 10.0  # seconds that a child gets to stop by itself
SHORTEST_DELAY, LONGEST_DELAY = 0.1, 30.0  # seconds before a child that died is started again
SETTLED = 30.0  # seconds of life after which a death counts as the first
LARGEST_LOG = 10 * 1024 * 1024  # bytes; a larger one is set aside, the one set aside before is dropped
LOG_CHECK = 600  # looks at the children between two looks at their logs


class StopRequested(Exception):
    """Ctrl-C or another signal to stop arrived."""


class Child:
    """One program and the process that runs it at present."""

    def __init__(
        self, program: Program, folder: DataFolder, repository: Path, *, output: int | None = None
    ) -> None:
        self.program = program
        self._log = log_path(folder, program.name)
        self._folder = folder
        self._repository = repository
        self._delay = SHORTEST_DELAY
        self._due: float | None = None  # when to start it again; None while it lives
        self._start(output)

    def restart_if_dead(self) -> None:
        """After a death: say so, clear what the child left, and start it again after a growing delay."""
        status = self.process.poll()
        if status is None:
            return
        now = time.monotonic()
        if self._due is None:
            self.signal_group(signal.SIGKILL)
            self._delay = (
                SHORTEST_DELAY if now - self._started > SETTLED else min(self._delay * 2, LONGEST_DELAY)
            )
            self._due = now + self._delay
            say(f"{self.program.name} died ({_how(status)}); starting it again. Its log: {self._log}")
        elif now >= self._due:
            self._due = None
            self._start()

    def keep_log_small(self) -> None:
        """Set a long log aside by copying: the child goes on writing to the file it has open."""
        with contextlib.suppress(FileNotFoundError):
            if self._log.stat().st_size > LARGEST_LOG:
                shutil.copyfile(self._log, self._log.with_suffix(".log.1"))
                os.truncate(self._log, 0)

    def ask_to_stop(self) -> None:
        self.process.terminate()

    def signal_group(self, number: signal.Signals) -> None:
        """Reach the child and whatever it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def _start(self, output: int | None = None) -> None:
        self._started = time.monotonic()
        with self._open_log() as log:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                self.program.command,
                cwd=self._repository,
                env=dict(self.program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches us alone, and a child is stopped with all that it started
                pass_fds=(self._folder.lock_descriptor,),
                preexec_fn=functools.partial(die_with_parent, os.getpid()),  # noqa: PLW1509 (we have one thread)
            )

    def _open_log(self) -> IO[bytes]:
        return open(self._log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))


class Household:
    """All children. Entered: signals are caught. Left: every child and whatever it started is gone."""

    def __init__(self, folder: DataFolder, repository: Path, make: MakeParent) -> None:
        self.folder = folder
        self._make = make
        self._repository = repository
        self._children: list[Child] = []
        self._requests = 0  # to stop
        self._looks = 0

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        say("Stopping.")
        self._requests = 0
        self.folder.remove_run_file()
        self._stop(self._children[1:])
        self._stop(self._children[:1])  # Valkey, the first started, goes last
        say("Stopped.")

    def start(self, program: Program) -> None:
        self._children.append(Child(program, self.folder, self._repository))

    def run(self, program: Program) -> tuple[int, bytes]:
        """Run a program to its end; its exit status and what it wrote on stdout (a few lines: a pipe holds them)."""
        child = Child(program, self.folder, self._repository, output=subprocess.PIPE)
        try:
            while child.process.poll() is None:
                self.look()
            return child.process.returncode, child.process.communicate()[0]
        finally:
            self._stop([child])

    def look(self) -> None:
        """Start again whoever died, then pause. Raises StopRequested when asked to stop."""
        if self._requests or self._make.was_interrupted():
            raise StopRequested
        for child in self._children:
            child.restart_if_dead()
            if self._looks % LOG_CHECK == 0:
                child.keep_log_small()
        self._looks += 1
        time.sleep(PACE)

    def watch(self) -> None:
        """Keep everybody running until asked to stop."""
        with contextlib.suppress(StopRequested):
            while True:
                self.look()

    def end_of_log(self, name: str, lines: int = 15) -> str:
        text = log_path(self.folder, name).read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _stop(self, children: list[Child]) -> None:
        """Ask, wait, then force; asked to stop a second time, force at once."""
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + GRACE
        while any(child.process.poll() is None for child in children):
            if time.monotonic() > deadline or self._requests:
                break
            time.sleep(PACE / 5)
        for child in children:
            child.signal_group(signal.SIGKILL)
            child.process.wait()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._requests += 1


def log_path(folder: DataFolder, name: str) -> Path:
    return folder.subfolder("logs") / f"{name}.log"


def _how(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
