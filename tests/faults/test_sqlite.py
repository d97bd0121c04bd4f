"""SQLite that can't be written: locked by somebody else, its disk full, read-only. It is a 503, and passes."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from django.db import OperationalError, connection, transaction

from audit.models import OutboxRow
from config.edge.clock import now
from tests import factories
from tests.factories import make_token
from tests.faults.commands import COMMANDS
from tests.faults.database import everything, everything_but_uses, uses
from tests.invariants import Trail, assert_hold, of_the_database_file
from tests.world import World, client_of, door

pytestmark = pytest.mark.fault

PAGE = 4096  # bytes
FILLER = "filler"
PATIENCE = 0.05  # seconds that a write waits for another one; ten in production


@pytest.fixture(autouse=True)
def _only_sqlite() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("faults of a file")


@pytest.fixture
def impatient(world: World) -> Iterator[None]:
    """This process gives up waiting for a lock sooner."""
    options = connection.settings_dict["OPTIONS"]
    usual = options["timeout"]
    connection.close()
    options["timeout"] = PATIENCE
    yield
    connection.close()
    options["timeout"] = usual


def test_while_another_process_writes_too_long_nothing_is_done(world: World, impatient: None) -> None:
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        check_that_nothing_is_done(
            world,
            break_it=lambda: other.execute("BEGIN IMMEDIATE"),
            mend_it=lambda: other.execute("ROLLBACK"),
        )


def test_while_the_database_is_read_only_nothing_is_done(world: World) -> None:
    check_that_nothing_is_done(
        world,
        break_it=lambda: pragma("query_only", "ON"),
        mend_it=lambda: pragma("query_only", "OFF"),
    )


def test_while_the_disk_is_full_a_change_is_made_whole_or_not_at_all(world: World) -> None:
    """What is small may still fit into the room that the file's pages have left; most of it does not."""
    sends = {command: command.prepare(world) for command in COMMANDS}
    client = client_of(make_token(world.fleet, "machines:read"))
    trail = Trail()

    fill_the_disk()
    answers, left_something = {}, []
    for command, send in sends.items():
        before, used = everything_but_uses(), uses()
        answers[command] = send()
        new_uses = Counter(table for table, _, _ in uses() - used)
        is_left = everything_but_uses() != before or max(new_uses.values(), default=0) > 1
        if answers[command].status_code == 503 and is_left:
            left_something.append(command.name)
    verified = client.get(door(world)).status_code
    empty_the_disk()

    refused = {command: answer for command, answer in answers.items() if answer.status_code == 503}
    assert len(refused) > len(COMMANDS) / 2, "the disk was not full"
    assert left_something == []
    made = {command: answer.status_code for command, answer in answers.items() if command not in refused}
    assert made == {command: command.status for command in made}
    assert all(answer.headers["Retry-After"] for answer in refused.values())
    assert not [command.name for command, answer in refused.items() if b"secret" in answer.content]
    assert verified in {204, 503}
    assert_hold(trail)
    again = {command: sends[command]().status_code for command in refused}
    assert again == {command: command.status for command in refused}
    assert client.get(door(world)).status_code == 204
    assert_hold(trail)
    assert of_the_database_file() == []


def check_that_nothing_is_done(
    world: World, *, break_it: Callable[[], object], mend_it: Callable[[], object]
) -> None:
    sends = {command: command.prepare(world) for command in COMMANDS}
    client = client_of(make_token(world.fleet, "machines:read"))
    reader = factories.session_client(world.manager)
    trail = Trail()
    assert_hold(trail)

    break_it()
    before = everything()
    with pytest.raises(OperationalError), transaction.atomic():
        OutboxRow.objects.create(kind="none", payload={"filler": "x" * PAGE}, created_at=now())
    answers = {command.name: send() for command, send in sends.items()}
    verified, read = client.get(door(world)), reader.get("/api/v1/machines/")
    after = everything()
    mend_it()

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 503)
    assert all(answer.headers["Retry-After"] for answer in (*answers.values(), verified))
    assert not [name for name, answer in answers.items() if b"secret" in answer.content]
    assert (verified.status_code, read.status_code) == (503, 200)
    assert after == before
    assert {name: send().status_code for name, send in ((c.name, send) for c, send in sends.items())} == {
        command.name: command.status for command in COMMANDS
    }
    assert client.get(door(world)).status_code == 204
    assert_hold(trail)
    assert of_the_database_file() == []


def fill_the_disk() -> None:
    """Let the file grow no more, and use up the pages that are free in it."""
    pragma("max_page_count", pragma("page_count"))
    rows = 0
    with pytest.raises(OperationalError, match="full"):
        while True:
            OutboxRow.objects.create(kind=FILLER, payload={"filler": "x" * 1000}, created_at=now())
            rows += 1


def empty_the_disk() -> None:
    pragma("max_page_count", str(2**30))
    OutboxRow.objects.filter(kind=FILLER).delete()


def pragma(name: str, value: str = "") -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {name}" + (f" = {value}" if value else ""))
        row = cursor.fetchone()
    return str(row[0]) if row else ""
