"""What the person at the terminal reads: the box with the address, the one-time password and a working curl line."""

import os
import sys
from pathlib import Path
from typing import Protocol

RULE = "-" * 78


class Account(Protocol):
    """Who signs in, and a working token's secret where there is one to show."""

    @property
    def username(self) -> str: ...
    @property
    def token(self) -> str | None: ...


def url_of(bind: str, port: int) -> str:
    """The address to open in a browser on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(bind, f"[{bind}]" if ":" in bind else bind)  # noqa: S104
    return f"http://{host}:{port}"


def show(title: str, url: str, data: Path, account: Account, password: str) -> None:
    say(RULE)
    say(f"  {title}")
    say()
    say(f"  Open       {url}/admin/")
    say(f"  Username   {account.username}")
    say(f"  Password   {password}")
    say(f"  Data       {data}")
    say("  Stop       Ctrl-C")
    if account.token:
        say()
        say("  List machines with a token (its secret, too, is shown only this once):")
    say(RULE)
    if account.token:
        say(f"curl -H 'Authorization: Bearer {account.token}' {url}/api/v1/machines/")


def say(text: str = "") -> None:
    """Print a line; a terminal that was closed is no reason to stop serving."""
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (for the rest of the process)
