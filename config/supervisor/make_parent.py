"""The `make` that started us, if one did: we stop when it is killed or interrupted alone."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from config.supervisor.programs import die_with_parent


class MakeParent:
    """GNU make passes SIGTERM on to what it runs, but not SIGINT: it relies on a terminal that signals everybody.

    Interrupted, it sets SIGINT back to its default and waits for us; on Linux that can be seen.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._status: Path | None = None
        if "MAKELEVEL" in environment:
            die_with_parent(os.getppid())
            self._status = Path(f"/proc/{os.getppid()}/status")
        self._could_catch = self._catches_interrupts()

    def was_interrupted(self) -> bool:
        return self._could_catch and not self._catches_interrupts()

    def _catches_interrupts(self) -> bool:
        if self._status is None:
            return False
        try:
            lines = self._status.read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
        return bool(caught >> (signal.SIGINT - 1) & 1)
