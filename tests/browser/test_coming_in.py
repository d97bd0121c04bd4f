"""How a person comes in, in a real browser: by an invitation, by a new password, and out from another browser."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests import environment
from tests.browser.driving import fits, follow, sign_in
from tests.servers.house import REPOSITORY, House

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
FIRST, SECOND = "a password of some length", "a rather different one"
DEADLINE = 60.0  # seconds


@pytest.fixture
def complaints() -> list[str]:
    """What the browsers' consoles say, but for the status of a page that is meant to be a 404."""
    return []


@pytest.fixture
def window(browser: Browser, house: House, complaints: list[str]) -> Iterator[Callable[[int], Page]]:
    """Opens windows of a width, each with cookies of its own."""
    contexts = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and "404" not in message.text:
            complaints.append(message.text)

    def opened(width: int = 1280) -> Page:
        context = browser.new_context(base_url=house.url, viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield opened
    for context in contexts:
        context.close()


def link_for(house: House, username: str, *more: str) -> str:
    """As the operator of the house gets it."""
    command = ("user", "invite", username, "--organization", "brightwater", "--format", "json")
    done = subprocess.run(
        [sys.executable, "manage.py", *command, *more, "--email", f"{username}@example.org"],
        cwd=REPOSITORY,
        env=environment.without_product_settings() | {"TOKENHOUSE_DATA": str(house.data)},
        capture_output=True,
        text=True,
        check=True,
    )
    return str(json.loads(done.stdout)["link"])


def mailed_link(house: House, username: str) -> str:
    """Mail goes into the worker's log as long as no server is set."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        log = (house.data / "logs" / "worker.log").read_text(encoding="utf-8", errors="replace")
        letter = log.partition(f"account {username} on Tokenhouse")[2]
        if found := re.search(r"http://\S+/admin/password-reset/thl_\S+/", letter):
            return found[0]
        time.sleep(0.2)
    raise AssertionError("no mail was written")


def choose(page: Page, password: str) -> None:
    """With the keyboard alone."""
    page.locator("#id_password").focus()
    page.keyboard.type(password)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your password is set")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_person_comes_in_forgets_their_password_and_ends_a_session(
    window: Callable[[int], Page], house: House, complaints: list[str], width: int
) -> None:
    username = f"browser-{width}"
    link = link_for(house, username)
    page = window(width)

    page.goto(link)
    assert fits(page)
    choose(page, FIRST)
    assert fits(page)
    page.goto(link)
    expect(page.get_by_role("heading", name="This link does not work")).to_be_visible()
    assert fits(page)
    sign_in(page, username, FIRST)
    expect(page.get_by_role("heading", name="Home")).to_be_visible()

    elsewhere = window(width)
    sign_in(elsewhere, username, FIRST)
    follow(elsewhere.get_by_role("link", name="Sessions"))
    assert fits(elsewhere)
    follow(elsewhere.get_by_role("link", name="End the session").first)
    assert fits(elsewhere)
    follow(elsewhere.get_by_role("button", name="End session"))
    expect(elsewhere.get_by_text("The session has ended.")).to_be_visible()
    page.goto("/admin/")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()

    follow(page.get_by_role("link", name="Forgotten password?"))
    assert fits(page)
    page.get_by_label("Your mail address").fill(f"{username}@example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()
    assert fits(page)
    page.goto(mailed_link(house, username))
    expect(page.get_by_text(f"Choose a new password for {username}")).to_be_visible()
    assert fits(page)
    choose(page, SECOND)
    elsewhere.goto("/admin/")
    expect(elsewhere.get_by_role("button", name="Sign in")).to_be_visible()
    sign_in(page, username, SECOND)
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    assert complaints == []
