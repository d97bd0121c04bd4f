"""The format of a token's secret: making, recognising, digesting and hinting at it.

Pure: the pepper comes in as bytes, nothing is stored or looked up here.

    th<kind letter>_<token id: 16 base62>_<32 base62 at random><CRC-32 of all before: 6 base62>
"""

import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn, SupportsIndex

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH = 16
RANDOM_LENGTH = 32
CHECKSUM_LENGTH = 6
LENGTH = len("thp_") + ID_LENGTH + len("_") + RANDOM_LENGTH + CHECKSUM_LENGTH
PATTERN = re.compile("th[pfgoat]_[0-9A-Za-z]{16}_[0-9A-Za-z]{38}")

_ID = re.compile("[0-9A-Za-z]{16}")
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]


class KindLetter(StrEnum):
    """The letter of each token kind: `KindLetter["fleet"]` is "f", `KindLetter("f").name` is "fleet"."""

    personal = "p"
    fleet = "f"
    group = "g"
    organization = "o"
    application = "a"
    technical_user = "t"


class Secret:
    """A fresh secret on its way to the one person who may see it; shows its text only when asked to.

    Pickling and copying are refused, so that no cache, session or task argument can carry one.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        return self.__text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __getstate__(self) -> NoReturn:
        raise TypeError("A secret lives in memory only: it cannot be pickled or copied.")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        self.__getstate__()


@dataclass(frozen=True, slots=True)
class ParsedSecret:
    """A text of the right form and checksum; whether such a token exists is not known yet."""

    kind_letter: str
    token_id: str
    text: str = field(repr=False)

    def __getstate__(self) -> NoReturn:
        raise TypeError("A secret lives in memory only: it cannot be pickled or copied.")


def generate_id() -> str:
    """A new public token id."""
    return _random_text(ID_LENGTH)


def generate(kind: str, token_id: str) -> str:
    """A new secret for the token; KeyError for an unknown kind, ValueError for what is no token id."""
    if not _ID.fullmatch(token_id):
        raise ValueError("A token id is 16 characters of 0-9, A-Z and a-z.")
    body = f"{_prefix(kind)}{token_id}_{_random_text(RANDOM_LENGTH)}"
    return body + checksum(body)


def checksum(text: str) -> str:
    """CRC-32 of the text in base62, zero-padded to six characters."""
    crc = zlib.crc32(_encode(text))
    high, low = divmod(crc, 62**2)
    return _PAIRS[high // 62**2] + _PAIRS[high % 62**2] + _PAIRS[low]


def parse(text: str) -> ParsedSecret | None:
    """The parts of a well-formed secret, None for any other text. Never raises, touches no store."""
    if len(text) != LENGTH or PATTERN.fullmatch(text) is None:
        return None
    if checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        return None
    return ParsedSecret(text[2], text[4 : 4 + ID_LENGTH], text)


def digest(secret: str, pepper: bytes) -> bytes:
    """What is stored in place of the secret: HMAC-SHA-256 under the pepper, 32 bytes."""
    return hmac.digest(pepper, _encode(secret), "sha256")


def matches(secret: str, stored: bytes, pepper: bytes) -> bool:
    """Whether the stored digest is this secret's, compared in constant time."""
    return hmac.compare_digest(digest(secret, pepper), stored)


def hint(kind: str, token_id: str) -> str:
    """What lists show to tell secrets apart: the prefix and the start of the public id, never the secret."""
    return _prefix(kind) + token_id[:4]


def _prefix(kind: str) -> str:
    return f"th{KindLetter[kind]}_"


def _random_text(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _encode(text: str) -> bytes:
    """UTF-8 that takes any str, lone surrogates too: no input may raise here."""
    return text.encode("utf-8", "surrogatepass")
