"""Strict JSON: one object, no duplicate keys, no NUL, no lone surrogates, no NaN, no deep nesting, no secrets.

And what is a text to be kept: one that every database stores, that people can read, that hides nothing.
"""

import json
import math
import unicodedata
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from config.edge import misplaced
from config.edge.refusals import Invalid
from config.edge.scrubbing import scrubbed

DEEPEST = 20  # levels of nesting
NOT_PRINTABLE = "Control characters are not allowed."
BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800"  # Hangul fillers and the empty Braille pattern


class StrictJSONParser(BaseParser):
    """REST framework's parser for application/json."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        value = loads(stream.read())
        taken: frozenset[str] = getattr((parser_context or {}).get("view"), "takes_secrets", frozenset())
        misplaced.require_none({name: inner for name, inner in value.items() if name not in taken})
        return value


def loads(raw: bytes) -> Any:
    """The value of a JSON text; ParseError or Invalid where it is not strictly what it should be."""
    if not raw:
        return {}
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_small,
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ParseError("The body is not well-formed JSON in UTF-8.") from error
    if not isinstance(value, dict):
        raise Invalid("The body must be a JSON object.", code="not_an_object")
    require_plain_text(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise Invalid.field(
            _printable(repeated), "The key stands in the object more than once.", "duplicate_key"
        )
    return value


def _no_constant(name: str) -> Any:
    raise Invalid(f"{name} is not a JSON number.", code="not_a_number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Invalid("A number is too large.", code="not_a_number")
    return value


def _small(text: str) -> int:
    if len(text) > 20:
        raise Invalid("A number is too large.", code="not_a_number")
    return int(text)


def require_plain_text(value: Any, field: str = "", depth: int = 0) -> None:
    """Refuse NUL and lone surrogates in keys and values, which no database stores, and nesting beyond all use."""
    if depth > DEEPEST:
        raise Invalid("The body is nested too deeply.", code="too_deep")
    if isinstance(value, str):
        if not is_plain_text(value):
            raise Invalid.field(field, "NUL and lone surrogates are not text.", "not_text")
    elif isinstance(value, dict):
        for key, inner in value.items():
            require_plain_text(key, _printable(key), depth + 1)
            require_plain_text(inner, f"{field}.{_printable(key)}".lstrip("."), depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            require_plain_text(inner, f"{field}.{index}", depth + 1)


def _printable(key: str) -> str:
    named: str = scrubbed(key)
    return named.encode("ascii", "backslashreplace").decode()[:100]


def is_plain_text(text: str) -> bool:
    """Text without NUL and lone surrogates, as every database stores it."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def is_printable(text: str, *, multiline: bool = False) -> bool:
    """Text that shows all that is in it: without control characters, and what turns the direction of reading.

    Several lines may hold LF and tabs.
    """
    return all(character.isprintable() or (multiline and character in "\n\t") for character in text)


def has_words(text: str) -> bool:
    """Whether anything visible is in it: spaces, zero-width and control characters say nothing."""
    return any(
        unicodedata.category(character)[0] in "LNPS" and character not in BLANK_LETTERS for character in text
    )
