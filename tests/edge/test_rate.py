"""The counter of calls: what it admits, when it would admit again, and that script and row say the same."""

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.edge import clock, rate
from config.edge.models import RateCounter
from config.edge.rate import CONSUME, SLOTS, Entries, Usage, slide
from config.edge.redis import state
from config.edge.written_rates import parse_rate, write_rate

PERIOD = 6_000  # microseconds, so that a part of it is a hundred
# Steps between calls; the clock may be set back too.
STEPS = st.lists(
    st.sampled_from([0, 1, 7, 50, 99, 100, 101, 900, 3_000, 5_999, 6_000, 6_101, -40, -9_000]), max_size=80
)
FORWARD = st.lists(st.sampled_from([0, 1, 7, 50, 99, 100, 101, 900, 3_000, 5_999, 6_000, 6_101]), max_size=80)


def instants(steps: list[int]) -> list[int]:
    at, found = 1_700_000_000_000_000, []
    for step in steps:
        at += step
        found.append(at)
    return found


def test_a_rate_has_one_spelling() -> None:
    for text in ("3/second", "100/minute", "1000/hour", "1000000/day"):
        assert write_rate(*parse_rate(text)) == text
    for wrong in ("3/s", "3", "0/day", "1000001/day", "03/day", " 3/day", None, 3):
        with pytest.raises(ValueError, match="N/second"):
            parse_rate(wrong)


@given(st.integers(1, SLOTS), FORWARD)
def test_few_calls_are_counted_one_by_one(count: int, steps: list[int]) -> None:
    """The slow second reading: the instants of all admitted calls."""
    entries: Entries = []
    admitted: list[int] = []
    for at in instants(steps):
        lately = sum(earlier > at - PERIOD for earlier in admitted)
        entries, (is_admitted, remaining, _, _) = slide(entries, count, PERIOD, at)
        assert is_admitted == (lately < count)
        assert remaining == max(count - lately - 1, 0)
        admitted += [at] * is_admitted


@given(st.sampled_from([61, 62, 65, 70]), FORWARD, st.integers(1, 4))
def test_many_calls_are_never_more_in_any_period_and_hardly_late(
    count: int, steps: list[int], burst: int
) -> None:
    entries: Entries = []
    admitted: list[int] = []
    for at in [instant for instant in instants(steps) for _ in range(burst)]:
        entries, (is_admitted, *_) = slide(entries, count, PERIOD, at)
        if not is_admitted:
            assert sum(earlier > at - PERIOD - PERIOD // SLOTS for earlier in admitted) >= count
        admitted += [at] * is_admitted
        assert sum(earlier > at - PERIOD for earlier in admitted) <= count
        assert len(entries) <= SLOTS + 2


@given(st.sampled_from([1, 2, 5, 61]), STEPS)
def test_it_says_when_it_admits_again(count: int, steps: list[int]) -> None:
    entries: Entries = []
    for at in instants(steps):
        entries, (_, remaining, wait, grows) = slide(entries, count, PERIOD, at)
        assert (wait == 0) == (remaining > 0)
        assert 0 < grows <= PERIOD
        if wait:
            assert not slide(entries, count, PERIOD, at + wait - 1)[1][0]
            assert slide(entries, count, PERIOD, at + wait)[1][0]
        else:
            assert slide(entries, count, PERIOD, at + grows)[1][1] >= remaining


def test_a_limit_that_was_lowered_counts_what_was_admitted_before() -> None:
    entries: Entries = []
    for at in range(10):
        entries, _ = slide(entries, 10, PERIOD, at)

    assert slide(entries, 3, PERIOD, 10)[1] == (0, 0, PERIOD + 7 - 10, PERIOD + 7 - 10)


@settings(max_examples=40)
@given(st.sampled_from([1, 3, 60, 61, 65]), STEPS)
def test_the_script_says_the_same_as_the_row(count: int, steps: list[int]) -> None:
    consume = state().register_script(
        f"{CONSUME} return consume(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))"
    )
    key = f"test:{uuid4()}"
    entries: Entries = []
    for at in instants(steps):
        entries, answer = slide(entries, count, PERIOD, at)
        # it lives by the server's own clock, which knows nothing of these instants
        state().persist(key)
        assert tuple(consume(keys=[key], args=[count, PERIOD, at])) == answer
    state().delete(key)


@pytest.fixture(params=["valkey", "database"])
def consume(request: pytest.FixtureRequest, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "database":
        monkeypatch.setattr(rate, "_in_valkey", rate.consume_in_database)


@pytest.mark.usefixtures("consume")
def test_a_full_window_says_when_to_come_again_and_opens_then() -> None:
    start = clock.now()

    def at(seconds: float) -> Usage:
        with clock.at(start + timedelta(seconds=seconds)):
            return rate.consume("one", 2, 60)

    assert at(0) == Usage(True, 2, 1, 0, 60)
    assert at(20.5) == Usage(True, 2, 0, 40, 40)
    assert at(30.5) == Usage(False, 2, 0, 30, 30)
    assert at(59.5) == Usage(False, 2, 0, 1, 1)
    assert at(61) == Usage(True, 2, 0, 20, 20)
    assert rate.consume("another", 2, 60).allowed
    assert rate.headers("token", at(62), 60) == {
        "RateLimit": '"token";r=0;t=19',
        "RateLimit-Policy": '"token";q=2;w=60',
    }


def kept_for(key: str) -> float:
    """Seconds from now after which the counter may be forgotten, in the store that has it."""
    row = RateCounter.objects.filter(pk=key).first()
    return (row.ends_at - clock.now()).total_seconds() if row else float(state().pttl(f"rate:{key}")) / 1000


@pytest.mark.usefixtures("consume")
def test_what_was_admitted_counts_on_where_the_period_becomes_another() -> None:
    start = clock.now()

    with clock.at(start):
        assert [rate.consume("one", 2, 1).allowed for _ in range(3)] == [True, True, False]
        for seconds in (60, 3600, 86_400):
            assert rate.consume("one", 2, seconds) == Usage(False, 2, 0, seconds, seconds)
            assert kept_for("one") == pytest.approx(seconds, abs=2), "as long as it counts"
    with clock.at(start + timedelta(seconds=59)):
        assert not rate.consume("one", 2, 60).allowed
    with clock.at(start + timedelta(seconds=61)):
        assert rate.consume("one", 2, 60).allowed
        assert rate.consume("one", 3, 1).remaining == 1
        assert rate.consume("one", 3, 60).remaining == 0


def test_rows_that_count_nothing_any_more_are_forgotten(db: None) -> None:
    start = clock.now()
    for key, ago, seconds in (
        ("long ago", timedelta(days=3), 86_400),
        ("just over", timedelta(seconds=121), 60),
        ("at work", timedelta(seconds=121), 3600),
        ("spared", timedelta(seconds=59), 60),
        ("spared since it counts for longer", timedelta(seconds=121), 60),
        ("new", timedelta(0), 86_400),
    ):
        with clock.at(start - ago):
            rate.consume_in_database(key, 2, seconds)
    with clock.at(start - timedelta(seconds=100)):
        rate.consume_in_database("spared since it counts for longer", 2, 3600)

    with clock.at(start):
        assert rate.forget() == 2
    left = {"at work", "spared", "spared since it counts for longer", "new"}
    assert set(RateCounter.objects.values_list("key", flat=True)) == left
