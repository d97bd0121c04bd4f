"""The main job as a person does it, in a real browser against the running product."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser.driving import fits, follow, sign_in
from tests.servers.house import House

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console says: violations of the Content-Security-Policy, errors, warnings."""
    return []


@pytest.fixture
def page(browser: Browser, house: House, complaints: list[str]) -> Iterator[Page]:
    """A new window, signed in as the first administrator."""
    context = browser.new_context(base_url=house.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(f"{page.url}: {message.text}")

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    sign_in(page, house.username, house.password)
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    yield page
    context.close()


def status_with(house: House, secret: str) -> str:
    """The status of a call with this secret, and the code where it is refused."""
    request = urllib.request.Request(  # noqa: S310 (our own server)
        f"{house.url}/api/v1/machines/", headers={"Authorization": f"Bearer {secret}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return f"{error.code} {json.loads(error.read())['code']}"


def shown_secret(page: Page) -> str:
    expect(page.get_by_text("This secret is shown once")).to_be_visible()
    return page.locator("#secret").inner_text()


def press(page: Page, name: str) -> None:
    """Open the verb's page by its button there; it asks before it acts."""
    follow(page.locator(".row-tools").get_by_role("link", name=name, exact=True))


def confirm(page: Page, name: str) -> None:
    follow(page.locator("form.command").get_by_role("button", name=name, exact=True))


def test_a_token_is_issued_used_rotated_disabled_enabled_and_revoked(
    page: Page, house: House, complaints: list[str]
) -> None:
    follow(page.get_by_role("link", name="Tokens").first)
    follow(page.get_by_role("link", name="+ New token"))
    page.locator("#id_for").select_option(index=1)
    follow(page.get_by_role("button", name="Continue"))
    page.fill("#id_name", "browser-pass")
    page.get_by_label("machines:read").check()
    confirm(page, "Create token")

    first = shown_secret(page)
    assert first in page.locator("#example").inner_text()
    assert status_with(house, first) == "200"
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("[data-copied]")).not_to_be_empty()

    page.reload()  # sends the form again
    expect(page.get_by_text("This was done already")).to_be_visible()
    assert first not in page.content()
    page.go_back()
    assert first not in page.content()
    complaints[:] = [text for text in complaints if "409" not in text]  # the reload's own answer

    page.goto("/admin/tokens/token/?q=browser-pass")
    follow(page.locator("#result_list").get_by_role("link", name="browser-pass", exact=True))
    assert first not in page.content()

    press(page, "Rotate secret")
    page.locator("#id_overlap").select_option("1h")
    confirm(page, "Rotate secret")
    second = shown_secret(page)
    assert second != first
    assert [status_with(house, secret) for secret in (first, second)] == ["200", "200"]
    follow(page.get_by_role("link", name="Done, to the token"))
    assert second not in page.content()

    press(page, "Disable")
    confirm(page, "Disable")
    assert status_with(house, second) == "401 token_disabled"
    press(page, "Enable")
    confirm(page, "Enable")
    assert status_with(house, second) == "200"

    press(page, "Revoke")
    page.fill("#id_word", "revoke")
    confirm(page, "Revoke")
    expect(page.get_by_text("Type REVOKE, in capitals.")).to_be_visible()
    assert status_with(house, second) == "200"
    page.fill("#id_word", "REVOKE")
    confirm(page, "Revoke")
    expect(page.locator(".status-revoked")).to_be_visible()
    assert status_with(house, second) == "401 token_revoked"
    assert complaints == []


@pytest.mark.parametrize("width", [390, 1280])
def test_every_section_fits_its_window_and_breaks_no_policy(
    page: Page, complaints: list[str], width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    wider: list[str] = []  # addresses
    addresses = [link.get_attribute("href") or "" for link in page.locator(".sections a").all()]
    assert len(addresses) >= 7

    for address in [
        "/admin/",
        *addresses,
        "/admin/tokens/token/add/",
        "/admin/password_change/",
        "/admin/sessions/",
    ]:
        page.goto(address)
        expect(page.locator("h1")).to_be_visible()
        wider += [] if fits(page) else [address]
        first = page.locator("#result_list tbody th a").first
        if first.count():
            follow(first)
            expect(page.locator(".facts")).to_be_visible()
            wider += [] if fits(page) else [page.url]

    page.goto("/admin/fleets/organization/")
    follow(page.locator("#result_list tbody th a").first)
    press(page, "Policy")
    page.locator("summary").first.click()
    page.fill("#id_maximum_lifetime_days", "30")
    wider += [] if fits(page) else ["the policy"]
    confirm(page, "Preview")
    expect(page.get_by_text("What changes")).to_be_visible()
    wider += [] if fits(page) else ["the policy's preview"]

    assert wider == []
    assert complaints == []
