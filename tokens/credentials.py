"""The carriers: which one credential a request's headers hold, and whether it has the right form.

Reads a WSGI environ and nothing else; whether the token exists, and the session cookie, are others' concern.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tokens import secret
from tokens.decision import Denial

MAX_LENGTH = 512  # characters; the longest well-formed value has 199, so two that were joined still fit

Carrier = Literal["bearer", "x-auth-token", "pve"]

_NAME = "[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}"
_PVE_VALUE = re.compile(f"PVEAPIToken=({_NAME})!({_NAME})=([0-9A-Za-z_]+)")


@dataclass(frozen=True, slots=True)
class Credential:
    """The one credential of a request; `parsed` None is malformed. Only the PVE carrier names a principal
    and a token, which the token found must bear."""

    parsed: secret.ParsedSecret | None
    carrier: Carrier
    principal: str | None = None
    name: str | None = None


def extract(meta: Mapping[str, str]) -> Credential | Literal[Denial.MULTIPLE_CREDENTIALS] | None:
    """The credential in the headers; None if no header carries one, a denial if more than one does.

    A header that is present but empty, or of an unknown scheme, is a malformed credential: the request
    never falls through to a cookie.
    """
    authorization = meta.get("HTTP_AUTHORIZATION")
    x_auth_token = meta.get("HTTP_X_AUTH_TOKEN")
    if authorization is not None and x_auth_token is not None:
        return Denial.MULTIPLE_CREDENTIALS
    if authorization is not None:
        return _joined(authorization) or _authorization(authorization)
    if x_auth_token is not None:
        return _joined(x_auth_token) or Credential(secret.parse(x_auth_token), "x-auth-token")
    return None


def _joined(value: str) -> Literal[Denial.MULTIPLE_CREDENTIALS] | None:
    """Servers join repeated headers with a comma, which no credential has."""
    return Denial.MULTIPLE_CREDENTIALS if "," in value[:MAX_LENGTH] else None


def _authorization(value: str) -> Credential:
    """By scheme; any other scheme, or none, counts as a malformed bearer."""
    if value.startswith("PVEAPIToken="):
        return _pve(value)
    scheme, text = value[:7], value[7:]
    return Credential(secret.parse(text) if scheme.lower() == "bearer " else None, "bearer")


def _pve(value: str) -> Credential:
    found = _PVE_VALUE.fullmatch(value) if len(value) <= MAX_LENGTH else None
    parsed = secret.parse(found[3]) if found else None
    if found is None or parsed is None:
        return Credential(None, "pve")
    return Credential(parsed, "pve", principal=found[1], name=found[2])
