"""Sends requests over a number of connections for a while: by wrk where it is installed, else by threads here."""

import http.client
import re
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit

_RATE = re.compile(r"Requests/sec:\s+([0-9.]+)")
_P99 = re.compile(r"99%\s+([0-9.]+)(us|ms|s)\b")
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.+)")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Measured:
    """Requests per second, and the time that 99 of 100 answers took at most, in milliseconds."""

    rate: float
    p99: float


class WrongAnswers(Exception):
    """Something else than what was to be measured was answered."""


def tool() -> str:
    return "wrk" if shutil.which("wrk") else "python"


def measure(url: str, headers: Mapping[str, str], *, connections: int, seconds: float) -> Measured:
    """Only towards this machine."""
    if urlsplit(url).hostname != "127.0.0.1":
        raise ValueError("load goes to loopback only")
    return (_by_wrk if tool() == "wrk" else _by_threads)(url, headers, connections, seconds)


def settle(url: str) -> None:
    """Return once the server has worked off what an earlier measurement left in its queue: this waits behind it."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)) as connection:
        for _ in range(3):
            connection.request("GET", parts.path)
            connection.getresponse().read()


def _by_wrk(url: str, headers: Mapping[str, str], connections: int, seconds: float) -> Measured:
    words = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    command = [
        "wrk",
        "-t",
        "1",
        "-c",
        str(connections),
        "-d",
        f"{seconds:g}s",
        "--timeout",
        "10s",
        "--latency",
        *words,
        url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30)
    return parsed(done.stdout)


def parsed(output: str) -> Measured:
    """What wrk printed; WrongAnswers where not every answer was a good one."""
    if bad := _BAD.search(output):
        raise WrongAnswers(bad[0])
    rate, p99 = _RATE.search(output), _P99.search(output)
    if rate is None or p99 is None:
        raise WrongAnswers(output)
    return Measured(float(rate[1]), round(float(p99[1]) * _MILLISECONDS[p99[2]], 3))


def _by_threads(url: str, headers: Mapping[str, str], connections: int, seconds: float) -> Measured:
    """The clients take part of the machine, so ratios look better than they are; the table says which tool it was."""
    times: list[list[float]] = [[] for _ in range(connections)]
    end = time.monotonic() + seconds
    clients = [
        threading.Thread(target=_client, args=(url, headers, end, mine), daemon=True) for mine in times
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join(seconds + 30)
    every = [taken for mine in times for taken in mine]
    if len(every) < 100:
        raise WrongAnswers(f"{len(every)} good answers in {seconds} s")
    return Measured(len(every) / seconds, statistics.quantiles(every, n=100)[98] * 1000)


def _client(url: str, headers: Mapping[str, str], end: float, times: list[float]) -> None:
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)) as connection:
        while time.monotonic() < end:
            started = time.monotonic()
            connection.request("GET", f"{parts.path}?{parts.query}", headers=dict(headers))
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 400:
                return
            times.append(time.monotonic() - started)
