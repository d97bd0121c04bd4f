"""From where, how often and when, as people write it into forms: the fields, and how they are read."""

import re
from typing import Any

from django import forms

from config.edge.commands import CommandForm
from config.edge.form_fields import Line, Lines
from tokens.restrictions import (
    DAYS,
    MOST_NETWORKS,
    MOST_WINDOWS,
    Restrictions,
    Window,
    parse_networks,
    parse_rate,
    parse_windows,
)

LINE = re.compile(r"(?P<days>[a-z][a-z ,-]*?)\s+(?P<start>\S{1,8}?)\s*[-–]\s*(?P<end>\S{1,8})")
SPAN = re.compile(r"([a-z]+)-([a-z]+)")


class RestrictionFields(CommandForm):
    """Empty is no restriction."""

    renames = {
        "allowed_networks": "networks",
        "rate_limit": "rate",
        "access_windows": "windows",
    }

    networks = Lines(
        rows=4,
        attrs={"spellcheck": "false", "placeholder": "10.20.0.0/16"},
        required=False,
        max_length=60 * MOST_NETWORKS,
        label="Allowed networks",
        help_text="One address or network a line, IPv4 or IPv6. Empty: from everywhere.",
    )
    rate = Line(
        required=False,
        max_length=30,
        label="At most",
        widget=forms.TextInput(attrs={"placeholder": "3/second", "spellcheck": "false"}),
        help_text="Calls in any second, minute, hour or day, with all of its secrets together. Empty: without limit.",
    )
    windows = Lines(
        rows=4,
        attrs={"spellcheck": "false", "placeholder": "mon-fri 08:00-18:00"},
        required=False,
        max_length=100 * MOST_WINDOWS,
        label="Access windows",
        help_text=(
            "One window a line, in UTC: days, then from when until when. It may end at 24:00, or on the next day, as "
            "“fri 22:00-06:00”. Empty: at any time."
        ),
    )

    def clean_networks(self) -> Any:
        return _read(parse_networks, self.cleaned_data["networks"].split())

    def clean_rate(self) -> Any:
        return _read(parse_rate, self.cleaned_data["rate"])

    def clean_windows(self) -> Any:
        lines = [line.strip() for line in self.cleaned_data["windows"].splitlines() if line.strip()]
        return _read(parse_windows, [window_of(line) for line in lines])

    def restrictions(self) -> Restrictions:
        data = self.cleaned_data
        return Restrictions(data["networks"], data["rate"], data["windows"])


def initial_of(held: Restrictions) -> dict[str, str]:
    """What the fields show of restrictions that hold now."""
    return {
        "networks": "\n".join(map(str, held.networks or ())),
        "rate": str(held.rate or ""),
        "windows": "\n".join(map(line_of, held.windows or ())),
    }


def line_of(window: Window) -> str:
    """A window as the form reads it."""
    said = window.as_json()
    return f"{' '.join(said['days'])} {said['start']}-{said['end']}"


def window_of(line: str) -> dict[str, Any]:
    """A line of the form as the API would send it; ValidationError where it has another form."""
    match = LINE.fullmatch(line.lower())
    if match is None:
        raise forms.ValidationError(f"“{line[:60]}” is no window. Write it as mon-fri 08:00-18:00.")
    days = [day for word in re.split(r"[ ,]+", match["days"]) if word for day in _days(word)]
    return {"days": days, "start": match["start"], "end": match["end"]}


def _days(word: str) -> list[str]:
    """One day, or all from one to another: `fri-mon` goes over the week's end."""
    span = SPAN.fullmatch(word)
    if span is None or not {span[1], span[2]} <= set(DAYS):
        return [word]
    first, last = DAYS.index(span[1]), DAYS.index(span[2])
    return [DAYS[(first + step) % 7] for step in range((last - first) % 7 + 1)]


def _read(parse: Any, sent: Any) -> Any:
    if not sent:
        return None
    try:
        return parse(sent)
    except ValueError as error:
        raise forms.ValidationError(str(error)) from None
