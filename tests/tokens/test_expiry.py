"""How people write expiries, lifetimes, overlaps and rotation intervals, and what is refused."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokens import expiry

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
NOT_TEXT: list[object] = [
    None,
    True,
    False,
    0,
    1,
    1893456000,
    1893456000.5,
    math.nan,
    math.inf,
    b"2030-01-01",
    [],
    {},
    ["7d"],
    NOW,
]
UNTIDY = [
    "",
    " ",
    "\n",
    "\0",
    "null",
    "None",
    "7d ",
    " 7d",
    "7d\n",
    "7D",
    "+7d",
    "-7d",
    "\u0667d",
    "\uff17d",
    "7.0d",
    "7 d",
]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-12-31T18:00:00Z", datetime(2030, 12, 31, 18, tzinfo=UTC)),
        ("2030-12-31t18:00:00z", datetime(2030, 12, 31, 18, tzinfo=UTC)),
        ("2030-12-31T18:00:00+00:00", datetime(2030, 12, 31, 18, tzinfo=UTC)),
        ("2030-12-31T18:00:00-00:00", datetime(2030, 12, 31, 18, tzinfo=UTC)),
        ("2030-12-31T18:00:00+05:30", datetime(2030, 12, 31, 12, 30, tzinfo=UTC)),
        ("2030-12-31T18:00:00-08:00", datetime(2031, 1, 1, 2, tzinfo=UTC)),
        ("2030-12-31T18:00:00.5Z", datetime(2030, 12, 31, 18, 0, 0, 500_000, tzinfo=UTC)),
        ("2030-12-31T18:00:00.123456Z", datetime(2030, 12, 31, 18, 0, 0, 123_456, tzinfo=UTC)),
        ("2030-12-31T18:00:00.123456789Z", datetime(2030, 12, 31, 18, 0, 0, 123_456, tzinfo=UTC)),
        ("2030-12-31", datetime(2030, 12, 31, tzinfo=UTC)),
        ("2028-02-29", datetime(2028, 2, 29, tzinfo=UTC)),
        ("2026-03-04T12:00:00.000001Z", NOW + timedelta(microseconds=1)),
        ("2126-03-05T12:00:00Z", NOW + timedelta(days=36525)),
    ],
)
def test_an_instant_or_a_date_is_read_as_utc(text: str, moment: datetime) -> None:
    read = expiry.parse_expires_at(text, NOW)

    assert read == moment
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        *NOT_TEXT,
        *UNTIDY,
        "never",
        "1893456000",
        "1893456000.0",
        "1e9",
        "nan",
        "2030-12-31T18:00:00",  # no offset
        "2030-12-31T18:00",
        "2030-12-31T18:00Z",
        "2030-12-31T18Z",
        "2030-12-31 18:00:00Z",
        "2030-12-31T18:00:00 Z",
        "2030-12-31Z",
        "2030-12-31T18:00:00+0100",
        "2030-12-31T18:00:00+01",
        "2030-12-31T18:00:00+01:00:00",
        "2030-12-31T18:00:00+24:00",
        "2030-12-31T18:00:00+01:60",
        "2030-12-31T18:00:00.Z",
        "2030-12-31T18:00:00,5Z",
        "2030-12-31T18:00:00.1234567890Z",
        "2030-12-31T24:00:00Z",
        "2030-12-31T23:59:60Z",
        "2030-12-31T23:60:00Z",
        "2030-W01-1",
        "2030-W01",
        "2030-001",
        "2030W011",
        "20301231",
        "20301231T180000Z",
        "2030-12",
        "2030",
        "30-12-31",
        "02030-12-31",
        "+2030-12-31",
        "-2030-12-31",
        "12030-12-31",
        "31.12.2030",
        "12/31/2030",
        "2030-02-29",  # no leap year
        "2030-13-01",
        "2030-00-01",
        "2030-01-00",
        "2030-12-32",
        "0000-01-01",
        "2030-12-31\n",
        " 2030-12-31",
        "2030-12-31T18:00:00Z\n",
        "\uff12\uff10\uff13\uff10-12-31",
        "\u0662\u0660\u0663\u0660-12-31",
        "2030\u201012\u201031",
        "2030-12-31T18:00:00Z" + "0" * 100_000,
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_anything_else_is_no_expiry(text: object) -> None:
    with pytest.raises(ValueError, match=r"^(Write a date|There is no such)"):
        expiry.parse_expires_at(text, NOW)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00"])
def test_an_instant_that_has_no_utc_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no such date"):
        expiry.parse_expires_at(text, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-04T12:00:00Z",  # now itself
        "2026-03-04T13:00:00+01:00",
        "2026-03-04T11:59:59.999999Z",
        "2026-03-04",  # ended twelve hours ago
        "2026-03-03",
        "1970-01-01",
        "0001-01-01",
        "0001-01-01T00:00:00Z",
    ],
)
def test_an_expiry_that_is_past_or_now_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="future"):
        expiry.parse_expires_at(text, NOW)


@pytest.mark.parametrize(
    "text", ["2126-03-06", "2126-03-05T12:00:00.000001Z", "9999-12-31T23:59:59Z", "9999-12-31"]
)
def test_an_expiry_beyond_a_hundred_years_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hundred years"):
        expiry.parse_expires_at(text, NOW)


@given(st.text())
def test_reading_an_expiry_only_ever_refuses_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z].*[.Z]$"):
        expiry.parse_expires_at(text, NOW)


@given(st.timedeltas(timedelta(microseconds=1), expiry.MAX_AHEAD), st.integers(-23 * 60, 23 * 60))
def test_every_offset_names_the_same_instant(ahead: timedelta, minutes: int) -> None:
    local = (NOW + ahead + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat()
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"

    assert expiry.parse_expires_at(local + offset, NOW) == NOW + ahead


@pytest.mark.parametrize(
    ("text", "days"),
    [("7d", 7), ("30d", 30), ("90d", 90), ("1w", 7), ("1m", 30), ("3m", 90), ("6m", 180), ("1y", 365)],
)
def test_each_named_lifetime_is_a_number_of_days(text: str, days: int) -> None:
    assert expiry.parse_expires_in(text) == timedelta(days=days)


def test_never_is_no_lifetime_and_not_zero() -> None:
    assert expiry.parse_expires_in("never") is None


@pytest.mark.parametrize(
    "text",
    [
        *NOT_TEXT,
        *UNTIDY,
        "Never",
        "NEVER",
        "never ",
        "0",
        "0d",
        "8d",
        "365d",
        "2y",
        "12m",
        "1h",
        "2030-12-31",
    ],
    ids=ascii,
)
def test_no_other_lifetime_has_a_name(text: object) -> None:
    with pytest.raises(ValueError, match=r"^Write one of 7d, 30d, 90d, 1w, 1m, 3m, 6m, 1y, never[.]$"):
        expiry.parse_expires_in(text)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0", timedelta()),
        ("0m", timedelta()),
        ("0h", timedelta()),
        ("0d", timedelta()),
        ("1m", timedelta(minutes=1)),
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(days=1)),
        ("7d", WEEK),
        ("168h", WEEK),
        ("10080m", WEEK),
    ],
)
def test_an_overlap_is_read_in_minutes_hours_or_days(text: str, span: timedelta) -> None:
    assert expiry.parse_duration(text, maximum=WEEK) == span


@pytest.mark.parametrize(
    "text",
    [
        *NOT_TEXT,
        *UNTIDY,
        *["1", "24", "h", "00", "00h", "07d", "-0", "-1h", "1w", "1s", "1y", "1.5h", "1e3m", "0x1h", "1h30m"],
        *["PT1H", "24H", "1_0h", "\u00b2h", "never", "1" * 100_000 + "h", "1000000m"],
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_anything_else_is_no_overlap(text: object) -> None:
    with pytest.raises(ValueError, match=r"^Write a whole number"):
        expiry.parse_duration(text, maximum=WEEK)


@pytest.mark.parametrize("text", ["8d", "169h", "10081m", "999999d"])
def test_an_overlap_above_the_maximum_is_refused_with_the_maximum(text: str) -> None:
    with pytest.raises(ValueError, match=r"^At most 7d[.]$"):
        expiry.parse_duration(text, maximum=WEEK)


@pytest.mark.parametrize(("text", "days"), [("1d", 1), ("90d", 90), ("3650d", 3650)])
def test_a_rotation_interval_is_a_number_of_days(text: str, days: int) -> None:
    assert expiry.parse_rotate_every(text) == timedelta(days=days)


@pytest.mark.parametrize(
    "text",
    [
        *NOT_TEXT,
        *UNTIDY,
        "0",
        "0d",
        "90",
        "090d",
        "3651d",
        "9999d",
        "10000d",
        "1w",
        "3m",
        "24h",
        "1.5d",
        "never",
    ],
    ids=ascii,
)
def test_anything_else_is_no_rotation_interval(text: object) -> None:
    with pytest.raises(ValueError, match=r"^Write a number of days from 1d to 3650d"):
        expiry.parse_rotate_every(text)


@given(st.integers(1, 3650))
def test_a_rotation_interval_is_written_as_it_is_read(days: int) -> None:
    assert expiry.parse_rotate_every(expiry.format_days(timedelta(days=days))) == timedelta(days=days)


@given(st.integers(0, 7 * 24 * 60))
def test_an_overlap_is_written_as_it_is_read(minutes: int) -> None:
    span = timedelta(minutes=minutes)

    assert expiry.parse_duration(expiry.format_duration(span), maximum=WEEK) == span


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "0"),
        (timedelta(minutes=90), "90m"),
        (timedelta(hours=36), "36h"),
        (timedelta(hours=24), "1d"),
        (WEEK, "7d"),
    ],
)
def test_a_span_is_written_in_the_largest_unit_that_divides_it(span: timedelta, text: str) -> None:
    assert expiry.format_duration(span) == text


def test_a_span_that_cannot_be_written_is_refused_rather_than_rounded() -> None:
    with pytest.raises(ValueError, match="days"):
        expiry.format_days(timedelta(hours=36))
    with pytest.raises(ValueError, match="minutes"):
        expiry.format_duration(timedelta(seconds=90))
