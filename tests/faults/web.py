"""A web process that may be killed."""

import os
import signal

from tests.attacks import processes


class Web(processes.Web):
    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """As a power cut does it: the process and its own children, in the middle of whatever they do."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
