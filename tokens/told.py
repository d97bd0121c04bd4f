"""How the fields of a token are written for people, whoever kept them: a request for approval, an event, a field diff.

Known names are worded; what has none of its own reads as plain text, and never as JSON.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.dateparse import parse_datetime, parse_duration

from tokens.expiry import format_duration

NOTHING = "–"
ABSENT = {  # what it means where nothing stands
    "allowed_networks": "any",
    "rate_limit": "no limit",
    "access_windows": "at any time",
    "grants": "wherever whom it acts as may",
    "expires_at": "never",
}
SPANS = {"lifetime", "rotate_every"}
FLAGS = {
    *("all_machines", "privilege_separation"),
    *("extended_templates", "extended_networks", "extended_images"),
}


def label_of(name: str) -> str:
    return name.replace("_", " ")


def in_words(name: str, value: Any) -> str:
    """The value of one field. Field diffs keep texts alone, `None` and `True` among them."""
    if value is None or value in ("", "None"):
        return ABSENT.get(name, NOTHING)
    if name in SPANS:
        return _span(value)
    if name == "expires_at":
        return _moment(value)
    if name in FLAGS:
        return "yes" if value in (True, "True") else "no"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or NOTHING
    if isinstance(value, Mapping):
        return _record(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NOTHING if value in (None, "") else str(value)


def _record(value: Mapping[str, Any]) -> str:
    if "path" in value:  # a row that says where
        only = "" if value.get("propagate", True) else ", and not below"
        return f"{value.get('role') or 'all its scopes'} on {value['path']}{only}"
    if {"days", "start", "end"} <= value.keys():  # a window
        return f"{' '.join(value['days'])} {value['start']}–{value['end']}"
    if "name" in value:  # a machine
        return _plain(value["name"])
    return ", ".join(f"{label_of(str(name))} {_plain(inner)}" for name, inner in value.items()) or NOTHING


def _span(value: Any) -> str:
    """Of seconds, ISO 8601, or Python's own text."""
    span = timedelta(seconds=value) if isinstance(value, int) else parse_duration(str(value))
    if span is None or span % timedelta(minutes=1):
        return _plain(value)
    return format_duration(span)


def _moment(value: Any) -> str:
    """To the minute, in UTC, which is what a text without an offset is."""
    moment = value if isinstance(value, datetime) else parse_datetime(str(value))
    if moment is None:
        return _plain(value)
    here = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{here:%Y-%m-%d %H:%M} UTC"
