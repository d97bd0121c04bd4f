"""Finds a free port and keeps it reserved, so that two supervisors starting at once never share one."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

ATTEMPTS = 100


class NoFreePort(Exception):
    """There is no port to listen on; the text says why."""


@contextmanager
def reserved_port(bind: str, wanted: str) -> Iterator[int]:
    """The wanted port, or the next free one; 0 is any.

    The reservation is a bound socket that never listens. The web server may bind beside it (both set SO_REUSEPORT);
    another supervisor, which tries without that option, may not.
    """
    first = _number(wanted)
    for port in range(first, min(first + ATTEMPTS, 65536)):
        if not _is_free(bind, port):
            continue
        with socket.socket(_family(bind), socket.SOCK_STREAM) as reservation:
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reservation.bind((bind, port))
            yield int(reservation.getsockname()[1])
            return
    raise NoFreePort(f"no port from {first} on is free on {bind}; choose one with PORT=…")


def _number(wanted: str) -> int:
    if wanted.isascii() and wanted.isdigit() and int(wanted) < 65536:
        return int(wanted)
    raise NoFreePort(f"PORT must be a number from 0 to 65535, not {wanted!r}")


def _is_free(bind: str, port: int) -> bool:
    with socket.socket(_family(bind), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as refused:
            if refused.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise NoFreePort(f"cannot listen on {bind}: {refused.strerror}") from None
    return True


def _family(bind: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in bind else socket.AF_INET
