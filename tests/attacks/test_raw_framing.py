"""Bytes on the wire: where one request ends and the next begins, and clients that take their time."""

import contextlib
import dataclasses
import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from config.supervisor import programs
from tests.attacks.doors import DOORS
from tests.attacks.estate import Estate
from tests.attacks.processes import Web

HOST = b"Host: 127.0.0.1\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NEXT = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
AT_ONCE = 2.0  # seconds; it takes a few milliseconds


@pytest.fixture(autouse=True)
def db(committed: Estate) -> None:
    """In place of the transaction around each test, which the web server would not see into."""


@pytest.fixture(scope="module")
def web(committed: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with Web(tmp_path_factory.mktemp("web")) as running:
        yield running
        assert "Traceback" not in running.output
        assert "xception" not in running.output


def statuses(web: Web, raw: bytes) -> list[int]:
    """Of all the answers on one connection, which the server must close."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) [A-Z]", web.exchange(raw))]


def post(*fields: bytes, body: bytes, line: bytes = b"POST /api/v1/tokens/ HTTP/1.1\r\n") -> bytes:
    return line + HOST + b"".join(fields) + b"\r\n" + body


def chunks(*texts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(text), text) for text in (*texts, b""))


@pytest.mark.parametrize(
    "raw",
    [
        post(b"Content-Length: 2\r\n", body=b"{}"),
        post(CHUNKED, body=chunks(b"{", b"}")),
        post(b"transfer-encoding:CHUNKED \r\n", body=chunks(NEXT)),
        post(CHUNKED, body=b'2;a="b"\r\n{}\r\n0\r\n\r\n'),
        post(b"Content-Length: %d\r\n" % len(NEXT), body=NEXT),
        post(
            b"Content-Length: %d\r\n" % len(NEXT),
            body=NEXT,
            line=f"GET {DOORS['gate'].path} HTTP/1.1\r\n".encode(),
        ),
    ],
)
def test_what_is_framed_well_is_answered_and_so_is_what_follows(raw: bytes, web: Web) -> None:
    assert statuses(web, raw + NEXT) == [401, 200]


@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Length: 5\r\n", CHUNKED),
        (CHUNKED, b"Content-Length: 5\r\n"),
        (CHUNKED, CHUNKED),
        (CHUNKED, b"Transfer-Encoding: identity\r\n"),
        (b"Transfer-Encoding: chunked, chunked\r\n",),
        (b"Transfer-Encoding: gzip, chunked\r\n",),
        (b"Transfer-Encoding: chunked, gzip\r\n",),
        (b"Transfer-Encoding: identity\r\n",),
        (b"Transfer-Encoding: xchunked\r\n",),
        (b"Transfer-Encoding: \x0bchunked\r\n",),
        (b"Transfer-Encoding: \x85chunked\r\n",),
        (b"Transfer-Encoding: \r\n chunked\r\n",),
        (b"Transfer-Encoding : chunked\r\n",),
        (b"Transfer-Encoding:\r\n",),
        (b"Content-Length: 5\r\n", b"Content-Length: 5\r\n"),
        (b"Content-Length: 5\r\n", b"Content-Length: 6\r\n"),
        (b"Content-Length: 5, 5\r\n",),
        (b"Content-Length: +5\r\n",),
        (b"Content-Length: -5\r\n",),
        (b"Content-Length: 0x5\r\n",),
        (b"Content-Length: 5_0\r\n",),
        (b"Content-Length:\r\n",),
        (b"Content-Length: " + b"5" * 5000 + b"\r\n",),
        (b"Content-Length: 5\n",),
        (b"X: y\rContent-Length: 5\r\n",),
        (HOST,),
        (b"Host: evil.example\r\n",),
        (b"X: y\r\n" * 300,),
    ],
    ids=lambda fields: b"".join(fields)[:60].decode("latin-1"),
)
def test_a_body_whose_length_is_said_in_two_ways_is_refused_and_ends_the_connection(
    fields: tuple[bytes, ...], web: Web
) -> None:
    assert statuses(web, post(*fields, body=b"0\r\n\r\n" + NEXT) + NEXT) == [400]


def test_an_old_client_sends_no_chunks(web: Web) -> None:
    fields = (CHUNKED, b"Connection: keep-alive\r\n")
    line = b"POST /api/v1/tokens/ HTTP/1.0\r\n"

    assert statuses(web, post(*fields, body=chunks(b"{}"), line=line) + NEXT) == [400]


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}}\r\n0\r\n\r\n",
        b"2\r\n{}0\r\n\r\n",
        b"2;\x00\r\n{}\r\n0\r\n\r\n",
        b"2 \r\n{}\r\n0\r\n\r\n",
    ],
)
def test_a_bad_chunk_is_refused_and_ends_the_connection(body: bytes, web: Web) -> None:
    assert statuses(web, post(CHUNKED, body=body) + NEXT) == [400]


@pytest.mark.parametrize(("size", "status"), [(65_537, 413), (1_000_000, 413)])
@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_body_that_is_too_large_is_refused(is_chunked: bool, size: int, status: int, web: Web) -> None:
    body = b"{" * size
    raw = (
        post(CHUNKED, b"Connection: close\r\n", body=chunks(body))
        if is_chunked
        else post(b"Content-Length: %d\r\n" % size, b"Connection: close\r\n", body=body)
    )

    assert statuses(web, raw) == [status]


@pytest.mark.parametrize(
    "line",
    [
        b"GET /healthz",
        b"GET /healthz HTTP/2.0",
        b"GET /healthz HTTP/1.1 ",
        b"GET  /healthz HTTP/1.1",
        b"GET\t/healthz HTTP/1.1",
        b"GET /health\tz HTTP/1.1",
        b"GET /health\x00z HTTP/1.1",
        b"GET /health\xffz HTTP/1.1",
        b"GET healthz HTTP/1.1",
        b"GET http://[/healthz HTTP/1.1",
        b"GET http://[::1/healthz HTTP/1.1",
        b"get /healthz HTTP/1.1",
        b"CONNECT 127.0.0.1:80 HTTP/1.1",
        b"PRI * HTTP/2.0",
    ],
)
def test_a_malformed_first_line_is_refused(line: bytes, web: Web) -> None:
    assert statuses(web, line + b"\r\n" + HOST + b"\r\n" + NEXT) == [400]


def test_an_address_is_taken_as_it_was_sent(web: Web) -> None:
    assert web.send("/healthz").status == 200
    assert web.send("http://127.0.0.1/healthz").status == 200
    assert web.send("//healthz").status == 404
    assert web.send("/../healthz").status == 404


def test_a_header_of_spaces_costs_no_time(web: Web) -> None:
    started = time.monotonic()

    assert web.send("/healthz", b"X:" + b" " * 100_000 + b"\x01").status == 400

    assert time.monotonic() - started < AT_ONCE


def test_the_server_does_not_say_what_it_is(web: Web) -> None:
    for answer in (web.send("/healthz"), web.send("/healthz", b"bad")):
        assert "server" not in answer.headers
        assert b"waitress" not in answer.body


def test_what_is_malformed_is_not_quoted_in_the_log(web: Web) -> None:
    secret = b"Hunter2Hunter2"

    for line in (secret, b"Authorization : " + secret, b"Authorization: \x01" + secret, b"X:\r\n " + secret):
        assert web.send(f"/healthz?token={secret.decode()}", line).status == 400

    assert secret.decode() not in web.output


# Clients that take their time

HALVES = {
    "nothing": b"",
    "half a line": b"GET /hea",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: 127.",
    "half a body": post(b"Content-Length: 10\r\n", body=b"{"),
    "half a chunk": post(CHUNKED, body=b"a\r\n{"),
    "no end": post(b"Content-Length: 2\r\n", b"Connection: close\r\n", body=b"{}"),  # nor do they read
}


def test_clients_that_take_their_time_keep_nobody_waiting(web: Web) -> None:
    with contextlib.ExitStack() as stack:
        for half in HALVES.values():
            for _ in range(30):
                stack.enter_context(web.connect()).sendall(half)

        for _ in range(10):
            started = time.monotonic()
            assert web.send("/healthz").status == 200
            assert time.monotonic() - started < AT_ONCE


def hurried(bind: str, port: int, environment: Mapping[str, str]) -> programs.Program:
    """The web process with shorter times."""
    program = programs.web(bind, port, environment)
    python, _, module, *arguments = program.command
    code = f"import {module} as web; web.LONGEST_ARRIVAL = 1.0; web.LIMITS['channel_timeout'] = 3; web.main()"
    return dataclasses.replace(program, command=(python, "-c", code, *arguments))


def test_nobody_may_take_for_ever(tmp_path: Path) -> None:
    with Web(tmp_path, program=hurried) as web, contextlib.ExitStack() as stack:
        held = {name: stack.enter_context(web.connect()) for name in HALVES}
        for name, half in HALVES.items():
            held[name].sendall(half)

        end = time.monotonic() + 10
        while time.monotonic() < end and any(not _is_closed(held[name], b"a") for name in held):
            time.sleep(0.3)

        assert [name for name in held if not _is_closed(held[name], b"a")] == []
        assert web.send("/healthz").status == 200


def _is_closed(connection: socket.socket, trickle: bytes) -> bool:
    """Whether the server ended it; where not, one more byte is sent."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        with contextlib.suppress(OSError):
            connection.send(trickle)
        return False
    except OSError:
        pass
    return True
