"""The carriers: one credential a request, malformed rather than overlooked, never a cookie instead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokens import secret
from tokens.credentials import MAX_LENGTH, Credential, extract
from tokens.decision import Denial

# Always the same, because it is in the names of tests, which two workers must agree about.
SECRET = "thp_Ab3dEf6hIj9lMn2p_MJpR7rpoWoDwXJ0ts5WomkU7oexcbyaY3WBLeX"
PARSED = secret.parse(SECRET)
LONGEST_NAME = "n" * 63
MULTIPLE = Denial.MULTIPLE_CREDENTIALS


def authorization(value: str) -> dict[str, str]:
    return {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": value, "HTTP_COOKIE": "sessionid=abc"}


def x_auth_token(value: str) -> dict[str, str]:
    return {"REQUEST_METHOD": "GET", "HTTP_X_AUTH_TOKEN": value, "HTTP_COOKIE": "sessionid=abc"}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEARER"])
def test_a_bearer_secret_is_found_in_any_case_of_the_scheme(scheme: str) -> None:
    assert extract(authorization(f"{scheme} {SECRET}")) == Credential(PARSED, "bearer")


def test_a_secret_is_found_in_the_x_auth_token_header() -> None:
    assert extract(x_auth_token(SECRET)) == Credential(PARSED, "x-auth-token")


@pytest.mark.parametrize(
    ("principal", "name"),
    [
        ("anna", "ci"),
        ("anna@pve", "ci"),
        ("anna@corp.example", "nightly-build_2.0+x@host"),
        ("0", "9"),
        (LONGEST_NAME, LONGEST_NAME),
    ],
)
def test_a_secret_is_found_in_the_proxmox_form_with_both_names(principal: str, name: str) -> None:
    found = extract(authorization(f"PVEAPIToken={principal}!{name}={SECRET}"))

    assert found == Credential(PARSED, "pve", principal, name)


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"HTTP_COOKIE": f"token={SECRET}"},
        {"QUERY_STRING": f"token={SECRET}"},
        {"HTTP_PROXY_AUTHORIZATION": f"Bearer {SECRET}"},
        {"HTTP_AUTHORIZATION_": f"Bearer {SECRET}", "HTTP_X_AUTHTOKEN": SECRET},
        {"AUTHORIZATION": f"Bearer {SECRET}", "X_AUTH_TOKEN": SECRET, "REMOTE_USER": "anna"},
        {"HTTP_X_API_KEY": SECRET, "HTTP_PVEAPITOKEN": SECRET, "HTTP_X_ACCESS_TOKEN": SECRET},
    ],
)
def test_nothing_but_the_two_headers_is_read(meta: dict[str, str]) -> None:
    assert extract(meta) is None


@pytest.mark.parametrize("second", [SECRET, secret.generate("fleet", "Ab3dEf6hIj9lMn2p"), "", "junk"])
@pytest.mark.parametrize("first", [f"Bearer {SECRET}", f"PVEAPIToken=anna!ci={SECRET}", "", "Basic YTpi"])
def test_two_carriers_are_refused_equal_or_different_good_or_bad(first: str, second: str) -> None:
    assert extract({"HTTP_AUTHORIZATION": first, "HTTP_X_AUTH_TOKEN": second}) is MULTIPLE


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {SECRET},Bearer {SECRET}",
        f"Bearer {SECRET}, Bearer {SECRET}",
        f"Bearer {SECRET}, Basic YTpi",
        f"PVEAPIToken=anna!ci={SECRET}, Bearer {SECRET}",
        ", ".join([f"PVEAPIToken={LONGEST_NAME}!{LONGEST_NAME}={SECRET}"] * 2),
        f"Bearer {SECRET},",
    ],
)
def test_two_joined_authorization_headers_are_refused(value: str) -> None:
    assert extract(authorization(value)) is MULTIPLE


@pytest.mark.parametrize("value", [f"{SECRET},{SECRET}", f"{SECRET}, {SECRET}"])
def test_two_joined_x_auth_token_headers_are_refused(value: str) -> None:
    assert extract(x_auth_token(value)) is MULTIPLE


MALFORMED_TEXTS = [
    "",
    " ",
    "junk",
    SECRET[:-1],
    SECRET + "A",
    SECRET[:-1] + ("A" if SECRET[-1] != "A" else "B"),
    SECRET.swapcase(),
    f" {SECRET}",
    f"{SECRET} ",
    f"\t{SECRET}",
    f"{SECRET}\t",
    f"{SECRET}\n",
    f"{SECRET}\r\n",
    f"{SECRET}\0",
    f"\0{SECRET}",
    f"{SECRET[:30]}\0{SECRET[31:]}",
    f"{SECRET}\xa0",
    f"\xa0{SECRET}",
    f"\u200b{SECRET}",
    f"\ufeff{SECRET}",
    f"\xef\xbb\xbf{SECRET}",
    "\xff" * 59,
    "\udcff" * 59,
    "".join(chr(ord(c) + 0xFEE0) for c in SECRET),
    f'"{SECRET}"',
    f"'{SECRET}'",
    f"{SECRET};",
    f"{SECRET} realm=x",
    f"{SECRET} {SECRET}",
    f"{SECRET}{SECRET}",
    f"secret-token:{SECRET}",
    f"secret-token%3A{SECRET}",
    SECRET.replace("_", "%5F"),
    SECRET[4:20],  # the public id
    secret.digest(SECRET, bytes(32)).hex(),
    "A" * 8 * 1024,
    "A" * 1024 * 1024,
    SECRET + "A" * 64 * 1024,
]


@pytest.mark.parametrize("text", MALFORMED_TEXTS, ids=lambda text: ascii(text)[:40])
def test_a_malformed_secret_is_malformed_in_every_carrier(text: str) -> None:
    assert extract(authorization(f"Bearer {text}")) == Credential(None, "bearer")
    assert extract(authorization(f"PVEAPIToken=anna!ci={text}")) == Credential(None, "pve")
    assert extract(x_auth_token(text)) == Credential(None, "x-auth-token")


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        SECRET,
        f"Bearer  {SECRET}",
        f"Bearer\t{SECRET}",
        f"Bearer\n{SECRET}",
        f"Bearer\xa0{SECRET}",
        f"Bearer{SECRET}",
        f"Bearer={SECRET}",
        f"Bearer:{SECRET}",
        f" Bearer {SECRET}",
        f"\0Bearer {SECRET}",
        f"Bearer Bearer {SECRET}",
        f"\uff22\uff25\uff21\uff32\uff25\uff32 {SECRET}",
        f"Basic {SECRET}",
        "Basic YTpi",
        f"Token {SECRET}",
        f"token={SECRET}",
        f"X-Auth-Token {SECRET}",
        f"Digest {SECRET}",
        f"DPoP {SECRET}",
        f"Bearer PVEAPIToken=anna!ci={SECRET}",
        f"Bearer anna!ci={SECRET}",
        f"pveapitoken=anna!ci={SECRET}",
        f"PVEAPITOKEN=anna!ci={SECRET}",
        f"PVEAPIToken anna!ci={SECRET}",
        f"PBSAPIToken=anna!ci={SECRET}",
        f" PVEAPIToken=anna!ci={SECRET}",
    ],
    ids=ascii,
)
def test_any_other_authorization_is_a_malformed_bearer_and_no_cookie_instead(value: str) -> None:
    assert extract(authorization(value)) == Credential(None, "bearer")


@pytest.mark.parametrize(
    "value",
    [
        "",
        SECRET,
        f"={SECRET}",
        "anna!ci",
        "anna!ci=",
        f"annaci={SECRET}",  # no !
        f"anna!ci{SECRET}",  # no =
        f"anna!ci:{SECRET}",
        f"anna!!ci={SECRET}",
        f"anna!ci!x={SECRET}",
        f"!anna!ci={SECRET}",
        f"!ci={SECRET}",  # empty parts
        f"anna!={SECRET}",
        f"!={SECRET}",
        f"anna!ci=={SECRET}",
        f"anna!ci={SECRET[:30]}={SECRET[31:]}",
        f"anna!ci={SECRET}=",
        f"anna%40pve!ci={SECRET}",
        f"anna%21ci={SECRET}",
        f"anna@pve%21ci={SECRET}",
        f"@anna!ci={SECRET}",
        f".anna!ci={SECRET}",
        f"anna!-ci={SECRET}",
        f"anna !ci={SECRET}",
        f" anna!ci={SECRET}",
        f"anna! ci={SECRET}",
        f"anna!ci= {SECRET}",
        f"anna!ci\n={SECRET}",
        f"änna!ci={SECRET}",
        f"anna!\u0441i={SECRET}",  # a Cyrillic letter
        f"anna\0!ci={SECRET}",
        f"anna/x!ci={SECRET}",
        f"{LONGEST_NAME}n!ci={SECRET}",
        f"anna!{LONGEST_NAME}n={SECRET}",
        f"Bearer {SECRET}",
        f"PVEAPIToken=anna!ci={SECRET}",
        "anna!ci=12345678-1234-1234-1234-1234567890AB",
        "12345678-1234-1234-1234-1234567890AB",
        "a!" * 200 + SECRET,
        "a" * 100_000 + f"!ci={SECRET}",
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_any_other_proxmox_value_is_malformed_and_names_nobody(value: str) -> None:
    assert extract(authorization(f"PVEAPIToken={value}")) == Credential(None, "pve")


@pytest.mark.parametrize("value", [f"Bearer {SECRET}", f"PVEAPIToken=anna!ci={SECRET}"])
def test_an_authorization_value_in_the_other_header_is_malformed(value: str) -> None:
    assert extract(x_auth_token(value)) == Credential(None, "x-auth-token")


def test_nothing_beyond_the_length_cap_is_searched() -> None:
    value = "Bearer " + "A" * MAX_LENGTH + ","

    assert extract(authorization(value)) == Credential(None, "bearer")


def test_a_credential_never_shows_its_secret() -> None:
    found = extract(authorization(f"PVEAPIToken=anna!ci={SECRET}"))

    assert SECRET not in repr(found)
    assert SECRET[21:] not in str(found)


@given(st.text(alphabet=st.characters(exclude_characters=",")))
def test_no_header_value_raises_or_is_overlooked(value: str) -> None:
    assert extract(authorization(value)) in (Credential(None, "bearer"), Credential(None, "pve"))
    assert extract(authorization(f"Bearer {value}")) == Credential(None, "bearer")
    assert extract(authorization(f"PVEAPIToken={value}")) == Credential(None, "pve")
    assert extract(x_auth_token(value)) == Credential(None, "x-auth-token")
