"""What was found out for one caller while one request is answered, so that a page asks the database once.

Verbs never look here: they read the rights again, inside their transaction.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from config.edge.access import Access

T = TypeVar("T")

_memory: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()


def remembered(by: Access, question: Any, answer: Callable[[], T]) -> T:
    """What was found out for this caller in this request; asked again after a verb."""
    known = _memory.setdefault(by, {})
    if question not in known:
        known[question] = answer()
    found: T = known[question]
    return found


def forget(by: Access) -> None:
    _memory.pop(by, None)


def seen_ids(by: Access) -> frozenset[UUID]:
    """The organizations that the caller may see."""
    return remembered(by, "organizations", by.organization_ids)
