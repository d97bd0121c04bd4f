"""What the commands print for people, line by line: facts, and tables. Programs ask for --format json."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokens.kinds import PREFIX

PREFIX_OF_TYPE: dict[str, str] = {kind.value: prefix for kind, prefix in PREFIX.items()}


def facts(data: Mapping[str, Any]) -> list[str]:
    width = max(len(name) for name in data) + 2
    return [f"{name:{width}}{_written(value)}".rstrip() for name, value in data.items()]


def table(rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> list[str]:
    columns = list(columns)
    cells = [[column.upper() for column in columns]]
    cells += [[_written(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _written(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_written(item) for item in value)
    if isinstance(value, dict):
        return _of_mapping(value)
    return str(value)


def _of_mapping(value: Mapping[str, Any]) -> str:
    """An owner or machine by its name, a grant by role and path, an entry by its scope; else all that is set."""
    if {"path", "role"} <= value.keys():
        gives = value.get("scope") or value["role"] or "all its scopes"
        return f"{gives} on {value['path']}" if value["path"] else str(gives)
    if "name" in value:
        return PREFIX_OF_TYPE.get(value.get("type", ""), "") + str(value["name"])
    return ", ".join(f"{name} {_written(inner)}" for name, inner in value.items() if inner is not None) or "-"
