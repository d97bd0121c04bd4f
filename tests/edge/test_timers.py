"""Timers: one run a slot, however many beats ask and however often a task is delivered; no run is owed for ever."""

from datetime import timedelta

import pytest
import time_machine
from django.conf import settings

from config.celery import app
from config.edge import timers
from config.edge.clock import now
from config.edge.models import Timer
from config.edge.tasks import heartbeat
from tokens.models import EmergencyAccess

EVERY = 30


@pytest.fixture
def runs() -> list[int]:
    return []


def sweep_into(runs: list[int], *, name: str = "sweep", fails: bool = False) -> None:
    @timers.once(name, every=EVERY)
    def sweep() -> None:
        runs.append(1)
        if fails:
            raise RuntimeError("in the middle")

    sweep()


@pytest.mark.django_db
def test_of_several_deliveries_one_runs_a_slot_and_the_next_slot_has_its_own(runs: list[int]) -> None:
    at = now()
    moments = [(0, 1), (1, 1), (15, 1), (29, 2), (30, 2), (44, 2), (61, 3)]  # two beats, half a slot apart
    for seconds, so_far in moments:
        with time_machine.travel(at + timedelta(seconds=seconds), tick=False):
            sweep_into(runs)
        assert (seconds, len(runs)) == (seconds, so_far)

    row = Timer.objects.get()
    assert row.taken_at == row.done_at == at + timedelta(seconds=61)


@pytest.mark.django_db
def test_timers_do_not_take_each_others_slots(runs: list[int]) -> None:
    sweep_into(runs, name="one")
    sweep_into(runs, name="other")

    assert len(runs) == 2


@pytest.mark.django_db
def test_who_dies_in_a_slot_leaves_the_next_one_free(runs: list[int]) -> None:
    with pytest.raises(RuntimeError):
        sweep_into(runs, fails=True)
    assert Timer.objects.get().done_at is None

    with time_machine.travel(now() + timedelta(seconds=EVERY)):
        sweep_into(runs)

    assert len(runs) == 2
    assert Timer.objects.get().done_at is not None


@pytest.mark.django_db
def test_a_clock_that_is_set_back_stops_no_timer(runs: list[int]) -> None:
    with time_machine.travel(now() + timedelta(hours=1)):
        sweep_into(runs)

    sweep_into(runs)
    sweep_into(runs)

    assert len(runs) == 2


@pytest.mark.django_db
def test_the_last_heartbeat_is_known() -> None:
    assert timers.last_heartbeat() is None

    before = now()
    heartbeat()

    last = timers.last_heartbeat()
    assert last is not None
    assert before <= last <= now()


def test_what_the_schedule_asks_for_does_not_pile_up_while_workers_are_away() -> None:
    for entry in app.conf.beat_schedule.values():
        assert entry["options"]["expires"] == entry["schedule"]


def test_the_task_of_a_windows_end_outlives_the_longest_window_and_the_worker_that_holds_it() -> None:
    """It waits unacknowledged for its time: it is not given out anew before that, nor lost with its worker."""
    longest = EmergencyAccess.LONGEST * 3600
    assert settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] > longest
    assert settings.CELERY_TASK_ACKS_LATE
    assert settings.CELERY_TASK_REJECT_ON_WORKER_LOST
    assert settings.CELERY_WORKER_PREFETCH_MULTIPLIER == 1
    assert settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT > 0
    assert settings.CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE


def test_the_schedule_asks_for_each_timer_as_often_as_it_runs() -> None:
    app.loader.import_default_modules()
    asked = {entry["task"]: entry["schedule"] for entry in app.conf.beat_schedule.values()}
    every = {
        name: app.tasks[name].run.__dict__["every"] for name in asked if "every" in vars(app.tasks[name].run)
    }

    assert every == {name: asked[name] for name in every}
    assert "config.edge.tasks.heartbeat" in every
    assert len(every) == len(timers.every_of.keys() - {"sweep", "one", "other"})
