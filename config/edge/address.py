"""The client's address, decided in one place.

It is the peer's, unless the peer is a configured trusted proxy: then X-Forwarded-For is read from right to left, and
the first address that is no trusted proxy counts. No other header is ever read.
"""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
MOST_HOPS = 50


def client_address(meta: Mapping[str, object]) -> str | None:
    """The client's address in canonical text; None where it is unknown (a unix socket, garbage from a proxy)."""
    address = parse_address(str(meta.get("REMOTE_ADDR") or ""))
    if address is None or not is_trusted_proxy(address):
        return str(address) if address else None
    hops = str(meta.get("HTTP_X_FORWARDED_FOR") or "").split(",")
    for hop in reversed(hops[-MOST_HOPS:]):
        forwarded = parse_address(hop.strip())
        if forwarded is None:
            return None
        if not is_trusted_proxy(forwarded):
            return str(forwarded)
    return None


def parse_address(text: str) -> Address | None:
    """An address without zone; IPv4-mapped IPv6 becomes the IPv4 address that it means."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id:
            return None
        return address.ipv4_mapped or address
    return address


def is_trusted_proxy(address: Address) -> bool:
    return any(address in network for network in trusted_networks(tuple(settings.TRUSTED_PROXIES)))


@lru_cache(maxsize=8)
def trusted_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """The configured proxies; a malformed one raises ValueError (a system check says so at start-up)."""
    return tuple(ip_network(text) for text in texts)
