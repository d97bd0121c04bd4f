"""The data folder: made private, locked to one supervisor, holding the generated settings and run.json."""

import fcntl
import json
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

SETTINGS_HEADING = (
    "# Made by `make run`, read by every process. Keep it with the database: it holds its keys."
)
LONGEST_SOCKET_PATH = 100  # bytes; Linux takes 107, macOS 103
LEFTOVERS_DEADLINE = 20.0  # seconds that a killed supervisor's children get to go away


class FolderRefused(Exception):
    """The folder cannot be used; the text says why and what to do."""


class DataFolder:
    """Entered: exists with mode 0700 and is locked. Left: no run.json, no socket."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.lock_descriptor = -1  # children inherit it: the lock lives as long as the last of them
        self._socket_folder: Path | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_private()
            self._lock()
            self.remove_run_file()
        except OSError as error:
            raise FolderRefused(f"cannot use {self.path}: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove_run_file()
        self.valkey_socket.unlink(missing_ok=True)
        if self._socket_folder:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        os.close(self.lock_descriptor)

    @property
    def valkey_socket(self) -> Path:
        """In the folder; where that path is too long for a socket, in a private folder beside other temporary files."""
        wanted = self.path / "valkey.sock"
        if len(os.fsencode(wanted)) <= LONGEST_SOCKET_PATH:
            return wanted
        if self._socket_folder is None:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="tokenhouse-", dir=_short_temporary_folder()))
        return self._socket_folder / "valkey.sock"

    def subfolder(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def settings(self) -> dict[str, str]:
        """What settings.env says. Settings read the same file, so that manage.py works beside us without exports."""
        try:
            lines = (self.path / "settings.env").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise FolderRefused(f"cannot read {self.path / 'settings.env'}: {error}") from None
        pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
        return {name.strip(): value.strip() for name, value in pairs}

    def write_settings(self, environment: Mapping[str, str], url: str) -> None:
        """Generate the secrets that are missing and note this run's addresses."""
        known = self.settings()
        if "TOKENHOUSE_PEPPERS" not in {*known, *environment} and (self.path / "tokenhouse.sqlite3").exists():
            raise FolderRefused(
                f"{self.path} has a database, but settings.env with its TOKENHOUSE_PEPPERS is gone: with a new pepper "
                "no token would be recognised. Put settings.env back, or choose another TOKENHOUSE_DATA."
            )
        known.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
        known.setdefault("TOKENHOUSE_PEPPERS", f"1:{secrets.token_hex(32)}")
        known["REDIS_URL"] = environment.get("REDIS_URL") or f"unix://{quote(str(self.valkey_socket))}?db=0"
        known["PUBLIC_URL"] = environment.get("PUBLIC_URL") or url
        lines = [SETTINGS_HEADING, *(f"{name}={value}" for name, value in known.items())]
        self._write_whole("settings.env", "\n".join([*lines, ""]))

    def write_run_file(self, url: str, username: str) -> None:
        content = {"url": url, "pid": os.getpid(), "username": username}
        self._write_whole("run.json", json.dumps(content) + "\n")

    def _write_whole(self, name: str, content: str) -> None:
        """Write a private file so that a reader sees all of it or none, also after a power cut."""
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}-", dir=self.path)  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(self.path / name)

    def _make_private(self) -> None:
        state = self.path.stat()
        if state.st_uid != os.geteuid() or state.st_mode & stat.S_ISVTX:
            raise FolderRefused(
                f"{self.path} must be a folder of your own (it will be readable by you alone)"
            )
        self.path.chmod(0o700)

    def _lock(self) -> None:
        """Take the lock, waiting only for the children of a supervisor that was killed."""
        descriptor = os.open(self.path / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + LEFTOVERS_DEADLINE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                if _is_alive(holder) or time.monotonic() > deadline:
                    os.close(descriptor)
                    raise FolderRefused(
                        f"another Tokenhouse (process {holder or 'unknown'}) runs with {self.path}; stop it, or choose "
                        "another TOKENHOUSE_DATA"
                    ) from None
                time.sleep(0.2)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self.lock_descriptor = descriptor

    def remove_run_file(self) -> None:
        (self.path / "run.json").unlink(missing_ok=True)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ValueError, ProcessLookupError):
        return False
    return True


def _short_temporary_folder() -> str:
    """The configured temporary folder, unless its own path is too long for a socket."""
    configured = tempfile.gettempdir()
    return configured if len(os.fsencode(configured)) < 60 else "/tmp"  # noqa: S108 (mkdtemp makes it private)
