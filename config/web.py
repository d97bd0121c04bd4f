"""The web process, `python -m config.web`: waitress, and what it would let through refused.

One loop reads requests and sends answers without ever waiting for a client; a thread is taken by a request only once it
is there as a whole. Several such processes may share a port.
"""

import argparse
import logging
import pkgutil
import re
import signal
import socket
import time
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import WSGITask

log = logging.getLogger("tokenhouse.web")
LONGEST_ARRIVAL = 30.0  # seconds from the first to the last byte of a request
LIMITS = {
    "max_request_header_size": 128
    * 1024,  # 431 from here on; a credential of 64 KiB is still the product's 401
    "max_request_body_size": 128 * 1024,  # 413 from here on; above 64 KiB the product says so
    "inbuf_overflow": 1024 * 1024,  # neither what is received
    "outbuf_overflow": 16 * 1024 * 1024,  # nor what is answered goes through a temporary file
    "connection_limit": 500,  # below the 1,024 open files that a process commonly may have
    "channel_timeout": 75,  # seconds without a byte; longer than a proxy keeps an idle connection (nginx: 60)
    "cleanup_interval": 2,  # seconds between two looks for connections whose time is over
    "asyncore_use_poll": True,
}
POLICY = {
    "clear_untrusted_proxy_headers": False,  # config/edge alone decides whose X-Forwarded-For and -Proto counts
    "ident": None,  # no Server header
    "log_socket_errors": False,  # clients go away
    "expose_tracebacks": False,
}

REQUEST_LINE = re.compile(rb"[A-Z-]+ (?:(?:https?://[A-Za-z0-9.:_-]+)?/[\x21-\x7e]*|\*) HTTP/1\.[01]")
FOLDED = re.compile(rb"\r\n[ \t]")
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
FIELD = re.compile(rb"^([^:\r\n]*):[ \t]*([^\r\n]*)", re.MULTILINE)
LENGTH = re.compile(rb"[0-9]{1,18}[ \t]*")
CHUNKED = re.compile(rb"chunked[ \t]*", re.IGNORECASE)
SINGLE = (b"host", b"content-length", b"content-type", b"transfer-encoding")
MOST_FIELDS = 200


def refusal(head: bytes) -> str | None:
    """Why the head of a request is not taken: it could mean two things to two servers, or would keep the loop busy.

    Only what waitress itself does not see to is looked for. It refuses malformed names and bare CR or LF, and it drops
    each header whose name has an underscore, which WSGI can't tell from the one with a hyphen.
    """
    line, _, rest = head.partition(b"\r\n")
    if not REQUEST_LINE.fullmatch(line):  # RFC 9112, 3; urlsplit drops tabs and fails on half an address
        return "Invalid request line"
    if CONTROL.search(rest):  # RFC 9110, 5.5; behind many spaces, waitress looks for it in quadratic time
        return "Control character in a header"
    if FOLDED.search(head):  # RFC 9112, 5.2; waitress unfolds
        return "Folded header"
    fields = [(name.lower(), value) for name, value in FIELD.findall(rest)]
    names = [name for name, _ in fields]
    if len(names) > MOST_FIELDS or any(names.count(name) > 1 for name in SINGLE):
        return "Too many headers"
    return _about_length(dict(fields), is_old=line.endswith(b"1.0"))


def _about_length(fields: dict[bytes, bytes], *, is_old: bool) -> str | None:
    """RFC 9112, 6.3: where the body ends must be said once, in words that every server reads alike."""
    length, encoding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if length is not None and not LENGTH.fullmatch(length):
        return "Invalid Content-Length"
    if encoding is not None and (is_old or length is not None or not CHUNKED.fullmatch(encoding)):
        return "Invalid Transfer-Encoding"
    return None


class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """One request as it arrives; strict, and knowing since when."""

    def __init__(self, adj: Any) -> None:
        super().__init__(adj)
        self.begun = time.monotonic()

    def parse_header(self, header_plus: bytes) -> None:
        if reason := refusal(header_plus):
            raise ParsingError(reason)
        super().parse_header(header_plus)


class Task(WSGITask):  # type: ignore[misc]
    def get_environment(self) -> dict[str, Any]:
        """With the path as it was sent: waitress makes // at its beginning to /, after the proxy judged the other."""
        environment: dict[str, Any] = super().get_environment()
        environment["PATH_INFO"] = self.request.path
        return environment


class Channel(HTTPChannel):  # type: ignore[misc]
    parser_class = Parser
    task_class = Task


class Server(TcpWSGIServer):  # type: ignore[misc]
    channel_class = Channel

    def maintenance(self, now: float) -> None:
        """Close the idle connections, and those whose request trickles in."""
        super().maintenance(now)
        oldest = time.monotonic() - LONGEST_ARRIVAL
        for channel in self.active_channels.values():
            if channel.request is not None and channel.request.begun < oldest:
                channel.will_close = True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m config.web", description=__doc__)
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=8, help="requests at a time (default: %(default)s)")
    parser.add_argument("application", nargs="?", default="config.wsgi:application")
    arguments = parser.parse_args()
    serve(pkgutil.resolve_name(arguments.application), arguments.bind, arguments.port, arguments.threads)


def serve(application: Any, bind: str, port: int, threads: int) -> None:
    """Serve until a signal to stop. Requests under way then get five seconds."""
    logging.getLogger("waitress.queue").setLevel(
        logging.ERROR
    )  # a line for each request that waits for a thread
    with listener(bind, port) as listening:
        server = Server(
            application,
            _sock=listening,
            bind_socket=False,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
            threads=threads,
            **LIMITS,
            **POLICY,
        )
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        log.info("listening", extra={"bind": bind, "port": port})
        server.run()


def listener(bind: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    both = bind == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((bind, port), family=family, reuse_port=True, dualstack_ipv6=both)


if __name__ == "__main__":
    main()
