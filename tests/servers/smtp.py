"""A mail server on loopback that keeps what it gets, or refuses it: as much of SMTP (RFC 5321) as a client needs."""

import socket
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self


class Smtp:
    """`refuses`: answers every recipient with a 550. Each mail that was taken is in `mails`."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.mails: list[EmailMessage] = []
        self.refuses = refuses
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb", buffering=0) as lines:
                self._converse(lines)

    def _converse(self, lines: socket.SocketIO) -> None:
        lines.write(b"220 loopback\r\n")
        while line := lines.readline():
            word = line[:4].upper().strip()
            if word == b"QUIT":
                lines.write(b"221 bye\r\n")
                return
            if word == b"RCPT" and self.refuses:
                lines.write(b"550 no such mailbox\r\n")
            elif word == b"DATA":
                lines.write(b"354 go on\r\n")
                self.mails.append(self._read_mail(lines))
                lines.write(b"250 taken\r\n")
            else:
                lines.write(b"250 ok\r\n")

    def _read_mail(self, lines: socket.SocketIO) -> EmailMessage:
        content = b""
        while (line := lines.readline()) not in {b".\r\n", b""}:
            content += line.removeprefix(b".")
        return message_from_bytes(content, policy=policy.default)
