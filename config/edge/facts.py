"""What the page of one row is made of: facts, and tables of cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Fact:
    """One line of a row's page. `link` is an address of ours."""

    label: str
    value: Any
    link: str = ""

    @property
    def shown(self) -> Any:
        return written(self.value)


@dataclass(frozen=True)
class Cell:
    text: Any
    link: str = ""

    @property
    def shown(self) -> Any:
        return written(self.text)


def written(value: Any) -> Any:
    """An instant in one way everywhere, and a dash for nothing."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return "–" if value is None or value == "" else value


@dataclass(frozen=True)
class Section:
    """A table on a row's page; `nothing` is what it says when it is empty."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    nothing: str
