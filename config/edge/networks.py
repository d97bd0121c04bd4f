"""IP addresses and networks as people and programs write them, each with one spelling. Pure: reads no settings."""

import re
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
WRITTEN = re.compile(r"[0-9A-Fa-f:.]{1,45}/(?:0|[1-9][0-9]{0,2})")  # no zone, no netmask, no leading zero
BARE = re.compile(r"[0-9A-Fa-f:.]{1,45}")
COUNTED_BITS = 64
MAPPED_BITS = 96  # of ::ffff:0:0/96, under which IPv4 lies in IPv6


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


def counted_as(text: str | None) -> str:
    """What an address is counted by: itself, or of IPv6 its /64, which is what one household or host has. Empty where
    it is unknown: all of those are counted as one."""
    address = parse_address(text) if text else None
    if isinstance(address, IPv6Address):
        return str(ip_network((address, COUNTED_BITS), strict=False))
    return str(address or "")


def parse_network(text: str) -> Network:
    """The network that is meant; ValueError says in words why it is none.

    IPv4-mapped IPv6 becomes the IPv4 network that it means.
    """
    return _network(text, "An IPv4 or IPv6 network with its prefix length, as 10.20.0.0/16 or 2001:db8::/32.")


def parse_network_or_address(text: str) -> Network:
    """As `parse_network`; an address alone is the network of that one address."""
    address = parse_address(text) if BARE.fullmatch(text) else None
    if address is not None:
        return ip_network(address)
    return _network(
        text,
        "An IPv4 or IPv6 address, or a network with its prefix length, as 10.20.0.0/16 or 2001:db8::/32.",
    )


@lru_cache(maxsize=32)
def of_setting(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """The networks of a setting, of IPv4-mapped IPv6 those that it means, as addresses are read; a malformed one raises
    ValueError (a system check says so at start-up)."""
    return tuple(unmapped(ip_network(text)) for text in texts)


def _network(text: str, expected: str) -> Network:
    try:
        if not WRITTEN.fullmatch(text):
            raise ValueError
        interface = ip_interface(text)
    except ValueError:
        raise ValueError(expected) from None
    network = unmapped(interface.network)
    if interface.ip != interface.network.network_address:
        raise ValueError(f"There are bits set behind the prefix. The network is {network}.")
    return network


def unmapped(network: Network) -> Network:
    """The IPv4 network that IPv4-mapped IPv6 means; any other as it is."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < MAPPED_BITS:
        return network
    return ip_network(f"{mapped}/{network.prefixlen - MAPPED_BITS}")
