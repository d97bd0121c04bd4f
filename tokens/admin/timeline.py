"""The newest changes of a token, as a table of its page."""

from typing import Any

from audit.actions import Action
from config.edge.facts import Cell, Section, written_to_the_second
from tokens import history
from tokens.history import Change
from tokens.models import Token
from tokens.told import in_words, label_of

NEWEST = 20  # changes
HEADERS = ("When (UTC)", "Change", "Who", "Why", "What became what")


def timeline_of(row: Token) -> Section:
    rows = [
        [
            Cell(written_to_the_second(change.event.at)),
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
    data = change.event.data
    if change.event.action == Action.TOKEN_EXPIRY_ANNOUNCED:
        return [_announced(data["days"], by_policy=data.get("by_policy", False))]
    asked: list[str] = data.get("diff_words", [])
    return [_told(name, *pair) for name, pair in sorted(change.changes.items())] or asked


def _announced(days: int, *, by_policy: bool) -> str:
    when = f"it expires within {days} day{'s'[days == 1 :]}"
    return f"{when}, as long as the organization lets tokens live" if by_policy else when


def _told(name: str, before: Any, after: Any) -> str:
    return f"{label_of(name)}: {in_words(name, before)} → {in_words(name, after)}"
