"""kill -9 in a loop: programs change things over HTTP while the web process, or PostgreSQL, dies at random moments.

After each death the whole database is checked: what was acknowledged is there, what was not is there whole or not at
all, and no revoked token works. A second web process waits to take over, so that a death costs no start.
"""

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from django.db import connection, connections

from audit import outbox
from audit.models import OutboxRow
from config.edge.clock import now
from tests import environment, factories
from tests.factories import make_token
from tests.faults.client import CUT, Program, Reply
from tests.faults.web import Web
from tests.invariants import Trail, assert_hold, of_the_database_file
from tests.servers.postgres import Postgres
from tests.world import World, door
from tokens.models import Token

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1500)]

PROGRAMS = 4  # that work at the same time
LONGEST_LIFE = 40  # answers before the next death
QUIET = 10.0  # seconds until nothing of the dead is left in PostgreSQL
API = "/api/v1/"
SAFE = {"SQLITE_SYNCHRONOUS": "FULL"}  # as in production, not as in the other tests


@dataclass
class Ledger:
    """What the programs were told: a process that dies may forget nothing of it."""

    secrets: dict[str, str] = field(default_factory=dict)  # of tokens that nobody is known to have revoked
    revoked: dict[str, datetime] = field(default_factory=dict)
    secrets_of_revoked: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: set[str] = field(default_factory=set)  # names of tokens whose issue got no answer


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Postgres | None]:
    """A PostgreSQL that keeps what it has committed, crash or not; None on SQLite."""
    if connection.vendor == "sqlite":
        yield None
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with connection.cursor() as cursor:
        cursor.execute(
            f"ALTER DATABASE {connection.ops.quote_name(connection.settings_dict['NAME'])} "
            "SET synchronous_commit = on"
        )
    connections.close_all()
    yield postgres
    connections.close_all()


A_FEW = 6 if environment.uses_postgres() else 10
MANY = int(os.environ.get("SOAK_ROUNDS", "50")) * (2 if environment.uses_postgres() else 4)


@pytest.mark.parametrize("deaths", [A_FEW, pytest.param(MANY, marks=pytest.mark.soak, id="many")])
def test_nothing_acknowledged_is_lost_and_nothing_is_half_done(
    server: Postgres | None, world: World, tmp_path: Path, chance: random.Random, deaths: int
) -> None:
    owner = factories.owner_of(world.organization)
    admin = make_token(owner, "tokens:manage", "tokens:read", "machines:read", "machines:write")
    ledger, trail = Ledger(), Trail()
    assert_hold(trail)

    with ExitStack() as running, ThreadPoolExecutor(max_workers=1) as starter:
        following = start(starter, running, tmp_path, 0)
        for number in range(1, deaths + 1):
            web = following.result()
            following = start(starter, running, tmp_path, number)
            kill = killer(web, server if chance.random() < 0.3 else None)
            connections.close_all()  # nobody else keeps the database open
            life = chance.randint(1, LONGEST_LIFE)
            live_and_die(world, Program(web, admin), ledger, chance, life, kill)
            if server:
                wait_until_it_is_quiet(server)
            assert_hold(trail, revoked=ledger.revoked)
            assert of_the_database_file() == []
        last = following.result()
        assert_the_last_one_knows_everything(last, world, ledger)
        finish_what_was_cut(Program(last, admin), ledger)

    assert outbox.drain() == 0
    assert not OutboxRow.objects.exists()
    assert_hold(trail, revoked=ledger.revoked)
    assert ledger.statuses[CUT] > 0, "no call was cut: nothing was tested"
    assert len(ledger.revoked) > 0
    assert not [status for status in ledger.statuses if status >= 500 and status != 503]


def start(starter: ThreadPoolExecutor, running: ExitStack, folder: Path, number: int) -> Future[Web]:
    """One more web process, ready before it is needed, and gone when the test is."""
    place = folder / str(number)
    place.mkdir()
    return starter.submit(lambda: running.enter_context(Web(place, SAFE)))


def killer(web: Web, server: Postgres | None) -> Callable[[], None]:
    def kill() -> None:
        if server:
            server.stop(signal.SIGQUIT)
        web.kill()

    return kill


def wait_until_it_is_quiet(server: Postgres) -> None:
    """Start it if it died; else let the connections of the dead finish or undo what they are at."""
    if not server.is_running:
        server.start()
    deadline = time.monotonic() + QUIET
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            if cursor.fetchone() == (0,):
                return
            assert time.monotonic() < deadline, "somebody is still connected"
            time.sleep(0.01)


def live_and_die(
    world: World,
    program: Program,
    ledger: Ledger,
    chance: random.Random,
    life: int,
    kill: Callable[[], None],
) -> None:
    """Let programs work until that many answers have come, then kill in the middle of what they do."""
    answers, dying, dead = threading.Semaphore(0), threading.Event(), threading.Event()

    def work(moves: random.Random) -> None:
        try:
            while not dead.is_set():
                reply = one_change(world, program, ledger, moves)
                ledger.statuses[reply.status] += 1
                answers.release()
                if reply.status in (CUT, 503):
                    assert dying.is_set(), f"nothing was broken yet: {reply}"
                    return
        finally:
            answers.release()

    with ThreadPoolExecutor(PROGRAMS) as threads:
        workers = [threads.submit(work, random.Random(chance.random())) for _ in range(PROGRAMS)]
        try:
            for _ in range(life):
                assert answers.acquire(timeout=60)
                if any(worker.done() for worker in workers):
                    break  # with an exception, raised below
            dying.set()
            kill()
        finally:
            dead.set()
        for worker in workers:
            worker.result()


_numbers = itertools.count(1)


def one_change(world: World, program: Program, ledger: Ledger, moves: random.Random) -> Reply:
    known = sorted(ledger.secrets)
    token = moves.choice(known) if known else ""
    kind = (
        moves.choice(("issue", "issue", "use", "rotate", "toggle", "revoke", "register"))
        if token
        else "issue"
    )
    match kind:
        case "issue":
            return issue(program, ledger, f"crashed-{next(_numbers)}")
        case "use":
            return Program(program.web, ledger.secrets.get(token, "none")).send("GET", door(world))
        case "rotate":
            return rotate(program, ledger, token)
        case "toggle":
            verb = moves.choice(("disable", "enable"))
            return program.send("POST", f"{API}tokens/{token}/{verb}/", {})
        case "revoke":
            return revoke(program, ledger, token)
        case _:
            return program.send("POST", f"{API}machines/", {"fleet": "edge", "name": f"m-{next(_numbers)}"})


def issue(program: Program, ledger: Ledger, name: str) -> Reply:
    body = {"kind": "fleet", "owner": "edge", "name": name, "scopes": ["machines:read"]}
    ledger.unanswered.add(name)
    reply = program.send("POST", f"{API}tokens/", body, key=name)
    if reply.status == 201:
        ledger.secrets[reply.body["id"]] = reply.body["secret"]
    if reply.status in (201, 409):
        ledger.unanswered.discard(name)
    return reply


def rotate(program: Program, ledger: Ledger, token: str) -> Reply:
    """From the moment that it is asked for, nobody knows which secret works; afterwards the new one does."""
    ledger.secrets.pop(token, None)
    reply = program.send("POST", f"{API}tokens/{token}/rotate/", {})
    if reply.status in (200, 202):
        ledger.secrets[token] = reply.body["secret"]
    return reply


def revoke(program: Program, ledger: Ledger, token: str) -> Reply:
    secret = ledger.secrets.pop(token, None)
    reply = program.send("POST", f"{API}tokens/{token}/revoke/", {})
    if reply.status in (200, 202):
        ledger.revoked[token] = now()
        if secret:
            ledger.secrets_of_revoked[token] = secret
    return reply


def assert_the_last_one_knows_everything(web: Web, world: World, ledger: Ledger) -> None:
    told = {token: Program(web, secret).send("GET", door(world)) for token, secret in ledger.secrets.items()}
    assert {reply.body.get("code", "") for reply in told.values()} <= {"", "token_disabled", "token_revoked"}
    for secret in ledger.secrets_of_revoked.values():
        reply = Program(web, secret).send("GET", door(world))
        assert (reply.status, reply.body["code"]) == (401, "token_revoked")


def finish_what_was_cut(program: Program, ledger: Ledger) -> None:
    """Sent again under the same key, each issue that got no answer has happened once."""
    for name in sorted(ledger.unanswered):
        reply = issue(program, ledger, name)
        assert reply.status == 201 or reply.body["code"] == "already_done", reply
        assert Token.objects.filter(name=name).count() == 1
