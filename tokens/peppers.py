"""The keys under which secrets are digested: which one is used now, and whether they are the ones of this database.

A pepper that is missing or wrong seals the house: verification answers 503, never that every token is invalid.
"""

import hmac

from django.conf import settings

from config.edge.refusals import Unavailable
from tokens.models import PepperCheck

KNOWN_TEXT = b"tokenhouse: is this the same pepper?"

_proven: dict[int, bytes] = {}  # peppers that this process has seen to be the database's


def newest() -> tuple[int, bytes]:
    """The number and key that digest new secrets; the first use of a pepper leaves its check value."""
    number = max(settings.PEPPERS)
    return number, pepper(number)


def pepper(number: int) -> bytes:
    """The key of this number, proven; Unavailable where it is missing or not the one that was used before."""
    key: bytes | None = settings.PEPPERS.get(number)
    if key is None:
        raise Unavailable("A pepper that this needs is not configured.", code="sealed")
    if _proven.get(number) != key:
        _prove(number, key)
    return key


def problem() -> str | None:
    """For readiness: what is wrong with the peppers, without saying anything of the keys."""
    needed = set(PepperCheck.objects.values_list("pepper_id", flat=True))
    if missing := needed - set(settings.PEPPERS):
        return f"not configured: {sorted(missing)}"
    for number in sorted(settings.PEPPERS):
        try:
            pepper(number)
        except Unavailable as error:
            return error.detail
    return None


def _prove(number: int, key: bytes) -> None:
    made = hmac.digest(key, KNOWN_TEXT, "sha256")
    row, is_new = PepperCheck.objects.get_or_create(pepper_id=number, defaults={"check_value": made})
    if not hmac.compare_digest(bytes(row.check_value), made):
        raise Unavailable("A pepper is not the one that this database was used with.", code="sealed")
    if not is_new:  # a new row is rolled back with the verb that made it, so it proves nothing yet
        _proven[number] = key
