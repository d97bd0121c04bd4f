"""Waits until what was started answers, or says why it does not."""

import time
import urllib.error
import urllib.request
from pathlib import Path

from config.supervisor.children import Household

SOCKET_DEADLINE = 20.0  # seconds
READY_DEADLINE = 90.0  # seconds; a small, busy machine needs 10


class NotReady(Exception):
    """Something did not answer in time; the text says what it said last."""


# Straight to our own port, whatever proxy the environment names.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_for_socket(household: Household, socket: Path) -> None:
    deadline = time.monotonic() + SOCKET_DEADLINE
    while not socket.exists():
        if time.monotonic() > deadline:
            raise NotReady(f"Valkey did not start:\n{household.end_of_log('valkey')}")
        household.look()


def wait_until_ready(household: Household, url: str) -> None:
    """Return once GET /readyz is 200."""
    deadline = time.monotonic() + READY_DEADLINE
    while (answer := _readyz(url)) is not None:
        if time.monotonic() > deadline:
            raise NotReady(f"{url}/readyz says: {answer}\n{household.end_of_log('web')}")
        household.look()


def _readyz(url: str) -> str | None:
    """None for 200, else the answer or the reason why there is none."""
    try:
        _opener.open(f"{url}/readyz", timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.read(2000).decode("utf-8", "replace")
    except OSError as error:
        return str(error)
    return None
