"""What the page of one row is made of: facts, and tables of cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse


@dataclass(frozen=True)
class Cell:
    """`link` is an address of ours."""

    text: Any
    link: str = ""

    @property
    def shown(self) -> Any:
        return written(self.text)


@dataclass(frozen=True)
class Fact:
    """One line of a row's page. `value` is a cell where it leads somewhere."""

    label: str
    value: Any

    @property
    def cell(self) -> Cell:
        return self.value if isinstance(self.value, Cell) else Cell(self.value)


def linked(row: Any, text: str = "") -> Cell:
    """A cell that leads to the row's own page."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return Cell(text or str(row), reverse(name, args=[row.pk]))


def written(value: Any) -> Any:
    """An instant in one way everywhere, and a dash for nothing."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return "–" if value is None or value == "" else value


def written_to_the_second(moment: datetime) -> str:
    """For tables of events, whose heading says that it is UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True)
class Section:
    """A table on a row's page; `nothing` is what it says when it is empty."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    nothing: str
