"""IP networks as people write them: IPv4 or IPv6 with a prefix length, and no host bits."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network

from config.edge.address import Network

WRITTEN = re.compile(r"[0-9A-Fa-f:.]{1,45}/(?:0|[1-9][0-9]{0,2})")  # no zone, no netmask, no leading zero
MAPPED_BITS = 96  # of ::ffff:0:0/96, under which IPv4 lies in IPv6


def parse_network(text: str) -> Network:
    """The network that is meant; ValueError says in words why it is none.

    IPv4-mapped IPv6 becomes the IPv4 network that it means.
    """
    try:
        if not WRITTEN.fullmatch(text):
            raise ValueError
        interface = ip_interface(text)
    except ValueError:
        raise ValueError(
            "An IPv4 or IPv6 network with its prefix length, as 10.20.0.0/16 or 2001:db8::/32."
        ) from None
    if interface.ip != interface.network.network_address:
        raise ValueError(f"There are bits set behind the prefix. The network is {interface.network}.")
    return _unmapped(interface.network)


def _unmapped(network: IPv4Network | IPv6Network) -> Network:
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < MAPPED_BITS:
        return network
    return ip_network(f"{mapped}/{network.prefixlen - MAPPED_BITS}")
