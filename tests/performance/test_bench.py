"""`make bench`: what it makes of a load tool's output, and that it never leaves this machine."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import load
from bench.load import Measured, WrongAnswers

WRK = """\
Running 2s test @ http://127.0.0.1:8000/empty
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.45ms    2.02ms  29.80ms   94.27%
  Latency Distribution
     50%    1.04ms
     75%    1.36ms
     90%    2.11ms
     99%  813.00us
  14055 requests in 2.00s, 2.28MB read
Requests/sec:   7024.98
Transfer/sec:      1.14MB
"""


class Page(BaseHTTPRequestHandler):
    """Answers 200 at /well and 403 elsewhere."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200 if self.path.startswith("/well") else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_rate_and_p99_are_read_from_wrk() -> None:
    assert load.parsed(WRK) == Measured(rate=7024.98, p99=0.813)
    assert load.parsed(WRK.replace("813.00us", "1.20s")).p99 == 1200


@pytest.mark.parametrize(
    "line", ["Non-2xx or 3xx responses: 4", "Socket errors: connect 0, read 1, write 0, timeout 0"]
)
def test_a_measurement_of_anything_but_good_answers_does_not_count(line: str) -> None:
    with pytest.raises(WrongAnswers, match=line[:20]):
        load.parsed(WRK + line)


def test_without_wrk_threads_measure(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "tool", lambda: "python")

    measured = load.measure(f"{address}/well", {}, connections=2, seconds=0.5)

    assert measured.rate > 0
    with pytest.raises(WrongAnswers):
        load.measure(f"{address}/ill", {}, connections=2, seconds=0.2)


@pytest.mark.parametrize("url", ["http://example.org/", "http://127.0.0.1.example.org/", "http://10.0.0.1/"])
def test_load_goes_to_loopback_only(url: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        load.measure(url, {}, connections=1, seconds=1)
