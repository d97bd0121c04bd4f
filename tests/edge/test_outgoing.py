"""Calls go where they may, and to nothing else, whatever a URL, a name or the other side says."""

import ipaddress
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.edge import destinations, outgoing
from config.edge.destinations import NotAllowed
from config.edge.outgoing import Failure, Problem
from tests.servers.receiver import Receiver

LOOPBACK = "127.0.0.1/32"


@pytest.fixture(autouse=True)
def _nothing_internal_is_allowed(settings: Any) -> None:
    settings.OUTGOING_NETWORKS = []


@pytest.fixture
def _loopback_is_allowed(settings: Any) -> None:
    settings.OUTGOING_NETWORKS = [LOOPBACK]


def failed(outcome: int | Failure) -> Problem:
    assert isinstance(outcome, Failure), outcome
    return outcome.problem


# What is written

INTERNAL = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),  # noqa: S104
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1"),
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[::ffff:a00:1]", "[::127.0.0.1]"),
    *(
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2002:a00:1::1]",
    ),
    *(
        "[2001:0:53aa:64c::80ff:fffe]",
        "[2001:0::1]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
    ),
    *("[ff02::1]", "[2001:db8::1]", "[100::1]", "[3fff::1]", "[5f00::1]"),
]


@pytest.mark.parametrize("host", INTERNAL)
def test_an_internal_address_is_refused_however_it_is_written(host: str) -> None:
    for written in (f"https://{host}/hook", f"https://{host}:8443/"):
        with pytest.raises(NotAllowed, match="inside a network that must not be reached"):
            destinations.parse(written)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "a.localhost"])
def test_the_name_of_this_machine_is_refused_before_it_is_resolved(host: str) -> None:
    with pytest.raises(NotAllowed, match="must not be reached"):
        destinations.parse(f"https://{host}/")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTPS://Example.COM:443/a?b=c", "https://example.com"),
        ("https://xn--bcher-kva.example:8443/", "https://xn--bcher-kva.example:8443"),
        ("https://93.184.216.34/", "https://93.184.216.34"),
        ("https://[2606:2800:21f::1]/x", "https://[2606:2800:21f::1]"),
        ("https://[64:ff9b::5db8:d822]/", "https://[64:ff9b::5db8:d822]"),
    ],
)
def test_a_public_address_is_taken(url: str, origin: str) -> None:
    assert destinations.parse(url).origin == origin


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "example.com",
            "//example.com/",
            "https:example.com",
            "https:///x",
            "https://",
            "https://:443/",
        ),
        *("file:///etc/passwd", "gopher://example.com/", "ftp://example.com/", "javascript:alert(1)"),
        *("https://user@example.com/", "https://u:p@example.com/", "https://127.0.0.1@example.com/"),
        *("https://example.com\\@127.0.0.1/", "https://example.com#@127.0.0.1/", "https://example.com/#x"),
        *("https://example.com/\r\nHost: x", "https://example.com/ HTTP/1.1", "https://exam\tple.com/"),
        *(
            "https://example.com/\x00",
            "\nhttps://example.com/",
            "https://example.com/\n",
            "https://example.com/ü",
        ),
        *(
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
        ),
        *("https://017700000001/", "https://127.0.0.01/", "https://1.2.3.4.5/", "https://256.1.1.1/"),
        *(
            "https://example.com.0x7f/",
            "https://example.com.1/",
            "https://localhost./",
            "https://example.com./",
        ),
        *("https://exa_mple.com/", "https://-example.com/", "https://example..com/", "https://.example.com/"),
        *(
            "https://ex%61mple.com/",
            "https://bücher.example/",
            "https://ехаmple.com/",
            "https://１２７.0.0.1/",
        ),
        *("https://127。0。0。1/", "https://[fe80::1%25eth0]/", "https://[::1/", "https://[127.0.0.1]/"),
        *(
            "https://[v1.x]/",
            "https://example.com:0/",
            "https://example.com:65536/",
            "https://example.com:0443/",
        ),
        *("https://example.com:/", "https://example.com:４４３/", "https://example.com:443:443/"),
        *(
            "https://example.com:6379/",
            "https://example.com:22/",
            "http://example.com/",
            "http://example.com:443/",
        ),
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 130 + "example/",
        "https://example.com/" + "a" * 2000,
    ],
)
def test_what_is_no_proper_public_https_address_is_refused(url: str) -> None:
    with pytest.raises(NotAllowed) as refusal:
        destinations.parse(url)
    assert "u:p" not in str(refusal.value)


@pytest.mark.usefixtures("_loopback_is_allowed")
def test_a_network_that_the_operator_allows_is_reached_with_http_and_any_port_and_nothing_beside_it() -> None:
    for url in ("http://127.0.0.1:6379/", "https://127.0.0.1/", "http://[::ffff:127.0.0.1]:81/"):
        destinations.parse(url)
    for url in (
        "http://127.0.0.2/",
        "https://10.0.0.1/",
        "http://93.184.216.34/",
        "https://93.184.216.34:6379/",
    ):
        with pytest.raises(NotAllowed):
            destinations.parse(url)


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "::1", "100.64.0.1", "64:ff9b::7f00:1", "::ffff:169.254.169.254"]
)
def test_the_table_is_asked_about_what_an_address_leads_to(text: str) -> None:
    assert destinations.is_denied(ipaddress.ip_address(text))
    assert not destinations.is_denied(ipaddress.ip_address("2606:2800:21f::1"))


# What a name resolves to


class Names:
    """A resolver that says something else each time it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%lo"],
        ["10.0.0.1"],
    ],
)
def test_a_name_is_refused_where_any_of_its_addresses_is_internal(addresses: list[str]) -> None:
    with Receiver() as receiver:
        names = Names(addresses)
        outcome = outgoing.send("POST", "https://hooks.example:8443/", resolver=names, time_limit=2)

    assert failed(outcome) == Problem.NOT_ALLOWED
    assert (names.asked, receiver.connections) == (["hooks.example"], 0)


def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_judged(settings: Any) -> None:
    """DNS rebinding: a second answer would lead inside."""
    settings.OUTGOING_NETWORKS = [LOOPBACK]
    with Receiver() as allowed, Receiver(address="127.0.0.2", port=allowed.port) as inside:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        outcome = outgoing.send(
            "POST", f"http://hooks.example:{allowed.port}/x?y", resolver=names, body=b"hello"
        )

    assert outcome == 204
    assert names.asked == ["hooks.example"]
    [got] = allowed.got
    assert (got.target, got.headers["host"], got.body) == ("/x?y", f"hooks.example:{allowed.port}", b"hello")
    assert inside.connections == 0


def test_a_name_without_an_address_and_one_that_takes_too_long_are_told_apart() -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known")

    freed = threading.Event()

    def slow(host: str, port: int) -> Sequence[str]:
        freed.wait(10)
        return []

    start = time.monotonic()
    assert failed(outgoing.send("POST", "https://hooks.example/", resolver=unknown)) == Problem.NO_ADDRESS
    outcome = outgoing.send("POST", "https://hooks.example/", resolver=slow, time_limit=0.3)
    assert failed(outcome) == Problem.TIMED_OUT
    assert time.monotonic() - start < 3
    freed.set()


# What the other side does


@pytest.mark.usefixtures("_loopback_is_allowed")
def test_an_answer_is_its_status() -> None:
    def answers(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 201 Made\r\nX-Kind: test\r\nContent-Length: 5\r\n\r\nhello")

    with Receiver(answers=answers) as receiver:
        outcome = outgoing.send("GET", receiver.url, headers={"Accept": "application/json"})

    assert outcome == 201
    assert receiver.got[0].headers["accept"] == "application/json"
    assert "connection: close" in {f"{name}: {value}" for name, value in receiver.got[0].headers.items()}


@pytest.mark.usefixtures("_loopback_is_allowed")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with Receiver() as inside, Receiver(status=status, headers={"Location": inside.url}) as receiver:
        outcome = outgoing.send("POST", receiver.url)

    assert (outcome, inside.connections) == (status, 0)


@pytest.mark.usefixtures("_loopback_is_allowed")
def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        outcome = outgoing.send("POST", receiver.url)

    assert outcome == 204
    assert (len(receiver.got), proxy.connections) == (1, 0)


def endless(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        handler.wfile.write(b"x" * 65536)


def dripping(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-A: b\r\n")
        time.sleep(0.05)


def dripping_body(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def many_headers(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"b" * 20000 + b"\r\n\r\n")


def going_on_for_ever(handler: Any) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def rubbish(handler: Any) -> None:
    handler.wfile.write(b"-ERR unknown command 'POST'\r\n")


def nothing(handler: Any) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def silent(handler: Any) -> None:
    time.sleep(3)


@pytest.mark.usefixtures("_loopback_is_allowed")
@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        (dripping, Problem.TIMED_OUT),
        (silent, Problem.TIMED_OUT),
        (many_headers, Problem.NO_HTTP),
        (going_on_for_ever, Problem.NO_HTTP),
        (rubbish, Problem.NO_HTTP),
        (nothing, Problem.NO_HTTP),
    ],
)
def test_a_receiver_that_never_ends_or_speaks_no_http_holds_nobody_longer_than_the_limit(
    answers: Callable[[Any], None], problem: Problem
) -> None:
    limit = 0.5 if problem == Problem.TIMED_OUT else 1.5  # no HTTP is seen before, on a busy machine too
    with Receiver(answers=answers) as receiver:
        start = time.monotonic()
        outcome = outgoing.send("POST", receiver.url, body=b"x", time_limit=limit)

    assert failed(outcome) == problem
    assert time.monotonic() - start < 2


@pytest.mark.usefixtures("_loopback_is_allowed")
@pytest.mark.parametrize("body", [endless, dripping_body])
def test_no_body_is_waited_for_or_read(body: Callable[[Any], None]) -> None:
    ended = threading.Event()

    def answers(handler: Any) -> None:
        try:
            body(handler)
        except OSError:  # nobody listens any more
            ended.set()

    with Receiver(answers=answers) as receiver:
        start = time.monotonic()
        status = outgoing.send("POST", receiver.url)

        assert status == 200
        assert time.monotonic() - start < 2
        assert ended.wait(5), "the connection is closed"


@pytest.mark.usefixtures("_loopback_is_allowed")
def test_where_nobody_listens_there_is_no_connection() -> None:
    with Receiver() as receiver:
        pass
    assert failed(outgoing.send("POST", receiver.url, time_limit=2)) == Problem.NO_CONNECTION


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of hooks.example that it has signed itself."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-days", "2"),
            *("-subj", "/CN=hooks.example", "-addext", "subjectAltName=DNS:hooks.example"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def secured(authority: Path) -> Iterator[Receiver]:
    with Receiver(certificate=(str(authority / "cert.pem"), str(authority / "key.pem"))) as receiver:
        yield receiver


@pytest.mark.usefixtures("_loopback_is_allowed")
def test_the_certificate_must_be_that_of_the_name_and_trusted(secured: Receiver, authority: Path) -> None:
    trust = ssl.create_default_context(cafile=str(authority / "cert.pem"))

    def sent(host: str, trust: ssl.SSLContext | None) -> int | Failure:
        url = f"https://{host}:{secured.port}/"
        return outgoing.send("POST", url, resolver=lambda *_: ["127.0.0.1"], trust=trust)

    assert sent("hooks.example", trust) == 204
    assert failed(sent("other.example", trust)) == Problem.BAD_CERTIFICATE
    assert failed(sent("hooks.example", None)) == Problem.BAD_CERTIFICATE
    assert len(secured.got) == 1, "nothing is said before the certificate is seen"


@pytest.mark.usefixtures("_loopback_is_allowed")
def test_who_speaks_no_tls_gets_nothing() -> None:
    with Receiver() as plain:
        url = f"https://hooks.example:{plain.port}/"
        outcome = outgoing.send("POST", url, body=b"payload", resolver=lambda *_: ["127.0.0.1"], time_limit=2)

    assert failed(outcome) == Problem.NO_CONNECTION
    assert plain.got == []
