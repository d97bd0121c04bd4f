"""The secret's format: what is made, what is recognised, what is stored, what is shown."""

import copy
import json
import pickle
import re
import string
import unicodedata
from collections.abc import Callable
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokens import secret
from tokens.secret import KindLetter, ParsedSecret, Secret

SCANNER = re.compile(r"th[pfgoat]_[0-9A-Za-z]{16}_[0-9A-Za-z]{38}")  # as 4-api publishes it
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KINDS = {
    "personal": "p",
    "fleet": "f",
    "group": "g",
    "organization": "o",
    "application": "a",
    "technical_user": "t",
}
TOKEN_ID = "Ab3dEf6hIj9lMn2p"
BODY = f"thf_{TOKEN_ID}_0123456789ABCDEFGHIJKLMNOPQRSTUV"
VALID = BODY + "0WeleO"
PEPPER = bytes(range(32))
OTHER_PEPPER = bytes(range(1, 33))


def crc32_base62(text: str) -> str:
    """The checksum once more, bit by bit and digit by digit, from the definition of CRC-32 (ISO 3309)."""
    register = 0xFFFFFFFF
    for byte in text.encode():
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0xEDB88320 if register & 1 else 0)
    number = register ^ 0xFFFFFFFF
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits.rjust(6, "0")


def with_checksum(body: str) -> str:
    return body + crc32_base62(body)


def test_a_known_secret_is_recognised_with_its_kind_and_id() -> None:
    assert secret.parse(VALID) == ParsedSecret("f", TOKEN_ID, VALID)


@pytest.mark.parametrize(("kind", "letter"), KINDS.items())
def test_a_generated_secret_has_the_published_form_and_is_recognised(kind: str, letter: str) -> None:
    text = secret.generate(kind, TOKEN_ID)

    assert len(text) == 59
    assert SCANNER.fullmatch(text)
    assert text.startswith(f"th{letter}_{TOKEN_ID}_")
    assert text[-6:] == crc32_base62(text[:-6])
    assert secret.parse(text) == ParsedSecret(letter, TOKEN_ID, text)


def test_every_kind_has_its_letter_and_every_letter_its_kind() -> None:
    assert {kind.name: kind.value for kind in KindLetter} == KINDS


def test_a_kind_may_be_given_as_a_member_of_a_string_enumeration() -> None:
    class Kind(StrEnum):
        TECHNICAL_USER = "technical_user"

    assert secret.generate(Kind.TECHNICAL_USER, TOKEN_ID).startswith("tht_")


def test_an_unknown_kind_gets_no_secret() -> None:
    with pytest.raises(KeyError):
        secret.generate("service", TOKEN_ID)


@pytest.mark.parametrize(
    "token_id", ["", TOKEN_ID[:-1], TOKEN_ID + "A", TOKEN_ID[:-1] + "_", TOKEN_ID[:-1] + "é"]
)
def test_what_is_no_token_id_gets_no_secret(token_id: str) -> None:
    with pytest.raises(ValueError, match="token id"):
        secret.generate("fleet", token_id)


def test_ids_and_secrets_never_repeat() -> None:
    ids = {secret.generate_id() for _ in range(500)}
    texts = {secret.generate("fleet", TOKEN_ID) for _ in range(500)}

    assert len(ids) == len(texts) == 500
    assert all(re.fullmatch("[0-9A-Za-z]{16}", token_id) for token_id in ids)


def test_random_parts_use_the_whole_alphabet() -> None:
    drawn = "".join(secret.generate("fleet", TOKEN_ID)[21:53] for _ in range(200))

    assert set(drawn) == set(BASE62)


@given(st.text())
def test_the_checksum_agrees_with_the_definition_of_crc_32(text: str) -> None:
    assert secret.checksum(text) == crc32_base62(text)


@pytest.mark.parametrize(
    ("text", "checksum"),
    [
        ("", "000000"),
        ("123456789", "3jZRME"),  # CRC-32's published check value, 0xCBF43926
        (BODY, "0WeleO"),
    ],
)
def test_known_checksums_do_not_move(text: str, checksum: str) -> None:
    assert secret.checksum(text) == checksum


@given(st.text(max_size=80) | st.text(alphabet=BASE62 + "_thpfgoa", min_size=55, max_size=62))
def test_recognition_never_raises_and_never_accepts_another_text(text: str) -> None:
    assert secret.parse(text) is None


@given(st.from_regex(SCANNER, fullmatch=True))
def test_of_all_texts_of_the_right_form_only_the_right_checksum_is_recognised(text: str) -> None:
    repaired = with_checksum(text[:-6])

    assert (secret.parse(text) is None) == (text != repaired)
    assert secret.parse(repaired) == ParsedSecret(text[2], text[4:20], repaired)


@pytest.mark.parametrize("position", range(59))
def test_no_single_changed_character_is_recognised(position: int) -> None:
    alphabet = string.printable + "\0\xa0é\uff10\u0410"
    others = [character for character in alphabet if character != VALID[position]]

    accepted = [o for o in others if secret.parse(VALID[:position] + o + VALID[position + 1 :])]

    assert accepted == []


@pytest.mark.parametrize("length", range(59))
def test_no_truncated_secret_is_recognised(length: int) -> None:
    assert secret.parse(VALID[:length]) is None
    assert secret.parse(VALID[59 - length :]) is None


@given(st.text(min_size=1, max_size=60))
def test_no_extended_secret_is_recognised(extra: str) -> None:
    assert secret.parse(VALID + extra) is None
    assert secret.parse(extra + VALID) is None


@pytest.mark.parametrize(
    "disguise",
    [
        str.swapcase,
        str.upper,
        str.lower,
        lambda text: text[:4] + text[4:].swapcase(),
        lambda text: text[::-1],
        lambda text: text[:-1] + "\n",
        lambda text: "\ufeff" + text[:-1],
        lambda text: text[:21] + "\u200b" + text[22:],
        lambda text: text.replace("A", "\u0410"),  # a Cyrillic letter
        lambda text: "".join(chr(ord(c) + 0xFEE0) for c in text),
        lambda text: text.replace("_", "%5F"),
        lambda text: "thx" + text[3:],
        lambda text: with_checksum("thx" + text[3:-6]),
        lambda text: with_checksum("THF" + text[3:-6]),
        lambda text: with_checksum(text[:20] + "-" + text[21:-6]),
        lambda text: text.encode().hex(),
    ],
)
def test_no_disguise_of_a_secret_is_recognised(disguise: Callable[[str], str]) -> None:
    assert secret.parse(disguise(VALID)) is None


def test_full_width_digits_do_not_count_as_digits() -> None:
    full_width = BODY.replace("7", "\uff17")
    assert unicodedata.normalize("NFKC", full_width) == BODY

    assert secret.parse(full_width + secret.checksum(full_width)) is None


@pytest.mark.parametrize("letter", sorted(set(KINDS.values()) - {"f"}))
def test_a_swapped_kind_with_a_repaired_checksum_has_another_digest(letter: str) -> None:
    swapped = with_checksum(f"th{letter}" + BODY[3:])

    assert secret.parse(swapped) == ParsedSecret(letter, TOKEN_ID, swapped)
    assert not secret.matches(swapped, secret.digest(VALID, PEPPER), PEPPER)


def test_a_huge_text_is_refused_by_its_length_alone() -> None:
    class Huge(str):
        def __len__(self) -> int:
            return 1 << 20

        def encode(self, *args: object, **kwargs: object) -> bytes:
            raise AssertionError("read")

    assert secret.parse(Huge(VALID)) is None


def test_the_digest_is_hmac_sha_256_under_the_pepper() -> None:
    # RFC 4231, test case 2.
    known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    assert secret.digest("what do ya want for nothing?", b"Jefe").hex() == known


def test_a_secret_matches_its_own_digest_under_its_own_pepper_only() -> None:
    stored = secret.digest(VALID, PEPPER)

    assert secret.matches(VALID, stored, PEPPER)
    assert secret.matches(VALID, memoryview(stored), PEPPER)  # type: ignore[arg-type]
    assert not secret.matches(VALID, stored, OTHER_PEPPER)
    assert not secret.matches(VALID[:-1], stored, PEPPER)
    assert not secret.matches(VALID, stored[:-1], PEPPER)
    assert not secret.matches(VALID, b"", PEPPER)


def test_a_digest_taken_from_the_database_is_no_secret() -> None:
    stored = secret.digest(VALID, PEPPER)

    assert secret.parse(stored.hex()) is None
    assert not secret.matches(stored.hex(), stored, PEPPER)


@given(st.text())
def test_comparing_never_raises(text: str) -> None:
    assert not secret.matches(text, secret.digest(VALID, PEPPER), PEPPER)


@pytest.mark.parametrize(("kind", "letter"), KINDS.items())
def test_the_hint_shows_the_prefix_and_the_start_of_the_public_id(kind: str, letter: str) -> None:
    assert secret.hint(kind, TOKEN_ID) == f"th{letter}_Ab3d"


@pytest.mark.parametrize("form", [repr, str, "{}".format, "{:>80}".format, "{!r}".format, "%s".__mod__])
def test_a_carried_secret_never_shows_its_text(form: Callable[[object], str]) -> None:
    shown = form({"secret": Secret(VALID)}) if form in (repr, str) else form(Secret(VALID))

    assert "Secret(hidden)" in shown
    assert VALID[21:] not in shown


def test_a_carried_secret_shows_its_text_when_asked_to() -> None:
    assert Secret(VALID).reveal() == VALID


def test_a_parsed_secret_never_shows_its_text() -> None:
    parsed = secret.parse(VALID)

    assert repr(parsed) == str(parsed) == f"ParsedSecret(kind_letter='f', token_id='{TOKEN_ID}')"


@pytest.mark.parametrize("carrier", [Secret(VALID), secret.parse(VALID)], ids=["fresh", "parsed"])
@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_a_secret_is_neither_pickled_nor_copied(copying: Callable[[object], object], carrier: object) -> None:
    with pytest.raises(TypeError) as refused:
        copying(carrier)

    assert VALID not in str(refused.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_protocol_carries_a_secret(protocol: int) -> None:
    for carrier in (Secret(VALID), secret.parse(VALID)):
        with pytest.raises(TypeError):
            pickle.dumps(carrier, protocol)


def test_a_carried_secret_has_no_attributes_to_list() -> None:
    with pytest.raises(TypeError):
        vars(Secret(VALID))
