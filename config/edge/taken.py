"""What the database alone can know of: that a name, a slug or a place is somebody's already."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction

from config.edge.refusals import Conflict


@contextmanager
def unless_taken(detail: str, code: str) -> Iterator[None]:
    """Conflict where what is written inside breaks a constraint; nothing of it is kept then.

    For writes that can break only one: they have been checked for everything else.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        raise Conflict(detail, code=code) from None
