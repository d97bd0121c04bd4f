"""The newest changes of a token, as a table of its page."""

from typing import Any

from config.edge.facts import Cell, Section
from tokens import history
from tokens.history import Change
from tokens.models import Token

NEWEST = 20  # changes
HEADERS = ("When (UTC)", "Change", "Who", "Why", "What became what")


def timeline_of(row: Token) -> Section:
    rows = [
        [
            Cell(f"{change.event.at:%Y-%m-%d %H:%M:%S}"),
            Cell(change.event.action),
            Cell(change.event.actor_label),
            Cell(change.event.reason),
            Cell("; ".join(_words(change))),
        ]
        for change in history.latest(row, NEWEST)
    ]
    return Section("Changes", HEADERS, rows, "Nothing was changed yet.")


def _words(change: Change) -> list[str]:
    """What became what; of a request what it asks for."""
    asked: list[str] = change.event.data.get("diff_words", [])
    return [_told(name, *pair) for name, pair in sorted(change.changes.items())] or asked


def _told(name: str, before: Any, after: Any) -> str:
    return f"{name.replace('_', ' ')}: {_shown(before)} → {_shown(after)}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "–"
    if isinstance(value, dict) and "path" in value:  # a row that says where
        return f"{value.get('role') or 'all its scopes'} on {value['path']}"
    if isinstance(value, dict) and "days" in value:  # a window
        return f"{' '.join(value['days'])} {value['start']}–{value['end']}"
    return "–" if value is None or value in ("", "None") else str(value)
