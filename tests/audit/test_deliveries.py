"""Effects that only the worker carries out: one by one, later after each failure, given up in the end, but kept."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from audit import deliveries, outbox, tasks
from audit.actions import Action
from audit.models import OutboxRow
from audit.verbs import verb
from config import celery as ours
from config.edge import broker
from config.edge.clock import at, now
from config.edge.context import RequestContext, bound, current
from fleets import organizations
from fleets.models import Organization
from tests.factories import events, make_organization, operator
from tests.servers.valkey import Valkey

pytestmark = pytest.mark.django_db


class Sink:
    """Takes payloads, but for those in `refused`."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.tried: list[Any] = []
        self.refused: set[Any] = set()

    def __call__(self, payload: Any) -> None:
        self.tried.append(payload["n"])
        if payload["n"] in self.refused:
            raise ConnectionError("broken")
        self.got.append(payload["n"])


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    deliveries.register("slow", sink)
    yield sink
    deliveries._deliverers.pop("slow")


def owe(*numbers: int) -> None:
    for number in numbers:
        outbox.add("slow", {"n": number})


def asked() -> int:
    """How often the worker was asked to look."""
    client: Any = Redis.from_url(
        ours.app.conf.broker_url.replace("redis+socket", "unix").replace("virtual_host", "db")
    )
    count = int(client.llen("celery"))
    client.close()
    return count


def test_what_is_due_is_carried_out_oldest_first(sink: Sink) -> None:
    owe(1, 2, 3)

    tasks.deliver()

    assert sink.got == [1, 2, 3]
    assert not OutboxRow.objects.exists()


def test_the_verb_leaves_it_to_the_worker_and_asks_it_to_look(sink: Sink) -> None:
    acme = make_organization()

    with bound(RequestContext()):
        _rename_and_owe(acme)
        assert current().effective_everywhere

    assert sink.tried == []
    assert [row.kind for row in OutboxRow.objects.all()] == ["slow"]
    assert asked() == 1
    assert outbox.drain() == 0
    assert sink.tried == [], "the sweep of versions does not touch it"


def _rename_and_owe(organization: Organization) -> None:
    @verb(Action.ORGANIZATION_CHANGED)
    def rename(row: Organization, *, by: Any) -> None:
        organizations.rename(row, name="New", by=by)
        owe(1)

    rename(organization, by=operator)


def test_one_that_fails_waits_longer_each_time_and_holds_up_no_other(sink: Sink) -> None:
    sink.refused = {1}
    start = now()
    owe(1, 2)
    waits = []

    deliveries.deliver()
    for _ in range(9):
        due = OutboxRow.objects.get().due_at
        with at(due - timedelta(seconds=2)):
            assert deliveries.deliver() == 0
        with at(due + timedelta(milliseconds=5)):
            before = now()
            deliveries.deliver()
            waits.append(round((OutboxRow.objects.get().due_at - before).total_seconds() / 60))

    assert sink.got == [2]
    assert sink.tried.count(1) == 10
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    sink.refused = set()
    with at(start + timedelta(days=1)):
        assert deliveries.deliver() == 1
    assert not OutboxRow.objects.exists()


def test_what_fails_for_three_days_is_given_up_and_kept(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    sink.refused = {1}
    owe(1, 2)

    with at(now() + timedelta(days=3, seconds=1)):
        deliveries.deliver()
        deliveries.deliver()
        assert not deliveries.owed().exists()

    [row] = OutboxRow.objects.exclude(dead_at=None)
    assert (row.attempts, row.last_error) == (1, "ConnectionError")
    assert (sink.tried, sink.got) == ([1, 2], [2]), "it is not tried again by itself"
    assert "an effect is given up" in caplog.text
    assert events(action="delivery.given_up", target_id=str(row.pk)) == ["delivery.given_up allowed"]


def test_a_row_that_another_worker_has_taken_is_left_to_it(sink: Sink) -> None:
    owe(1)
    row = OutboxRow.objects.get()
    assert deliveries._claimed(row)

    assert not deliveries._claimed(row), "read before the other took it"
    assert deliveries.deliver() == 0
    with at(now() + deliveries.LEASE + timedelta(seconds=1)):
        assert deliveries.deliver() == 1, "the other did not come back"


def test_while_one_thread_delivers_another_does_not_wait_for_it(sink: Sink) -> None:
    owe(1)
    with deliveries._at_work:
        assert deliveries.deliver() == 0
    assert deliveries.deliver() == 1


def test_a_round_begins_nothing_new_after_its_time(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    owe(1, 2)
    monkeypatch.setattr(deliveries, "ROUND", 0.0)

    assert deliveries.deliver() == 0
    assert sink.tried == []


def test_the_worker_knows_the_task_that_it_is_asked_for() -> None:
    ours.app.loader.import_default_modules()

    assert deliveries.TASK in ours.app.tasks
    assert isinstance(broker.producer(), Celery)
    assert broker.producer().conf.broker_url == ours.app.conf.broker_url


@pytest.mark.fault
def test_without_a_broker_the_verb_is_done_all_the_same(sink: Sink, valkey: Valkey) -> None:
    deliveries.ask_for_worker()
    valkey.stop()

    deliveries.ask_for_worker()
    _rename_and_owe(make_organization())

    assert OutboxRow.objects.filter(kind="slow").count() == 1
