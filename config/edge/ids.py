"""Identifiers made in the application."""

import secrets
import time
from uuid import UUID


def uuid7() -> UUID:
    """A UUID whose first 48 bits are the Unix time in milliseconds (RFC 9562, 5.7), so that ids sort by age."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (random >> 62) << 64
    value |= 0b10 << 62 | random & (1 << 62) - 1
    return UUID(int=value)


def parsed_uuid(text: str) -> UUID | None:
    """The UUID that a path segment is, in its one spelling; None for all else."""
    try:
        key = UUID(text)
    except ValueError:
        return None
    return key if str(key) == text else None
