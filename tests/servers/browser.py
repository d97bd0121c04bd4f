"""Finds a Chromium to drive, or installs the system's; the test tools' own downloads are never used."""

import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str:
    """The path of a Chromium. As root on Debian it is installed when there is none."""
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        return chosen
    found = _installed()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
        found = _installed()
    if found is None:
        raise RuntimeError(
            "No Chromium was found. Install one (Debian: apt-get install chromium), or set CHROMIUM to its path."
        )
    return found


def _installed() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def _install() -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", "chromium"]):
        subprocess.run(["apt-get", *command], env=environment, check=True, stdin=subprocess.DEVNULL)
