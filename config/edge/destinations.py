"""Where an outgoing call may go: addresses of URLs read strictly, and IP addresses judged by our own table.

A name says nothing yet: what it resolves to is judged by `outgoing`, when it connects. The operator can allow internal
networks (OUTGOING_NETWORKS); only there plain HTTP and other ports are possible. Python's own `is_private` and
`is_global` are not asked: they differ between its versions, and see nothing of what is embedded in IPv6.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings

from config.edge.networks import Address, Network, of_setting

LONGEST_URL = 2000
PORTS = {"https": 443, "http": 80}
PUBLIC_PORTS = {443, 8443}  # elsewhere on the internet other things listen than web servers
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
NAME = re.compile(rf"(?:{LABEL}\.)*{LABEL}")
LONGEST_NAME = 253
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label like this makes a host an address (WHATWG URL, 3.5)
URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]+)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?", re.IGNORECASE
)
AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[1-9][0-9]{0,4}))?")
STRANGE = re.compile(r"[^\x21-\x7e]|[\\\"<>^`{|}]")  # what no URL holds as it is (RFC 3986, 2)

GLOBAL_V6 = IPv6Network("2000::/3")  # all that is routed; what is outside is internal or nothing
DENIED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # a cloud's metadata at a public address; the others' are link-local or private
        *("2001::/23", "2001:db8::/32", "3fff::/20"),
    )
)
NAT64 = IPv6Network("64:ff9b::/96")


class NotAllowed(ValueError):
    """An address where no call may go. Its text can be shown: it repeats nothing of the URL but its host."""


@dataclass(frozen=True)
class Destination:
    """A URL that was read strictly. `address` is there where the host is written as one."""

    scheme: str
    host: str  # a name in lower case, or an address without brackets
    port: int
    target: str  # path and query, as the request line has it
    address: Address | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port: what can be told of it where the rest may be a secret."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str) -> Destination:
    """Read a URL; NotAllowed where it is none that a call could ever be made to."""
    if len(url) > LONGEST_URL:
        raise NotAllowed(f"The address is longer than {LONGEST_URL} characters.")
    if STRANGE.search(url):
        raise NotAllowed(
            "The address holds characters that no URL has: write a name in its ASCII form (xn--…), all else "
            "percent-encoded."
        )
    found = URL.fullmatch(url)
    if found is None:
        raise NotAllowed("The address must read https://host/path, without a fragment.")
    if "@" in found["authority"]:
        raise NotAllowed("The address must name no user and no password.")
    place = AUTHORITY.fullmatch(found["authority"])
    if place is None or (place["port"] and int(place["port"]) > 65535):
        raise NotAllowed("The address has no proper host and port.")
    scheme = found["scheme"].lower()
    host, address = _host(place["host"].lower())
    target = (found["path"] or "/") + (found["query"] or "")
    destination = Destination(scheme, host, int(place["port"] or PORTS[scheme]), target, address)
    _require_possible(destination)
    return destination


def require_reachable(destination: Destination, addresses: Sequence[Address]) -> None:
    """NotAllowed unless every address that a destination resolves to may be reached, in this way."""
    if not addresses:
        raise NotAllowed("The host has no address.")
    if all(is_allowed(address) for address in addresses):
        return
    if any(is_denied(address) and not is_allowed(address) for address in addresses):
        raise NotAllowed(f"{destination.host} is inside a network that must not be reached.")
    if destination.scheme != "https":
        raise NotAllowed("Only https is allowed.")
    if destination.port not in PUBLIC_PORTS:
        raise NotAllowed(f"Port {destination.port} is not allowed; {_ports()} are.")


def is_allowed(address: Address) -> bool:
    """Whether the operator has allowed the network, though it may be internal."""
    return any(
        each in network
        for each in {address, meant(address)}
        for network in of_setting(tuple(settings.OUTGOING_NETWORKS))
    )


def is_denied(address: Address) -> bool:
    """Whether an address, or one that is embedded in it, is anything but a public one."""
    address = meant(address)
    if isinstance(address, IPv6Address) and (address not in GLOBAL_V6 or address.scope_id):
        return True
    return any(address in network for network in DENIED)


def meant(address: Address) -> Address:
    """The IPv4 address to which an IPv6 one leads: mapped, by 6to4 or by NAT64. Others are themselves; Teredo, the
    IPv4-compatible ones and the local NAT64 prefix are denied wherever they lead."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else address


def _host(text: str) -> tuple[str, Address | None]:
    if text.startswith("["):
        inner = text[1:-1]
        try:
            address = ip_address(inner) if "%" not in inner else None
        except ValueError:
            address = None
        if not isinstance(address, IPv6Address):
            raise NotAllowed("What stands in brackets is no IPv6 address.")
        return str(address), address
    if len(text) > LONGEST_NAME or not NAME.fullmatch(text):
        raise NotAllowed("The host is no proper name: letters, digits, hyphens and single dots between them.")
    if NUMBER.fullmatch(text.rpartition(".")[2]):
        try:
            address = IPv4Address(text)  # four decimal numbers: nothing shorter, octal or hexadecimal
        except ValueError:
            raise NotAllowed("An IPv4 address is written as four decimal numbers.") from None
        return text, address
    return text, None


def _require_possible(destination: Destination) -> None:
    """Refuse now what no resolution could make right."""
    if destination.address is not None:
        require_reachable(destination, [destination.address])
    elif not settings.OUTGOING_NETWORKS:
        if destination.host == "localhost" or destination.host.endswith(".localhost"):
            raise NotAllowed(f"{destination.host} is inside a network that must not be reached.")
        require_reachable(
            destination, [IPv4Address("1.1.1.1")]
        )  # any public one: scheme and port alone decide


def _ports() -> str:
    return " and ".join(map(str, sorted(PUBLIC_PORTS)))
