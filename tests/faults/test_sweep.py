"""A real worker and a real beat make up for what could not be published, without anybody's help."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from redis import Redis

from config.celery import app
from tests.faults.client import Program
from tests.servers.house import House

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

DEADLINE = 60.0  # seconds; the beat's period is five


def test_every_task_of_the_schedule_exists() -> None:
    app.loader.import_default_modules()
    assert app.conf.beat_schedule
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks


def test_worker_and_beat_publish_what_is_owed_once_valkey_is_back(house: House) -> None:
    valkey = the_only(house, "valkey-server")
    token = house.token
    program = Program(house, token)
    assert program.send("GET", "/api/v1/token/").status == 200
    assert owed(house) == 0
    said = {name: len(log(house, name)) for name in ("worker", "beat")}
    os.kill(valkey, signal.SIGSTOP)
    try:
        changed = program.send("POST", "/api/v1/token/rotate/", {"overlap": "1h"})
        assert (changed.status, changed.body["effective_everywhere"]) == (202, False)
        assert owed(house) == 1
        eventually(lambda: any("rror" in log(house, name)[length:] for name, length in said.items()))
        assert owed(house) == 1
    finally:
        os.kill(valkey, signal.SIGCONT)

    eventually(lambda: owed(house) == 0)

    key = f"version:token:{changed.body['id']}"
    with closing(Redis(unix_socket_path=str(house.data / "valkey.sock"), db=1)) as client:
        assert client.get(key) == str(version(house, changed.body["id"])).encode()
    assert house.status_of("/readyz") == 200


def the_only(house: House, command: str) -> int:
    (found,) = [pid for pid, line in house.children().items() if command in line]
    return found


def log(house: House, name: str) -> str:
    return (house.data / "logs" / f"{name}.log").read_text(encoding="utf-8", errors="replace")


def owed(house: House) -> int:
    return ask(house, "SELECT count(*) FROM audit_outboxrow")


def version(house: House, token: str) -> int:
    return ask(house, "SELECT version FROM tokens_token WHERE id = ?", token)


def ask(house: House, question: str, *parameters: str) -> int:
    with closing(sqlite3.connect(house.data / "tokenhouse.sqlite3")) as database:
        return int(database.execute(question, parameters).fetchone()[0])


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.1)
