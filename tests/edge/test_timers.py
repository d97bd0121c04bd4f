"""Timers: one run a slot, however many beats ask and however often a task is delivered; no run is owed for ever."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from config.celery import app
from config.edge import timers
from config.edge.clock import now
from config.edge.models import Timer
from config.edge.schedule import EVERY
from config.edge.tasks import heartbeat
from tokens.models import EmergencyAccess

SLOT = 30  # seconds


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of a task that is in the schedule."""
    monkeypatch.setitem(EVERY, f"{__name__}.sweep", SLOT)
    return []


def sweep_into(runs: list[int], *, name: str = "sweep", fails: bool = False) -> None:
    @timers.once(name)
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

    with time_machine.travel(now() + timedelta(seconds=SLOT)):
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
    assert app.conf.broker_transport_options["visibility_timeout"] > longest
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.worker_soft_shutdown_timeout > 0
    assert app.conf.worker_enable_soft_shutdown_on_idle


def test_every_task_is_in_the_schedule_but_the_one_that_waits_for_a_windows_end() -> None:
    app.loader.import_default_modules()
    ours = {name for name in app.tasks if not name.startswith("celery.")}

    assert {name: entry["task"] for name, entry in app.conf.beat_schedule.items()} == {n: n for n in EVERY}
    assert ours == {*EVERY, "tokens.tasks.end_emergency"}


def test_the_page_says_how_often_each_task_runs(repository: Path) -> None:
    page = (repository / "docs" / "timers.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_.*]+)` \| (\d+) (s|min|h)\b", page, re.MULTILINE)
    told = {name: float(count) * {"s": 1, "min": 60, "h": 3600}[unit] for name, count, unit in rows}

    forgetting = {task for task in EVERY if ".forget_" in task}
    assert {EVERY[task] for task in forgetting} == {told.pop("forget_*")}
    assert told == {task: seconds for task, seconds in EVERY.items() if task not in forgetting}
