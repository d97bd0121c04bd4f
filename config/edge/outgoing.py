"""The one way by which Tokenhouse calls somebody else over HTTP.

A name is resolved once, all its addresses are judged (`destinations`), and the connection goes to one of these and to
nothing else; the certificate must be that of the name. No redirect is followed and no proxy of the environment used.
There is one deadline for all of it, and a limit to the headers of an answer, whose body is not read at all. What goes
wrong is a value, whose words hold nothing secret and nothing that the other side wrote.
"""

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.edge.destinations import Destination, NotAllowed, parse, require_reachable
from config.edge.networks import Address, parse_address

TIME_LIMIT = 10.0  # seconds, from the name to the end of the answer's headers
HEADER_LIMIT = 16 * 1024  # bytes of the answer before its body
MOST_ADDRESSES = 3  # that are tried, one after the other

Resolver = Callable[[str, int], Sequence[str]]  # the addresses of a name; OSError where there are none


class Problem(StrEnum):
    """Why there is no answer."""

    NOT_ALLOWED = "not_allowed"
    NO_ADDRESS = "no_address"
    NO_CONNECTION = "no_connection"
    BAD_CERTIFICATE = "bad_certificate"
    TIMED_OUT = "timed_out"
    NO_HTTP = "no_http"


@dataclass(frozen=True)
class Failure:
    problem: Problem
    detail: str


def resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def send(
    method: str,
    url: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    time_limit: float = TIME_LIMIT,
    resolver: Resolver = resolve,
    trust: ssl.SSLContext | None = None,
) -> int | Failure:
    """Send one request, and say the status of its answer; never raises for what the URL or the other side does.

    `headers` are ours, not a caller's. `trust`: other certificate authorities than the system's.
    """
    deadline = time.monotonic() + time_limit
    try:
        destination = parse(url)
        addresses = _addresses(destination, resolver, deadline)
        require_reachable(destination, addresses)
        connection = _connected(destination, addresses, deadline, trust)
    except NotAllowed as refusal:
        return Failure(Problem.NOT_ALLOWED, str(refusal))
    except _Failed as failed:
        return failed.failure
    try:
        return _exchange(connection, method, destination, body, headers or {})
    except (TimeoutError, _TooLate):
        return Failure(Problem.TIMED_OUT, f"No answer within {time_limit:g} seconds.")
    except _TooMuch:
        return Failure(Problem.NO_HTTP, "The answer's headers are too long.")
    except (OSError, http.client.HTTPException, ValueError):
        return Failure(Problem.NO_HTTP, "The connection ended without a proper answer.")
    finally:
        connection.close()


class _Failed(Exception):
    def __init__(self, problem: Problem, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(problem, detail)


class _TooLate(OSError):
    """The deadline has passed."""


class _TooMuch(OSError):
    """More was sent than is read."""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise _TooLate
    return left


# Names


def _addresses(destination: Destination, resolver: Resolver, deadline: float) -> list[Address]:
    if destination.address is not None:
        return [destination.address]
    texts = _resolved(destination, resolver, deadline)
    found = [parse_address(text) for text in texts]
    if None in found:  # with a zone: of this link alone
        raise NotAllowed(f"{destination.host} is inside a network that must not be reached.")
    return [address for address in found if address is not None]


def _resolved(destination: Destination, resolver: Resolver, deadline: float) -> Sequence[str]:
    """What the resolver says. It has no deadline of its own: a thread that takes too long is left to itself."""
    said: list[Sequence[str]] = []

    def ask() -> None:
        try:
            said.append(resolver(destination.host, destination.port))
        except (OSError, UnicodeError):
            said.append([])

    thread = threading.Thread(target=ask, daemon=True, name="resolve")
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if not said:
        raise _Failed(Problem.TIMED_OUT, f"{destination.host} could not be resolved in time.")
    if not said[0]:
        raise _Failed(Problem.NO_ADDRESS, f"{destination.host} has no address.")
    return said[0]


# The connection


class _Limited(io.RawIOBase):
    """What a socket sends, as far as deadline and allowance reach."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline
        self.allowance = HEADER_LIMIT

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self.allowance <= 0:
            raise _TooMuch
        self._socket.settimeout(_left(self._deadline))
        count = self._socket.recv_into(buffer[: self.allowance])
        self.allowance -= count
        return count


class _Connection(http.client.HTTPConnection):
    """An HTTP connection over a socket that is there already; it opens no other, and reads within limits."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        super().__init__("unused.invalid")
        self.sock = connected
        self.deadline = deadline
        self.limited = _Limited(connected, deadline)
        self.auto_open = 0

    def send(self, data: object) -> None:
        self.sock.settimeout(_left(self.deadline))
        super().send(data)  # type: ignore[arg-type]


class _Response(http.client.HTTPResponse):
    """Reads from `limited` instead of the bare socket."""

    def __init__(self, connection: _Connection, method: str) -> None:
        super().__init__(connection.sock, method=method)
        self.fp.close()
        self.fp = io.BufferedReader(connection.limited)


def _connected(
    destination: Destination, addresses: Sequence[Address], deadline: float, trust: ssl.SSLContext | None
) -> _Connection:
    for address in addresses[:MOST_ADDRESSES]:
        try:
            bare = socket.create_connection((str(address), destination.port), timeout=_left(deadline))
        except OSError:  # too late ones among them
            continue
        try:
            bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if destination.scheme == "http":
                return _Connection(bare, deadline)
            context = trust or ssl.create_default_context()
            bare.settimeout(_left(deadline))
            return _Connection(context.wrap_socket(bare, server_hostname=destination.host), deadline)
        except ssl.SSLCertVerificationError:
            bare.close()
            raise _Failed(
                Problem.BAD_CERTIFICATE,
                f"The certificate is not one of {destination.host} that is trusted here.",
            ) from None
        except OSError:
            bare.close()
    if time.monotonic() >= deadline:
        raise _Failed(Problem.TIMED_OUT, f"{destination.host} could not be reached in time.")
    raise _Failed(
        Problem.NO_CONNECTION, f"{destination.host} can't be reached, or speaks no {destination.scheme}."
    )


def _exchange(
    connection: _Connection,
    method: str,
    destination: Destination,
    body: bytes,
    headers: Mapping[str, str],
) -> int:
    connection.putrequest(method, destination.target, skip_host=True)
    own = {"Host": destination.authority, "Content-Length": str(len(body)), "Connection": "close"}
    for name, value in {**headers, **own}.items():
        connection.putheader(name, value)
    connection.endheaders(body or None)
    response = _Response(connection, method)
    try:
        response.begin()
        return response.status
    finally:
        response.close()
