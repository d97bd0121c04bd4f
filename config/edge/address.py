"""The client's address, decided in one place.

It is the peer's, unless the peer is a configured trusted proxy: then X-Forwarded-For is read from right to left, and
the first address that is no trusted proxy counts. No other header is ever read.
"""

from collections.abc import Mapping

from django.conf import settings

from config.edge.networks import Address, of_setting, parse_address

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


def is_trusted_proxy(address: Address) -> bool:
    return any(address in network for network in of_setting(tuple(settings.TRUSTED_PROXIES)))
