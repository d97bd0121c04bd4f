"""A request and its decision as people make them, in a real browser: on a wide screen, and on a phone by keyboard."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import fits, follow, sign_in
from tests.browser.test_coming_in import FIRST, choose, complaints, link_for, window
from tests.servers.house import House

__all__ = ["complaints", "window"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def test_what_one_asks_for_another_approves_on_the_phone(
    window: Callable[[int], Page], house: House, complaints: list[str]
) -> None:
    phone = window(390)
    phone.goto(link_for(house, "phone-approver", "--role", "approver"))
    choose(phone, FIRST)
    desk = window(1280)
    sign_in(desk, house.username, house.password)
    desk.goto("/admin/tokens/token/add/")
    desk.locator("#id_for").select_option(index=1)
    follow(desk.get_by_role("button", name="Continue"))
    desk.fill("#id_name", "waits-for-approval")
    desk.get_by_label("commands:execute").check()
    desk.fill("#id_reason", "Rolls out the firmware of autumn")
    follow(desk.locator("form.command").get_by_role("button", name="Create token"))
    expect(desk.get_by_text("This secret is shown once")).to_be_visible()

    desk.goto("/admin/approvals/approvalrequest/")
    follow(desk.get_by_role("link", name="waits-for-approval"))
    expect(desk.get_by_text("You asked for this, so somebody else decides.")).to_be_visible()
    assert [link.inner_text() for link in desk.locator(".row-tools a").all()] == ["Withdraw"]

    sign_in(phone, "phone-approver", FIRST)
    phone.goto("/admin/approvals/approvalrequest/?standing=mine")
    assert fits(phone)
    phone.get_by_role("link", name="waits-for-approval").focus()
    phone.keyboard.press("Enter")
    expect(phone.locator(".diff")).to_contain_text("commands:execute")
    assert fits(phone)
    phone.get_by_role("link", name="Approve", exact=True).focus()
    phone.keyboard.press("Enter")
    expect(phone.get_by_text("With your approval it holds at once.")).to_be_visible()
    assert fits(phone)
    phone.locator("#id_comment").focus()
    phone.keyboard.type("Fine")
    phone.keyboard.press("Tab")
    phone.keyboard.press("Enter")

    expect(phone.get_by_text("Approved: it holds from now on.")).to_be_visible()
    expect(phone.locator(".request-approved")).to_be_visible()
    assert fits(phone)
    desk.reload()
    expect(desk.locator(".request-approved")).to_be_visible()
    assert complaints == []
