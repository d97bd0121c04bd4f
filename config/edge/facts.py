"""What the page of one row is made of: facts, and tables of cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse


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


def linked(row: Any, text: str = "") -> Cell:
    """A cell that leads to the row's own page."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return Cell(text or str(row), reverse(name, args=[row.pk]))


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
