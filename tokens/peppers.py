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
    """The number and key that new secrets are digested with."""
    number = max(settings.PEPPERS)
    return number, pepper(number)


def for_a_new_secret() -> tuple[int, bytes]:
    """The newest, whose first use leaves its check value: in the verb's transaction, so that only a pepper that
    some secret needs is ever remembered.
    """
    number, key = newest()
    row, _ = PepperCheck.objects.get_or_create(pepper_id=number, defaults={"check_value": check_value(key)})
    _require_same(row, key)
    return number, key


def pepper(number: int) -> bytes:
    """The key of this number; Unavailable where it is missing or not the one that was used before."""
    key: bytes | None = settings.PEPPERS.get(number)
    if key is None:
        raise Unavailable("A pepper that this needs is not configured.", code="sealed")
    if _proven.get(number) != key and (row := PepperCheck.objects.filter(pepper_id=number).first()):
        _require_same(row, key)
        _proven[number] = key
    return key


def problem() -> str | None:
    """For readiness: what is wrong with the peppers, without saying anything of the keys."""
    rows = list(PepperCheck.objects.order_by("pepper_id"))
    if missing := [row.pepper_id for row in rows if row.pepper_id not in settings.PEPPERS]:
        return f"not configured: {missing}"
    for row in rows:
        try:
            _require_same(row, pepper(row.pepper_id))
        except Unavailable as error:
            return error.detail
    return None


def check_value(key: bytes) -> bytes:
    return hmac.digest(key, KNOWN_TEXT, "sha256")


def _require_same(row: PepperCheck, key: bytes) -> None:
    if not hmac.compare_digest(bytes(row.check_value), check_value(key)):
        raise Unavailable("A pepper is not the one that this database was used with.", code="sealed")
