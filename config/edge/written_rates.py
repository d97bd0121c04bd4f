"""Rates as people write them: `3/second`, `100/minute`, `1000/hour`, `5000/day`. Pure, so that settings can be read."""

import re

MOST = 1_000_000  # in a period
PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}  # seconds
WRITTEN = re.compile(r"([1-9][0-9]{0,6})/(second|minute|hour|day)")


def parse_rate(text: object) -> tuple[int, int]:
    """How many in how many seconds; ValueError says in words why it is no rate."""
    match = WRITTEN.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[1]) > MOST:
        raise ValueError(f"N/second, N/minute, N/hour or N/day with N from 1 to {MOST}, as 3/second.")
    return int(match[1]), PERIODS[match[2]]


def write_rate(count: int, seconds: int) -> str:
    return f"{count}/{next(name for name, length in PERIODS.items() if length == seconds)}"
