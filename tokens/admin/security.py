"""From where, how often and when a token may be used: what its page says of it, and the form that changes it."""

import re
from typing import Any

from django import forms

from config.edge.access import Access
from config.edge.clock import now
from config.edge.commands import CommandForm, RowVerb
from config.edge.facts import Cell, Section
from tokens import lifecycle
from tokens.admin.verbs import is_living, manages
from tokens.models import Token
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


class SecurityForm(CommandForm):
    """Empty is no restriction: all three are on the page, so that none is lifted by being forgotten."""

    networks = forms.CharField(
        required=False,
        max_length=60 * MOST_NETWORKS,
        label="Allowed networks",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "placeholder": "10.20.0.0/16"}),
        help_text="One address or network a line, IPv4 or IPv6. Empty: from everywhere.",
    )
    rate = forms.CharField(
        required=False,
        max_length=30,
        label="At most",
        widget=forms.TextInput(attrs={"placeholder": "3/second", "spellcheck": "false"}),
        help_text="Calls in any second, minute, hour or day, with all of its secrets together. Empty: without limit.",
    )
    windows = forms.CharField(
        required=False,
        max_length=100 * MOST_WINDOWS,
        label="Access windows",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "placeholder": "mon-fri 08:00-18:00"}),
        help_text=(
            "One window a line, in UTC: days, then from when until when. It may end at 24:00, or on the next day, as "
            "“fri 22:00-06:00”. Empty: at any time."
        ),
    )
    reason = forms.CharField(
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Always needed. Kept in the audit trail.",
    )

    def __init__(self, *args: Any, row: Token, **kwargs: Any) -> None:
        super().__init__(*args, row=row, **kwargs)
        now_held = row.restrictions
        self.initial = {
            "networks": "\n".join(map(str, now_held.networks or ())),
            "rate": str(now_held.rate or ""),
            "windows": "\n".join(map(line_of, now_held.windows or ())),
        }

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

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors:
            data["restrictions"] = self.restrictions()
        return data


SECURITY = RowVerb(
    "security",
    "Security",
    manages,
    lambda row, data, by: lifecycle.restrict(
        row, restrictions=data["restrictions"], reason=data["reason"], by=by
    ),
    lambda row: f"{sentence_of(row)} What is tighter holds at once; what is looser may have to be approved.",
    "Its restrictions are changed.",
    fits=is_living,
    form=SecurityForm,
)


def section_of(row: Token, by: Access) -> Section:
    """What holds now, in words."""
    held = row.restrictions
    rows = [
        [Cell("From"), Cell("everywhere" if held.networks is None else ", ".join(map(str, held.networks)))],
        [
            Cell("At most"),
            Cell("without limit" if held.rate is None else f"{held.rate}, with all its secrets together"),
        ],
        [
            Cell("When"),
            Cell("at any time" if held.windows is None else "; ".join(map(line_of, held.windows)) + " UTC"),
        ],
    ]
    if emergency := _open_emergency(row):
        rows.append([Cell("Emergency"), Cell(emergency)])
    return Section("Restrictions", ("What", "Now"), rows, "")


def sentence_of(row: Token) -> str:
    held = row.restrictions
    if held == Restrictions():
        return f"{row.name} is not restricted: it works from everywhere, at any time, as often as it is used."
    where = "from everywhere" if held.networks is None else f"from {len(held.networks)} network(s) only"
    often = "" if held.rate is None else f", at most {held.rate}"
    when = "at any time" if held.windows is None else f"in {len(held.windows)} window(s) only"
    return f"Now {row.name} works {where}, {when}{often}."


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


def _open_emergency(row: Token) -> str:
    window = row.open_emergency
    if window is None or window.ended_at or not window.starts_at <= now() < window.ends_at:
        return ""
    return f"networks and windows are lifted until {window.ends_at:%Y-%m-%d %H:%M} UTC: {window.reason}"
