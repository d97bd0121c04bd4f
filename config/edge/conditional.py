"""ETag and If-Match (RFC 9110, 8.8.3 and 13.1.1): the version of a row, as a strong validator."""

import re
from typing import Protocol

from rest_framework.request import Request

from config.edge.refusals import Invalid, StaleVersion

ENTITY_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e]*"')


class Versioned(Protocol):
    version: int


def etag(row: Versioned) -> str:
    return f'"{row.version}"'


def require_match(request: Request, row: Versioned) -> None:
    """Honour If-Match: StaleVersion where it names another version than the row has."""
    header = request.META.get("HTTP_IF_MATCH")
    if header is None or header.strip() == "*":
        return
    tags = [tag.strip() for tag in header.split(",")]
    if not all(ENTITY_TAG.fullmatch(tag) for tag in tags):
        raise Invalid("If-Match must be a list of entity tags, or *.", code="bad_if_match")
    if etag(row) not in tags:
        raise StaleVersion("It was changed since you read it. Read it again, then decide.")
