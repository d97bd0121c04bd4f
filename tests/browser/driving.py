"""Steps of a person in a browser that the next step may count on."""

from typing import Literal

from playwright.sync_api import Locator, Page

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def follow(link: Locator) -> None:
    """Click what leads to another page, and return once that has loaded: a click alone may return before."""
    with link.page.expect_navigation():
        link.click()


def fits(page: Page) -> bool:
    """Whether nothing is wider than the window, in light and dark."""
    return not [scheme for scheme in SCHEMES if _is_too_wide(page, scheme)]


def _is_too_wide(page: Page, scheme: Literal["light", "dark"]) -> bool:
    page.wait_for_load_state()
    page.emulate_media(color_scheme=scheme)
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def sign_in(page: Page, username: str, password: str) -> None:
    page.goto("/admin/login/")
    page.fill("#id_username", username)
    page.fill("#id_password", password)
    follow(page.get_by_role("button", name="Sign in"))
