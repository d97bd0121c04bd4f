"""What the other tests rely on: emptied tables, a shared test database, servers that stop and come back."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection, connections
from redis import RedisError

from audit import triggers
from audit.models import Event
from fleets.models import Organization
from tests.attacks import needles
from tests.factories import make_organization
from tests.faults.client import CUT, Program
from tests.servers.receiver import Receiver
from tests.servers.valkey import Valkey


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.django_db(transaction=True)
def test_a_transactional_test_starts_empty_and_with_every_trigger(turn: int) -> None:
    assert not Organization.objects.exists()
    assert not Event.objects.exists()
    assert triggers.missing() == []

    make_organization("acme")

    assert Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_threads_see_what_this_thread_committed() -> None:
    make_organization("acme")
    seen = []

    def look() -> None:
        seen.append(Organization.objects.count())
        connections.close_all()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert seen == [1]


@pytest.mark.django_db(transaction=True)
def test_a_process_that_a_test_starts_sees_the_same_database(repository: Path) -> None:
    make_organization("acme")
    question = "from fleets.models import Organization; print(Organization.objects.get().slug)"
    answer = subprocess.run(
        [*(sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", question)],
        cwd=repository,
        capture_output=True,
        check=True,
        text=True,
    )
    assert answer.stdout.strip() == "acme"


@pytest.mark.django_db
def test_the_database_is_a_file_or_a_server_as_in_production() -> None:
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            journal = cursor.execute("PRAGMA journal_mode").fetchone()[0]
            synchronous = cursor.execute("PRAGMA synchronous").fetchone()[0]
        assert Path(connection.settings_dict["NAME"]).is_file()
        assert (journal, synchronous) == ("wal", 0)
        assert settings.DATABASES["default"]["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    else:
        assert connection.vendor == "postgresql"


@pytest.mark.django_db
def test_looking_into_the_files_of_sqlite_leaves_its_locks() -> None:
    """Else the next process that closes the database takes itself for the last, and removes what others write to."""
    make_organization("acme")
    needles.database()
    if connection.vendor == "sqlite":
        name = str(connection.settings_dict["NAME"])
        visit = "c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM fleets_user'); c.close()"
        subprocess.run([sys.executable, "-c", f"import sqlite3, sys; {visit}", name], check=True)
        assert Path(f"{name}-wal").exists()


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.django_db
def test_the_cache_is_real_and_starts_empty(turn: int) -> None:
    assert cache.get("left-by-a-test") is None
    cache.set("left-by-a-test", turn)
    assert cache.get("left-by-a-test") == turn


@pytest.mark.fault
@pytest.mark.django_db
def test_valkey_can_be_stopped_and_comes_back(valkey: Valkey) -> None:
    cache.set("a", 1)
    valkey.stop()
    with pytest.raises(RedisError):
        cache.get("a")
    valkey.start()
    assert cache.get("a") is None


@pytest.mark.fault
@pytest.mark.django_db
def test_a_paused_valkey_answers_nobody_within_the_time_limit(valkey: Valkey) -> None:
    cache.set("a", 1)
    valkey.pause()
    with pytest.raises(RedisError, match="Timeout"):
        cache.get("a")
    valkey.resume()
    assert cache.get("a") == 1


@pytest.mark.parametrize("status", [200, 503])
def test_an_answer_that_ends_in_the_middle_counts_as_none(status: int) -> None:
    def begin_only(handler: Any) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "211")
        handler.end_headers()
        handler.wfile.write(b'{"code"')
        handler.close_connection = True

    with Receiver(answers=begin_only) as dying:
        assert Program(dying, "none").send("POST", "/", {}) == (CUT, {}, {})
