"""PostgreSQL restarted, crashed or cutting connections under a web process that goes on running."""

import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection, connections

from tests import factories
from tests.factories import make_token
from tests.faults.client import Program
from tests.faults.database import everything
from tests.faults.web import Web
from tests.invariants import Trail, assert_hold
from tests.servers.postgres import Postgres
from tests.world import World, door
from tokens.issuance import Issued
from tokens.models import Token

pytestmark = pytest.mark.fault

RECOVERY = 5.0  # seconds
CUTS = 3
CALLS_BETWEEN_CUTS = 15


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Postgres]:
    yield postgres
    connections.close_all()  # they lead to a server that is gone


@pytest.fixture
def admin(server: Postgres, world: World) -> Issued:
    """A token that may issue others, for programs."""
    owner = factories.owner_of(world.organization)
    return make_token(owner, "tokens:manage", "tokens:read", "machines:read", "machines:write")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
def test_a_server_that_goes_and_comes_back_is_a_503_in_between(
    world: World, server: Postgres, admin: Issued, tmp_path: Path, how: signal.Signals
) -> None:
    body = {"kind": "fleet", "owner": "edge", "name": "new", "scopes": ["machines:read"]}
    with Web(tmp_path) as web:
        program = Program(web, admin)
        assert program.send("GET", door(world)).status == 204
        before = everything()
        with connection.cursor() as cursor:
            cursor.execute("CHECKPOINT")  # this server keeps nothing safe for a crash by itself
        connections.close_all()
        server.stop(how)

        verified = program.send("GET", door(world))
        issued = program.send("POST", "/api/v1/tokens/", body)
        ready = program.send("GET", "/readyz")
        up = program.send("GET", "/healthz")

        assert (verified.status, issued.status, ready.status, up.status) == (503, 503, 503, 200)
        assert verified.headers["retry-after"]
        assert issued.headers["retry-after"]
        assert "secret" not in issued.body
        server.start()
        started = time.monotonic()
        while program.send("GET", door(world)).status != 204:
            assert time.monotonic() - started < RECOVERY
        assert {table: rows for table, rows in everything().items() if table not in CHANGED_BY_A_USE} == {
            table: rows for table, rows in before.items() if table not in CHANGED_BY_A_USE
        }
        assert program.send("POST", "/api/v1/tokens/", body).status == 201
        assert program.send("GET", "/readyz").status == 200


CHANGED_BY_A_USE = {"audit_event", "tokens_token", "tokens_tokensecret", "tokens_peppercheck"}


def test_connections_cut_in_the_middle_leave_no_half_transition(
    world: World, server: Postgres, admin: Issued, tmp_path: Path
) -> None:
    trail = Trail()
    assert_hold(trail)
    statuses: Counter[int] = Counter()
    numbers = itertools.count(1)
    done = threading.Event()
    answered = threading.Semaphore(0)

    def issue_until_done(program: Program) -> None:
        while not done.is_set():
            name = f"cut-{next(numbers)}"
            body = {"kind": "fleet", "owner": "edge", "name": name, "scopes": ["machines:read"]}
            while (reply := program.send("POST", "/api/v1/tokens/", body, key=name)).status == 503:
                statuses[503] += 1
                assert reply.headers["retry-after"]
                assert "secret" not in reply.body
            statuses[reply.status] += 1
            assert reply.status == 201 or reply.body["code"] == "already_done", reply
            answered.release()

    with Web(tmp_path) as web, ThreadPoolExecutor(4) as threads:
        try:
            programs = [threads.submit(issue_until_done, Program(web, admin)) for _ in range(4)]
            cut = 0
            for _ in range(CUTS):
                for _ in range(CALLS_BETWEEN_CUTS):
                    assert answered.acquire(timeout=30), [p.exception(0) for p in programs if p.done()]
                cut += cut_everybody_else()
        finally:
            done.set()
        for program in programs:
            program.result()

    assert cut > 0
    assert statuses[503] > 0, "no call was cut"
    assert set(statuses) <= {201, 409, 503}
    names = list(Token.objects.filter(name__startswith="cut-").values_list("name", flat=True))
    assert len(names) == statuses[201] + statuses[409], "each request came true once"
    assert_hold(trail)


def cut_everybody_else() -> int:
    """Terminate every other connection to this database; how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])
