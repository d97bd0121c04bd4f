"""Effects outside the database: owed with the change, carried out after it, again until done."""

from collections.abc import Iterator
from typing import Any

import pytest

from audit import outbox, tasks
from audit.models import OutboxRow

pytestmark = pytest.mark.django_db


class Sink:
    """Takes payloads, unless it is broken."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.is_broken = False

    def __call__(self, payloads: Any) -> None:
        if self.is_broken:
            raise ConnectionError("broken")
        self.got += payloads


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    outbox.register("test", sink)
    yield sink
    outbox._publishers.pop("test")


def test_the_sweep_carries_out_what_is_owed_oldest_first(sink: Sink) -> None:
    for number in range(3):
        outbox.add("test", {"n": number})

    tasks.drain_outbox()

    assert sink.got == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert OutboxRow.objects.count() == 0


def test_what_fails_stays_owed_and_holds_up_nothing_else(sink: Sink) -> None:
    other = Sink()
    outbox.register("other", other)
    sink.is_broken = True
    outbox.add("test", {"n": 1})
    outbox.add("other", {"n": 2})

    left = outbox.drain()

    assert (left, other.got) == (1, [{"n": 2}])
    assert [row.payload for row in OutboxRow.objects.all()] == [{"n": 1}]
    sink.is_broken = False
    assert (outbox.drain(), sink.got) == (0, [{"n": 1}])
    outbox._publishers.pop("other")


def test_a_kind_that_nobody_knows_stays_owed(sink: Sink) -> None:
    outbox.add("unknown", {})

    assert outbox.drain() == 1
    assert outbox.settle(list(OutboxRow.objects.all())) is False
