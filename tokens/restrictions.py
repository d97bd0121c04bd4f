"""From where, how often and when a token may be used: read strictly, compared, and asked. Pure values.

What is stored has one spelling: networks without host bits, a rate as `3/second`, windows of UTC minutes. None is no
restriction; an empty list never is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Any

from config.edge import written_rates
from config.edge.networks import Network, parse_address, parse_network_or_address

MOST_NETWORKS = 100
MOST_WINDOWS = 20
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # as datetime.weekday() counts
DAY = 1440  # minutes
TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
LONGEST_SHOWN = 60  # characters of what was sent, in the words that refuse it


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` calls in any `seconds`, all generations of the secret together."""

    count: int
    seconds: int

    def __str__(self) -> str:
        return written_rates.write_rate(self.count, self.seconds)

    def is_within(self, other: "Rate") -> bool:
        """Whether whoever keeps this one keeps the other one too."""
        return -(-other.seconds // self.seconds) * self.count <= other.count


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) in minutes of the day, UTC, on each of `days`; where the end is not later, it is the next day's."""

    days: tuple[str, ...]
    start: int
    end: int

    def __str__(self) -> str:
        return f"{' '.join(self.days)} {_time(self.start)}–{_time(self.end)}"

    def as_json(self) -> dict[str, Any]:
        return {"days": list(self.days), "start": _time(self.start), "end": _time(self.end)}

    def admits(self, weekday: int, minute: int) -> bool:
        """Whether that minute of that day (Monday is 0) lies in it."""
        if self.start < self.end:
            return DAYS[weekday] in self.days and self.start <= minute < self.end
        since_yesterday = DAYS[weekday - 1] in self.days and minute < self.end
        return since_yesterday or (DAYS[weekday] in self.days and minute >= self.start)


@dataclass(frozen=True, slots=True)
class Restrictions:
    """The three together. None does not restrict."""

    networks: tuple[Network, ...] | None = None
    rate: Rate | None = None
    windows: tuple[Window, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """As the API, the trail and a request for approval write them."""
        return {
            "allowed_networks": None
            if self.networks is None
            else [str(network) for network in self.networks],
            "rate_limit": None if self.rate is None else str(self.rate),
            "access_windows": None if self.windows is None else [window.as_json() for window in self.windows],
        }


UNRESTRICTED = Restrictions()


def parse_networks(value: Any) -> tuple[Network, ...]:
    """Networks and addresses as a client sends them, in its order; ValueError says in words what is wrong."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("A list of at least one network; null is no restriction.")
    if len(value) > MOST_NETWORKS:
        raise ValueError(f"At most {MOST_NETWORKS} networks.")
    networks: list[Network] = []
    for item in value:
        if not isinstance(item, str):
            raise ValueError(f"A network is a text, as 10.20.0.0/16, not {_shown(item)}.")
        try:
            network = parse_network_or_address(item)
        except ValueError as error:
            raise ValueError(f"{_shown(item)}: {error}") from None
        if network in networks:
            raise ValueError(f"{_shown(item)}: The network {network} is there twice.")
        networks.append(network)
    return tuple(networks)


def parse_rate(value: Any) -> Rate:
    """`N/second`, `N/minute`, `N/hour` or `N/day`; ValueError says in words what is wrong."""
    try:
        return Rate(*written_rates.parse_rate(value))
    except ValueError as error:
        raise ValueError(f"{error} null is no restriction.") from None


def parse_windows(value: Any) -> tuple[Window, ...]:
    """Windows as a client sends them, in its order; ValueError says in words what is wrong."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("A list of at least one window; null is no restriction.")
    if len(value) > MOST_WINDOWS:
        raise ValueError(f"At most {MOST_WINDOWS} windows.")
    windows: list[Window] = []
    for item in value:
        window = _window(item)
        if window in windows:
            raise ValueError(f"The window {window} is there twice.")
        windows.append(window)
    return tuple(windows)


def from_stored(allowed_networks: Any, rate_limit: str | None, access_windows: Any) -> Restrictions:
    """What the columns hold, which was parsed before it was stored. An empty list would admit nobody."""
    return Restrictions(
        networks=None if allowed_networks is None else tuple(ip_network(text) for text in allowed_networks),
        rate=parse_rate(rate_limit) if rate_limit else None,
        windows=None if access_windows is None else tuple(_window(item) for item in access_windows),
    )


def admits_address(restrictions: Restrictions, address: str | None) -> bool:
    """Whether a call may come from there. Where nobody knows from where, only without a list."""
    if restrictions.networks is None:
        return True
    known = parse_address(address) if address else None
    return known is not None and any(known in network for network in restrictions.networks)


def admits_moment(restrictions: Restrictions, now: datetime) -> bool:
    """Whether a call may come at that instant, which is in UTC."""
    if restrictions.windows is None:
        return True
    minute = now.hour * 60 + now.minute
    return any(window.admits(now.weekday(), minute) for window in restrictions.windows)


def is_open(networks: Iterable[Network] | None) -> bool:
    """Whether these are all addresses of IPv4 or of IPv6, however they are written; None is not said here."""
    return any(network.prefixlen == 0 for network in _collapsed(networks or ()))


def exceeding(inner: Restrictions, outer: Restrictions) -> list[str]:
    """What `inner` allows and `outer` does not, in words, one for each of the three; nothing where it is within."""
    found = (
        _exceeding_networks(inner.networks, outer.networks),
        _exceeding_rate(inner.rate, outer.rate),
        _exceeding_windows(inner.windows, outer.windows),
    )
    return [words for words in found if words]


def gains_and_losses(before: Restrictions, after: Restrictions) -> tuple[list[str], list[str]]:
    """What a change from one to the other gains and loses, in words. A rate may do both."""
    return exceeding(after, before), exceeding(before, after)


def inherited(missing: Restrictions, issuer: Restrictions) -> Restrictions:
    """What is asked for, and where nothing is asked, what whoever issues it has."""
    return replace(
        missing,
        networks=issuer.networks if missing.networks is None else missing.networks,
        rate=issuer.rate if missing.rate is None else missing.rate,
        windows=issuer.windows if missing.windows is None else missing.windows,
    )


def _exceeding_networks(inner: tuple[Network, ...] | None, outer: tuple[Network, ...] | None) -> str:
    if outer is None:
        return ""
    if inner is None:
        return "calls from any network"
    collapsed = _collapsed(outer)
    more = [str(network) for network in inner if not any(_lies_in(network, other) for other in collapsed)]
    return f"calls from {', '.join(more)}" if more else ""


def _exceeding_rate(inner: Rate | None, outer: Rate | None) -> str:
    if outer is None:
        return ""
    if inner is None:
        return "any number of calls"
    return "" if inner.is_within(outer) else f"calls at a rate of {inner}"


def _exceeding_windows(inner: tuple[Window, ...] | None, outer: tuple[Window, ...] | None) -> str:
    if outer is None:
        return ""
    allowed = _minutes(outer)
    if inner is None:
        return "" if allowed == _ALWAYS else "calls at any time"
    more = [str(window) for window in inner if _minutes([window]) & ~allowed]
    return f"calls on {'; '.join(more)} UTC" if more else ""


def _collapsed(networks: Iterable[Network]) -> list[Network]:
    version_4 = [network for network in networks if isinstance(network, IPv4Network)]
    version_6 = [network for network in networks if isinstance(network, IPv6Network)]
    return [*collapse_addresses(version_4), *collapse_addresses(version_6)]


def _lies_in(network: Network, other: Network) -> bool:
    if isinstance(network, IPv4Network) and isinstance(other, IPv4Network):
        return network.subnet_of(other)
    return isinstance(network, IPv6Network) and isinstance(other, IPv6Network) and network.subnet_of(other)


def _minutes(windows: Iterable[Window]) -> int:
    """The minutes of the week, Monday's first, as the bits of a number."""
    found = 0
    for window in windows:
        length = (window.end - window.start) % DAY or DAY  # only 00:00–24:00 is a whole day long
        for day in window.days:
            bits = ((1 << length) - 1) << (DAYS.index(day) * DAY + window.start)
            found |= bits | bits >> _WEEK  # Sunday's night ends on Monday
    return found & _ALWAYS


def _window(item: Any) -> Window:
    if not isinstance(item, dict) or set(item) != {"days", "start", "end"}:
        raise ValueError('A window has exactly "days", "start" and "end".')
    start, end = _minute(item["start"]), DAY if item["end"] == "24:00" else _minute(item["end"])
    if start == end:
        raise ValueError(
            f"A window that starts and ends at {_time(start)} is empty; 00:00 to 24:00 is a whole day."
        )
    return Window(_days(item["days"]), start, end)


def _days(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"The days of a window are a list of at least one of {', '.join(DAYS)}.")
    for day in value:
        if not isinstance(day, str) or day not in DAYS:
            raise ValueError(f"A day is one of {', '.join(DAYS)}, not {_shown(day)}.")
    if len(set(value)) != len(value):
        raise ValueError("A day is there twice in one window.")
    return tuple(day for day in DAYS if day in value)


def _minute(value: Any) -> int:
    match = TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            f"A time is HH:MM in UTC, from 00:00 to 23:59, or 24:00 for an end, not {_shown(value)}."
        )
    return int(match[1]) * 60 + int(match[2])


def _time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _shown(value: Any) -> str:
    """What was sent, so that its sender finds it: short, and without anything that does not print."""
    return ascii(value)[:LONGEST_SHOWN]


_WEEK = 7 * DAY
_ALWAYS = (1 << _WEEK) - 1
