"""A receiver of webhooks on loopback: keeps what it gets, and answers as it is told."""

import http.server
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Got:
    """One request that came in."""

    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes = field(repr=False)


class Receiver:
    """`answers(handler)` writes the whole answer; by default a 204. `status`, `headers` and `wait` change it simply."""

    def __init__(
        self,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        status: int = 204,
        headers: Mapping[str, str] | None = None,
        wait: float = 0.0,
        answers: Callable[[Any], None] | None = None,
        certificate: tuple[str, str] | None = None,
    ) -> None:
        self.got: list[Got] = []
        self.connections = 0
        self.status, self.headers, self.wait, self.answers = status, dict(headers or {}), wait, answers
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def setup(self) -> None:
                receiver.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                named = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append(Got(self.command, self.path, named, body))
                time.sleep(receiver.wait)
                if receiver.answers:
                    receiver.answers(self)
                    return
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_words: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_about: Any) -> None:
                """A client that goes away is no error here."""

        self._server = Server((address, port), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.address, self.port = address, int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}/hook"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
