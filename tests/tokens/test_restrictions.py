"""Networks, rates and windows: one spelling, every other input refused in words, and compared as the sets they are."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokens.restrictions import (
    DAYS,
    UNRESTRICTED,
    Rate,
    Restrictions,
    Window,
    admits_address,
    admits_moment,
    exceeding,
    from_stored,
    gains_and_losses,
    inherited,
    parse_networks,
    parse_rate,
    parse_windows,
)

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def window(days: Any = ("mon",), start: Any = "08:00", end: Any = "18:00") -> dict[str, Any]:
    return {"days": list(days), "start": start, "end": end}


def networks(*texts: str) -> Restrictions:
    return Restrictions(networks=parse_networks(list(texts)))


def rate(text: str) -> Restrictions:
    return Restrictions(rate=parse_rate(text))


def windows(*items: dict[str, Any]) -> Restrictions:
    return Restrictions(windows=parse_windows(list(items)))


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("::ffff:0a01:0203", "10.1.2.3/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("64:ff9b::/96", "64:ff9b::/96"),
        ("2002::/16", "2002::/16"),
    ],
)
def test_a_network_or_an_address_is_kept_in_one_spelling(written: str, kept: str) -> None:
    assert [str(network) for network in parse_networks([written])] == [kept]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([], "at least one"),
        (None, "A list"),
        ("10.0.0.0/8", "A list"),
        ({"10.0.0.0/8": 1}, "A list"),
        ([167772161], "is a text"),
        ([True], "is a text"),
        ([b"\n\0\0\1"], "is a text"),
        ([None], "is a text"),
        ([["10.0.0.0/8"]], "is a text"),
        (["10.0.0.1/8"], "The network is 10.0.0.0/8"),
        (["::ffff:10.0.0.1/104"], "The network is 10.0.0.0/8"),
        (["2001:db8::1/32"], "The network is 2001:db8::/32"),
        (["10.0.0.0/255.0.0.0"], "prefix length"),
        (["10.0.0.0/0.255.255.255"], "prefix length"),
        (["10.0.0.0/08"], "prefix length"),
        (["10.0.0.0/33"], "prefix length"),
        (["fe80::1%eth0"], "prefix length"),
        (["fe80::%1/64"], "prefix length"),
        (["010.0.0.1"], "prefix length"),
        (["0x0a000001"], "prefix length"),
        (["012.0.0.0/8"], "prefix length"),
        (["10.1"], "prefix length"),
        (["167772161"], "prefix length"),
        (["10.0.0.1 "], "prefix length"),
        (["10.0.0.1\n"], "prefix length"),
        (["\u0661.2.3.4"], "prefix length"),
        ([""], "prefix length"),
        (["10.0.0.0/8,11.0.0.0/8"], "prefix length"),
        (["localhost"], "prefix length"),
        (["10.0.0.0/8", "::ffff:10.0.0.0/104"], "10.0.0.0/8 is there twice"),
        (["192.0.2.7", "192.0.2.7/32"], "192.0.2.7/32 is there twice"),
        ([f"10.0.{number // 256}.{number % 256}" for number in range(101)], "At most 100"),
        (["1" * 50_000], "prefix length"),
    ],
)
def test_what_is_no_list_of_networks_is_refused_in_words(sent: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        parse_networks(sent)
    assert len(str(refusal.value)) < 250
    assert str(refusal.value).isprintable()


def test_a_hundred_networks_that_overlap_are_kept() -> None:
    kept = parse_networks(["10.0.0.0/8", *(f"10.0.0.{number}" for number in range(99))])

    assert len(kept) == 100


@pytest.mark.parametrize("written", ["1/second", "1000000/day", "60/minute", "5000/hour"])
def test_a_rate_is_a_count_in_a_period(written: str) -> None:
    assert str(parse_rate(written)) == written


@pytest.mark.parametrize(
    "written",
    [
        *(
            "1e3/hour",
            "+5/minute",
            "-5/minute",
            "0/hour",
            "00/hour",
            "05/hour",
            "1000001/day",
            f"1{'0' * 20}/hour",
        ),
        *(
            " 10/hour",
            "10/hour\n",
            "10 /hour",
            "10/ hour",
            "\u0661\u0660/hour",
            "10/h",
            "10/Hour",
            "10/hours",
        ),
        *("10", "/hour", "10/", "", "1.5/second", "10/week", "1_0/day", "10/second/minute", "three/second"),
        *(10, 1.5, True, None, [], {}, ["10/hour"]),
    ],
)
def test_what_is_no_rate_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match="N from 1 to 1000000"):
        parse_rate(written)


def test_windows_are_kept_with_their_days_in_the_order_of_the_week() -> None:
    sent = [window(["sun", "mon"], "00:00", "24:00"), window(["fri"], "22:00", "06:00")]

    kept = Restrictions(windows=parse_windows(sent)).as_json()["access_windows"]

    assert kept == [window(["mon", "sun"], "00:00", "24:00"), window(["fri"], "22:00", "06:00")]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([], "at least one"),
        (None, "A list"),
        (window(), "A list"),
        ([None], "exactly"),
        ([[]], "exactly"),
        ([{"days": ["mon"], "start": "08:00"}], "exactly"),
        ([window() | {"zone": "UTC"}], "exactly"),
        ([window([])], "at least one of mon"),
        ([window() | {"days": "mon"}], "at least one of mon"),
        ([window() | {"days": None}], "at least one of mon"),
        ([window(["mon", "mon"])], "twice"),
        ([window(["Mon"])], "A day is one of"),
        ([window(["monday"])], "A day is one of"),
        ([window([0])], "A day is one of"),
        ([window([8])], "A day is one of"),
        ([window([["mon"]])], "A day is one of"),
        ([window(start="08:00", end="08:00")], "is empty"),
        ([window(start="00:00", end="00:00")], "is empty"),
        ([window(start="24:00", end="06:00")], "HH:MM"),
        ([window(start="08:00:00")], "HH:MM"),
        ([window(start="7:5")], "HH:MM"),
        ([window(start="08:60")], "HH:MM"),
        ([window(end="24:01")], "HH:MM"),
        ([window(end="24:00:00Z")], "HH:MM"),
        ([window(end="23:59:60")], "HH:MM"),
        ([window(start="09:00+02:00")], "HH:MM"),
        ([window(start="09:00Z")], "HH:MM"),
        ([window(start="\u0660\u0669:00")], "HH:MM"),
        ([window(start=" 09:00")], "HH:MM"),
        ([window(start="09:00\n")], "HH:MM"),
        ([window(start=900)], "HH:MM"),
        ([window(start=None)], "HH:MM"),
        ([window(), window()], "twice"),
        ([window(start=f"08:{minute:02}") for minute in range(21)], "At most 20"),
    ],
)
def test_what_is_no_list_of_windows_is_refused_in_words(sent: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_windows(sent)


def test_what_is_stored_comes_back_as_it_was() -> None:
    restrictions = Restrictions(
        parse_networks(["192.0.2.7", "2001:db8::/32"]), parse_rate("3/second"), parse_windows([window()])
    )

    assert from_stored(**restrictions.as_json()) == restrictions
    assert from_stored(**UNRESTRICTED.as_json()) == UNRESTRICTED
    assert from_stored(None, "", None) == UNRESTRICTED


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("::ffff:11.0.0.1", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("64:ff9b::a01:203", False),  # NAT64, and the other ways to write IPv4 into IPv6, are other addresses
        ("2002:a01:203::", False),
        ("::10.1.2.3", False),
        ("fe80::1%eth0", False),
        ("garbage", False),
        ("", False),
        (None, False),
    ],
)
def test_an_address_is_admitted_by_a_network_that_holds_it(address: str | None, admitted: bool) -> None:
    assert admits_address(networks("10.0.0.0/8", "2001:db8::/32"), address) is admitted
    assert admits_address(UNRESTRICTED, address)


def test_an_empty_list_that_was_stored_somehow_admits_nobody() -> None:
    broken = from_stored([], None, [])

    assert not admits_address(broken, "10.0.0.1")
    assert not admits_moment(broken, MONDAY)


@pytest.mark.parametrize(
    ("days", "clock", "admitted"),
    [
        (4, "22:00:00", True),
        (4, "23:00:00", True),
        (5, "05:59:59.999999", True),
        (5, "06:00:00", False),
        (4, "05:00:00", False),
        (4, "21:59:59.999999", False),
        (5, "23:00:00", False),
        (6, "23:59:59.999999", True),
        (7, "00:29:59.999999", True),  # Sunday's night on Monday
        (7, "00:30:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_it_starts_on(
    days: int, clock: str, admitted: bool
) -> None:
    restrictions = windows(window(["fri"], "22:00", "06:00"), window(["sun"], "23:30", "00:30"))
    moment = datetime.fromisoformat(f"{(MONDAY + timedelta(days=days)).date()}T{clock}+00:00")

    assert admits_moment(restrictions, moment) is admitted
    assert admits_moment(UNRESTRICTED, moment)


@pytest.mark.parametrize(
    ("inner", "outer", "words"),
    [
        (UNRESTRICTED, UNRESTRICTED, []),
        (networks("10.1.0.0/16"), UNRESTRICTED, []),
        (networks("10.1.0.0/16", "10.2.3.4"), networks("10.0.0.0/8"), []),
        (networks("10.0.0.0/8"), networks("10.0.0.0/9", "10.128.0.0/9"), []),
        (networks("10.0.0.0/7"), networks("10.0.0.0/8"), ["calls from 10.0.0.0/7"]),
        (networks("10.1.0.0/16", "2001:db8::/32"), networks("10.0.0.0/8"), ["calls from 2001:db8::/32"]),
        (UNRESTRICTED, networks("0.0.0.0/0", "::/0"), ["calls from any network"]),
        (rate("3/second"), rate("180/minute"), []),
        (rate("3/second"), rate("179/minute"), ["calls at a rate of 3/second"]),
        (rate("10/hour"), rate("10/second"), []),
        (rate("11/hour"), rate("10/second"), ["calls at a rate of 11/hour"]),
        (UNRESTRICTED, rate("1000000/second"), ["any number of calls"]),
        (windows(window(start="09:00")), windows(window()), []),
        (windows(window(end="18:01")), windows(window()), ["calls on mon 08:00–18:01 UTC"]),
        (windows(window(["sun"], "22:00", "02:00")), windows(window(["sun"], "22:00", "24:00")), None),
        (
            windows(window(["sun"], "22:00", "02:00")),
            windows(window(["sun"], "22:00", "24:00"), window(["mon"], "00:00", "02:00")),
            [],
        ),
        (UNRESTRICTED, windows(window(DAYS, "00:00", "24:00")), []),
        (UNRESTRICTED, windows(window()), ["calls at any time"]),
    ],
)
def test_what_one_allows_and_the_other_does_not_is_told(
    inner: Restrictions, outer: Restrictions, words: list[str] | None
) -> None:
    found = exceeding(inner, outer)

    assert found == ["calls on sun 22:00–02:00 UTC"] if words is None else found == words


def test_a_change_of_rate_may_gain_and_lose() -> None:
    assert gains_and_losses(rate("3/second"), rate("100/minute")) == (
        ["calls at a rate of 100/minute"],
        ["calls at a rate of 3/second"],
    )
    assert gains_and_losses(networks("10.0.0.0/8"), networks("10.1.0.0/16")) == (
        [],
        ["calls from 10.0.0.0/8"],
    )


def test_what_is_not_asked_for_is_as_the_issuer_has_it() -> None:
    issuer = Restrictions(parse_networks(["10.0.0.0/8"]), parse_rate("3/second"), parse_windows([window()]))
    asked = networks("10.1.0.0/16")

    assert inherited(asked, issuer) == Restrictions(asked.networks, issuer.rate, issuer.windows)
    assert inherited(asked, UNRESTRICTED) == asked


# The slow second reading: everything there is, one by one.

TIMES = st.integers(0, 95).map(lambda quarter: quarter * 15)  # coarse, so that windows meet


@st.composite
def some_windows(draw: st.DrawFn) -> tuple[Window, ...]:
    found = []
    for _ in range(draw(st.integers(1, 3))):
        start = draw(TIMES)
        end = draw(st.sampled_from([minute for minute in (*range(0, 1440, 15), 1440) if minute != start]))
        chosen = draw(st.sets(st.sampled_from(DAYS), min_size=1))
        found.append(Window(tuple(day for day in DAYS if day in chosen), start, end))
    return tuple(found)


def admitted_minutes(windows: tuple[Window, ...]) -> set[int]:
    """Each minute of the week in which somebody who walks from a start to its end is still walking."""
    found = set()
    for one in windows:
        for day in one.days:
            minute = DAYS.index(day) * 1440 + one.start
            last = DAYS.index(day) * 1440 + one.end + (0 if one.end > one.start else 1440)
            while minute < last:
                found.add(minute % 10_080)
                minute += 1
    return found


@given(some_windows(), st.integers(0, 10_079), st.integers(0, 59))
def test_a_moment_is_admitted_by_whoever_walks_through_the_window(
    some: tuple[Window, ...], minute: int, second: int
) -> None:
    moment = MONDAY + timedelta(weeks=3, minutes=minute, seconds=second)

    assert admits_moment(Restrictions(windows=some), moment) == (minute in admitted_minutes(some))


@given(some_windows(), some_windows())
def test_windows_exceed_where_a_minute_does(inner: tuple[Window, ...], outer: tuple[Window, ...]) -> None:
    found = exceeding(Restrictions(windows=inner), Restrictions(windows=outer))

    assert bool(found) == bool(admitted_minutes(inner) - admitted_minutes(outer))


# Networks of a small world: the addresses 10.0.0.0 to 10.0.0.31, and as many of IPv6.
@st.composite
def some_networks(draw: st.DrawFn) -> Restrictions:
    texts = set()
    for _ in range(draw(st.integers(1, 5))):
        size = draw(st.sampled_from([1, 2, 4, 8, 16, 32]))
        first = draw(st.integers(0, 32 // size - 1)) * size
        bits = size.bit_length() - 1
        texts.add(draw(st.sampled_from([f"10.0.0.{first}/{32 - bits}", f"2001:db8::{first:x}/{128 - bits}"])))
    return networks(*sorted(texts))


EVERY_ADDRESS = [f"10.0.0.{last}" for last in range(32)] + [f"2001:db8::{last:x}" for last in range(32)]


@given(some_networks(), some_networks())
def test_networks_exceed_where_an_address_does(inner: Restrictions, outer: Restrictions) -> None:
    more = [
        address
        for address in EVERY_ADDRESS
        if admits_address(inner, address) and not admits_address(outer, address)
    ]

    assert bool(exceeding(inner, outer)) == bool(more)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 12), st.integers(1, 12))
def test_a_rate_exceeds_where_its_fastest_caller_does(
    inner_seconds: int, outer_seconds: int, inner_count: int, outer_count: int
) -> None:
    """The fastest caller: all calls of a period at its first instant, again and again."""
    inner, outer = Rate(inner_count, inner_seconds), Rate(outer_count, outer_seconds)
    instants = [period * inner_seconds for period in range(40) for _ in range(inner_count)]
    most = max(sum(start <= at < start + outer_seconds for at in instants) for start in range(60))

    assert inner.is_within(outer) == (most <= outer_count)
