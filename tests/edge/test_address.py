"""The client's address: the peer's, unless a configured proxy says otherwise, read from right to left."""

from typing import Any

import pytest

from config.edge.address import client_address
from config.edge.networks import of_setting, parse_address

PROXIES = ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # a stranger may write what they like
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "192.0.2.66, 198.51.100.1", "198.51.100.1"),  # the client's own claim stands left
        ("10.0.0.1", "198.51.100.1, 10.9.9.9, 10.2.2.2", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1,10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "192.0.2.66, garbage", None),
        ("10.0.0.1", "192.0.2.66, ", None),
        ("10.0.0.1", "192.0.2.66:4711", None),
        ("10.0.0.1", "[2001:db8::1]:443", None),
        ("10.0.0.1", '"192.0.2.66"', None),
        ("10.0.0.1", "unknown", None),
        ("10.0.0.1", "", None),
        ("10.0.0.1", None, None),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", None),
        ("10.0.0.1", ", ".join(["192.0.2.66"] + ["10.0.0.2"] * 1000), None),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:203.0.113.9", None, "203.0.113.9"),
        ("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("fd00::1", "2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", None, None),
        ("", "198.51.100.1", None),
        ("/run/web.sock", "198.51.100.1", None),
        ("010.0.0.1", "198.51.100.1", None),
        ("167772161", "198.51.100.1", None),
    ],
)
def test_the_address_behind_configured_proxies(
    peer: str, forwarded: str | None, found: str | None, settings: Any
) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    meta = {"REMOTE_ADDR": peer} | ({} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded})

    assert client_address(meta) == found


@pytest.mark.parametrize(
    "header", ["X_FORWARDED_FOR", "X_REAL_IP", "TRUE_CLIENT_IP", "CF_CONNECTING_IP", "FORWARDED"]
)
def test_without_configured_proxies_no_header_counts(header: str, settings: Any) -> None:
    assert settings.TRUSTED_PROXIES == []
    assert client_address({"REMOTE_ADDR": "10.0.0.1", f"HTTP_{header}": "192.0.2.66"}) == "10.0.0.1"


@pytest.mark.parametrize("header", ["X_REAL_IP", "TRUE_CLIENT_IP", "CF_CONNECTING_IP", "FORWARDED"])
def test_even_from_a_proxy_only_one_header_counts(header: str, settings: Any) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    meta = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "198.51.100.1", f"HTTP_{header}": "192.0.2.66"}

    assert client_address(meta) == "198.51.100.1"


@pytest.mark.parametrize(
    "text", ["", "a", "1.2.3", "1.2.3.4/32", "01.2.3.4", "0x1.2.3.4", " 1.2.3.4", "::1%1", "1.2.3.4\n"]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None
    assert str(parse_address("1.2.3.4")) == "1.2.3.4"


@pytest.mark.parametrize("written", ["::ffff:10.0.0.0/104", "::ffff:10.0.0.1"])
def test_a_proxy_that_is_written_as_mapped_ipv6_is_the_ipv4_one(written: str, settings: Any) -> None:
    settings.TRUSTED_PROXIES = [written]
    forwarded = {"HTTP_X_FORWARDED_FOR": "198.51.100.1"}

    assert client_address({"REMOTE_ADDR": "10.0.0.1", **forwarded}) == "198.51.100.1"
    assert client_address({"REMOTE_ADDR": "11.0.0.1", **forwarded}) == "11.0.0.1"


def test_a_malformed_proxy_is_an_error_and_not_a_wider_one() -> None:
    with pytest.raises(ValueError, match="host bits"):
        of_setting(("10.0.0.1/8",))
