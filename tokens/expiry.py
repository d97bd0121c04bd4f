"""How instants, lifetimes and overlaps are written by people: strict parsing, and the way back.

Every refusal is a ValueError whose text can be shown. The clock comes in from the edge as `now`.
"""

import re
from datetime import UTC, datetime, timedelta

MAX_AHEAD = timedelta(days=36525)  # a hundred years
MAX_ROTATE_DAYS = 3650

LIFETIMES: dict[str, timedelta | None] = {
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
    "1w": timedelta(weeks=1),
    "1m": timedelta(days=30),
    "3m": timedelta(days=90),
    "6m": timedelta(days=180),
    "1y": timedelta(days=365),
    "never": None,
}

_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_INSTANT = re.compile(
    f"{_DATE.pattern}T{_CLOCK}:[0-5][0-9](?:[.][0-9]{{1,9}})?(?:Z|[+-]{_CLOCK})", re.IGNORECASE
)
_DURATION = re.compile("(0|[1-9][0-9]{0,5})([mhd]?)")
_DAYS = re.compile("([1-9][0-9]{0,3})d")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def parse_expires_at(text: object, now: datetime) -> datetime:
    """An RFC 3339 instant with an offset or Z, or a bare date, which ends validity at 00:00 UTC of that day.

    In UTC, after `now` and at most a hundred years ahead.
    """
    moment = _instant(text)
    if moment <= now:
        raise ValueError("The expiry must lie in the future; a date means 00:00 UTC of that day.")
    if moment - now > MAX_AHEAD:
        raise ValueError("The expiry must lie within the next hundred years; write never for none.")
    return moment


def parse_expires_in(text: object) -> timedelta | None:
    """One of the named lifetimes; None is never."""
    if not isinstance(text, str) or text not in LIFETIMES:
        raise ValueError(f"Write one of {', '.join(LIFETIMES)}.")
    return LIFETIMES[text]


def parse_duration(text: object, *, maximum: timedelta) -> timedelta:
    """A span such as 30m (minutes), 24h or 7d, or 0, not above the maximum."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found or (found[1] != "0" and not found[2]):
        raise ValueError("Write a whole number of minutes, hours or days, such as 30m, 24h or 7d; or 0.")
    span = int(found[1]) * _UNITS[found[2] or "m"]
    if span > maximum:
        raise ValueError(f"At most {format_duration(maximum)}.")
    return span


def parse_rotate_every(text: object) -> timedelta:
    """How often a secret should be rotated, in days, such as 90d."""
    found = _DAYS.fullmatch(text) if isinstance(text, str) else None
    if not found or int(found[1]) > MAX_ROTATE_DAYS:
        raise ValueError(f"Write a number of days from 1d to {MAX_ROTATE_DAYS}d, such as 90d.")
    return timedelta(days=int(found[1]))


def format_days(span: timedelta) -> str:
    """A span of whole days as parse_rotate_every reads it."""
    if span % _UNITS["d"]:
        raise ValueError("Not a whole number of days.")
    return f"{span.days}d"


def format_duration(span: timedelta) -> str:
    """A span of whole minutes as parse_duration reads it, in the largest unit that divides it."""
    if not span:
        return "0"
    for name in ("d", "h", "m"):
        if not span % _UNITS[name]:
            return f"{span // _UNITS[name]}{name}"
    raise ValueError("Not a whole number of minutes.")


def _instant(text: object) -> datetime:
    """The pattern first: fromisoformat alone also takes week dates, naive times and more."""
    try:
        if isinstance(text, str) and _DATE.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        if isinstance(text, str) and _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("There is no such date or time.") from None
    raise ValueError("Write a date, 2030-12-31, or a time with its offset, 2030-12-31T18:00:00Z.")
