"""`make run` as its user meets it: real processes, a real port, real signals."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.supervisor.port import NoFreePort, reserved_port
from tests.servers.house import REPOSITORY, House, is_alive

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

ROLES = {
    "web": "config.web",
    "worker": "celery -A config worker",
    "beat": "celery -A config beat",
    "valkey": "valkey-server",
}
PASSWORD = "a password of my own"
LONG = "a folder whose path is far too long for the socket of a server " * 2


@dataclass(frozen=True)
class Run:
    """What was seen of a product that ran and was stopped."""

    data: Path
    username: str
    port: int
    ready: int  # the status of /readyz
    children: dict[int, str]
    secrets: list[str]
    output: str
    status: int  # on leaving
    left: list[int]  # children that live longer


@dataclass(frozen=True)
class Starts:
    """Of two that were started at once and wanted the same port, which was taken: one still runs, one was stopped."""

    taken: int  # the port that both wanted
    running: House
    stopped: Run


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    """One has the demo, in a folder with a space and a letter of its own; one is empty, and Ctrl-C stops it."""
    place = tmp_path_factory.mktemp("da ta")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        running = House(place / "vår", port=port, DEMO="1")
        empty = House(place / LONG, port=port, DEMO="0", ADMIN_PASSWORD=PASSWORD)
        with running, empty:
            running.wait_until_ready()
            yield Starts(port, running, run_and_stop(empty, signal.SIGINT))


@pytest.fixture(scope="module")
def running(starts: Starts) -> House:
    """One product for all tests that leave it running."""
    return starts.running


@pytest.fixture
def data(starts: Starts, tmp_path: Path) -> Path:
    """A copy of a folder that was stopped. What is not about the first start begins here, and need not migrate."""
    return Path(shutil.copytree(starts.stopped.data, tmp_path / "data"))


def run_and_stop(house: House, number: signal.Signals) -> Run:
    """Wait until it is ready, look at it, and stop it by this signal."""
    children = house.wait_until_ready().children()
    return Run(
        data=house.data,
        username=house.username,
        port=_port(house),
        ready=house.status_of("/readyz"),
        children=children,
        secrets=_secrets(house.data),
        status=house.stop(number),
        left=[pid for pid in children if is_alive(pid)],
        output=house.output,
    )


def assert_gone(run: Run) -> None:
    """It left in good order, and nothing of it is left but its data."""
    assert run.status == 0
    assert len(run.children) >= 4
    assert run.left == []
    assert not (run.data / "run.json").exists()
    assert not list(run.data.rglob("*.sock"))


def test_ready_means_that_readyz_is_200_and_the_run_file_is_whole(running: House) -> None:
    assert running.run_file == {"url": running.url, "pid": running.pid, "username": "admin"}
    assert running.status_of("/readyz") == 200
    assert running.status_of("/healthz") == 200


def test_the_printed_curl_line_lists_machines(running: House) -> None:
    answer = subprocess.run(
        [*("sh", "-c", running.curl_line + " --silent --fail")], capture_output=True, check=True, text=True
    )
    assert json.loads(answer.stdout)["results"]


def test_the_same_request_without_the_token_is_refused(running: House) -> None:
    assert running.status_of("/api/v1/machines/", Authorization=f"Bearer {running.token}") == 200
    assert running.status_of("/api/v1/machines/") == 401


def test_everything_in_the_data_folder_is_private(running: House) -> None:
    assert stat.S_IMODE(running.data.stat().st_mode) == 0o700
    open_to_others = [path for path in running.data.rglob("*") if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert open_to_others == []


def test_neither_password_nor_token_is_written_to_disk(running: House) -> None:
    secrets = (running.password.encode(), running.token.encode(), running.token.rpartition("_")[2].encode())
    holders = [
        path
        for path in running.data.rglob("*")
        if path.is_file() and any(s in path.read_bytes() for s in secrets)
    ]
    assert holders == []


def test_no_child_has_the_password_in_its_environment(running: House) -> None:
    for pid in running.children():
        assert running.password.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def test_management_commands_work_beside_it_with_the_data_folder_alone(
    running: House, repository: Path
) -> None:
    listed = subprocess.run(
        [*(sys.executable, "manage.py", "token", "list", "admin", "--format", "json")],
        cwd=repository,
        env={"PATH": os.environ["PATH"], "TOKENHOUSE_DATA": str(running.data)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    json.loads(listed.stdout)


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_child_comes_back(running: House, role: str) -> None:
    before = set(_processes(running, role))
    assert before

    for pid in before:
        os.kill(pid, signal.SIGKILL)

    _eventually(lambda: not before & set(_processes(running, role)))
    _eventually(lambda: bool(_processes(running, role)))
    _eventually(lambda: running.status_of("/readyz") == 200)
    running.wait_for_line(f"{role} died")


def test_a_second_start_on_the_same_folder_is_refused(running: House) -> None:
    with House(running.data) as second:
        status = second.wait()
    assert status == 1
    assert f"another Tokenhouse (process {running.pid})" in second.output
    assert running.status_of("/readyz") == 200
    assert running.run_file["pid"] == running.pid


def test_two_run_side_by_side_and_a_taken_port_means_the_next(starts: Starts) -> None:
    ports = {_port(starts.running), starts.stopped.port}
    assert len(ports) == 2
    assert all(starts.taken < other < starts.taken + 10 for other in ports)
    assert starts.running.status_of("/readyz") == starts.stopped.ready == 200


def test_an_empty_start_has_an_owner_and_no_token(starts: Starts) -> None:
    empty = starts.stopped
    assert empty.username == "admin"
    assert "curl" not in empty.output
    assert PASSWORD not in empty.output
    assert "the one given in ADMIN_PASSWORD" in empty.output


def test_a_signal_stops_everything_and_the_next_start_keeps_the_data(starts: Starts, tmp_path: Path) -> None:
    """Ctrl-C stopped the first start; each later one ends by another signal."""
    first = starts.stopped
    assert_gone(first)
    data = Path(shutil.copytree(first.data, tmp_path / LONG))

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        with House(data, DEMO="0") as house:
            again = run_and_stop(house, number)
        assert "as printed at the first start" in again.output
        assert (again.username, again.secrets) == ("admin", first.secrets), number
        assert_gone(again)


def test_a_signal_during_the_first_start_stops_it_and_the_next_start_begins_again(tmp_path: Path) -> None:
    with House(tmp_path / "data", DEMO="1") as first:
        first.wait_for_line("Preparing the database.")
        time.sleep(1.5)
        children = first.children()
        assert first.stop() == 0
    assert [pid for pid in children if is_alive(pid)] == []

    with House(tmp_path / "data", DEMO="0") as second:
        second.wait_until_ready()
        assert second.password


@pytest.mark.skipif(not (REPOSITORY / ".venv/.installed-runtime").exists(), reason="needs `make install`")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_make_alone_stops_everything(data: Path, number: signal.Signals) -> None:
    with House(data, command=("make", "--silent", "run"), DEMO="0") as house:
        children = house.wait_until_ready().children()
        house.stop(number)
        _eventually(lambda: not any(is_alive(pid) for pid in children))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a child of its parent's death")
def test_children_do_not_outlive_a_killed_supervisor(data: Path) -> None:
    with House(data, DEMO="0") as first:
        children = first.wait_until_ready().children()
        first.send(signal.SIGKILL)
        first.wait()
    with House(data, DEMO="0") as second:  # waits for them rather than opening the same files
        second.wait_until_ready()
        assert [pid for pid in children if is_alive(pid)] == []


def test_a_database_without_its_pepper_is_refused_rather_than_made_useless(tmp_path: Path) -> None:
    (tmp_path / "tokenhouse.sqlite3").touch()
    with House(tmp_path) as house:
        status = house.wait()
    assert status == 1
    assert "settings.env" in house.output
    assert not (tmp_path / "settings.env").exists()


@pytest.mark.parametrize("port", ["eight", "-1", "65536", "８０００"])
def test_a_port_that_is_none_is_refused_in_one_line(tmp_path: Path, port: str) -> None:
    with House(tmp_path, PORT=port) as house:
        status = house.wait()
    assert status == 1
    assert len(house.lines) == 1
    assert "PORT must be a number" in house.lines[0]


def test_unsafe_settings_are_refused_with_what_to_do_and_no_traceback(tmp_path: Path) -> None:
    with House(tmp_path / "data", DEMO="0", TRUSTED_PROXIES="0.0.0.0/0") as house:
        assert house.wait() == 1
        assert "tokenhouse.E003" in house.output
        assert "HINT" in house.output
        assert "Traceback" not in house.output


def test_a_reserved_port_is_not_given_twice() -> None:
    with reserved_port("127.0.0.1", "0") as one, reserved_port("127.0.0.1", str(one)) as two:
        assert two != one


def test_no_free_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", 65535)), pytest.raises(NoFreePort, match="choose one"):
        reserved_port("127.0.0.1", "65535").__enter__()


def _processes(house: House, role: str) -> list[int]:
    return [pid for pid, command in house.children().items() if ROLES[role] in command and is_alive(pid)]


def _port(house: House) -> int:
    return int(house.url.rpartition(":")[2])


def _secrets(data: Path) -> list[str]:
    lines = (data / "settings.env").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(("SECRET_KEY=", "TOKENHOUSE_PEPPERS="))]


def _eventually(holds: Callable[[], bool], deadline: float = 40.0) -> None:
    end = time.monotonic() + deadline
    while not holds():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.1)
