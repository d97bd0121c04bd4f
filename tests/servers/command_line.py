"""`manage.py` again and again, each time in a process of its own that has the product loaded already.

What such a process does is what `python manage.py` does: arguments, streams and exit status are the process's own. What
happens before, from the interpreter's start to the settings, is for tests that start one.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import django

import manage

REPOSITORY = Path(__file__).resolve().parent.parent.parent
RAN = tuple[int, str, str]  # exit status, stdout, stderr


class CommandLine:
    """A process that loads the product in an environment, and copies of it that run one command each."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.command_line"],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> RAN:
        assert self._process.stdin
        assert self._process.stdout
        with tempfile.TemporaryDirectory(prefix="th-command-") as folder:
            streams = [Path(folder) / name for name in ("out", "err")]
            request = {"words": words, "streams": [str(stream) for stream in streams]}
            print(json.dumps(request), file=self._process.stdin, flush=True)
            status = json.loads(self._process.stdout.readline() or "null")
            assert status is not None, "the product could not be loaded"
            out, err = (stream.read_text(encoding="utf-8") for stream in streams)
        return status, out, err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


def serve() -> None:
    """Run what each line of stdin asks for in a copy of this process, and print its exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    for line in sys.stdin:
        copy = os.fork()
        if not copy:
            become(**json.loads(line))
            manage.main()
            return
        _, status = os.waitpid(copy, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(words: list[str], streams: list[str]) -> None:
    """Take the words for the arguments, nothing for stdin, and these files for stdout and stderr."""
    for number, path in enumerate((os.devnull, *streams)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["manage.py", *words]


if __name__ == "__main__":
    serve()
