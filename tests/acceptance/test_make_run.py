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


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One product for all tests that leave it running, in a folder whose name has a space and a letter of its own."""
    with House(tmp_path_factory.mktemp("da ta") / "vår", DEMO="1") as house:
        yield house.wait_until_ready()


@pytest.fixture(scope="session")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a product that was started once, and stopped."""
    data = tmp_path_factory.mktemp("stopped") / "data"
    with House(data, DEMO="0") as house:
        house.wait_until_ready()
    return data


@pytest.fixture
def data(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it. What is not about the first start begins here, and need not migrate."""
    return Path(shutil.copytree(stopped, tmp_path / "data"))


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
    assert f"{role} died" in running.output


def test_a_second_start_on_the_same_folder_is_refused(running: House) -> None:
    with House(running.data) as second:
        status = second.wait()
    assert status == 1
    assert f"another Tokenhouse (process {running.pid})" in second.output
    assert running.status_of("/readyz") == 200
    assert running.run_file["pid"] == running.pid


def test_two_run_side_by_side_and_a_taken_port_means_the_next(tmp_path: Path, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        one = House(tmp_path / "one", port=port, DEMO="0")
        two = House(data, port=port, DEMO="0")
        with one, two:
            one.wait_until_ready()
            two.wait_until_ready()
            ports = {int(house.url.rpartition(":")[2]) for house in (one, two)}
            assert len(ports) == 2
            assert all(port < other < port + 10 for other in ports)
            assert one.status_of("/readyz") == two.status_of("/readyz") == 200


def test_an_empty_start_has_an_owner_and_no_token(tmp_path: Path) -> None:
    with House(tmp_path / "data", DEMO="0", ADMIN_PASSWORD="a password of my own") as house:
        house.wait_until_ready()
        assert house.username == "admin"
        assert "curl" not in house.output
        assert "a password of my own" not in house.output
        assert "the one given in ADMIN_PASSWORD" in house.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_the_next_start_keeps_the_data(
    tmp_path: Path, stopped: Path, number: signal.Signals
) -> None:
    data = tmp_path / ("a folder whose path is far too long for the socket of a server " * 2)
    if number is not signal.SIGINT:  # with which a first start is stopped
        shutil.copytree(stopped, data)
    with House(data, DEMO="0") as first:
        children = first.wait_until_ready().children()
        settings = _secrets(data)
        assert len(children) >= 4
        status = first.stop(number)
    assert status == 0
    assert [pid for pid in children if is_alive(pid)] == []
    assert not (data / "run.json").exists()
    assert not list(data.rglob("*.sock"))

    with House(data, DEMO="0") as second:
        second.wait_until_ready()
        assert "as printed at the first start" in second.output
        assert second.username == "admin"
        assert _secrets(data) == settings


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


def _secrets(data: Path) -> list[str]:
    lines = (data / "settings.env").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(("SECRET_KEY=", "TOKENHOUSE_PEPPERS="))]


def _eventually(holds: Callable[[], bool], deadline: float = 40.0) -> None:
    end = time.monotonic() + deadline
    while not holds():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.1)
