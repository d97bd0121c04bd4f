"""Secrets where none belongs, as in a reason or a name: refused by every edge before anything keeps or repeats them."""

from typing import Any

from config.edge.refusals import Invalid
from config.edge.scrubbing import SECRET

CODE = "holds_secret"
DETAIL = (
    "A secret stands here, where none belongs, so nothing was done. If it works, rotate it: it was shown to this "
    "server in a place that is not for it."
)


def holds_secret(value: Any) -> bool:
    """Whether what looks like a secret of this server is in a text, or anywhere in lists and objects."""
    if isinstance(value, str):
        return SECRET.search(value) is not None
    if isinstance(value, dict):
        return any(holds_secret(inner) for pair in value.items() for inner in pair)
    return isinstance(value, list | tuple) and any(map(holds_secret, value))


def require_none(value: Any, field: str = "") -> None:
    """Invalid for the field that holds a secret, which may be below `field`; for an object where a name in it does."""
    if isinstance(value, dict) and not any(map(holds_secret, value)):
        for name, inner in value.items():
            require_none(inner, f"{field}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            require_none(inner, f"{field}.{index}".lstrip("."))
    elif holds_secret(value):
        raise Invalid.field(field, DETAIL, CODE) if field else Invalid(DETAIL, code=CODE)
