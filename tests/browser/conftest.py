"""How long a browser is waited for."""

from playwright.sync_api import expect

expect.set_options(timeout=60_000)  # milliseconds; a busy machine is no failure
