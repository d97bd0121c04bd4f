"""Browsers end the lines of a text with CR LF: saving a form that nobody touched changes nothing."""

import re
from html import unescape
from typing import Any

import pytest

from approvals.models import ApprovalRequest
from fleets.models import User
from tests.factories import events, last_event, make_approver, make_token, need_approvals, session_client
from tests.pages import Browser, browser
from tests.tokens.conftest import World
from tests.tokens.issuing import present, wish
from tests.tokens.test_admin_waiting import ADD, LIST, form
from tests.tokens.waiting import EXECUTE, edit, executing, request_of
from tokens.models import Token

LINES = "first line\nsecond line"
TEXTAREA = re.compile(r'<textarea name="description"[^>]*>\r?\n(.*?)</textarea>', re.DOTALL)


def untouched(client: Browser, token: Token) -> dict[str, Any]:
    """The edit form as the page shows it."""
    shown = TEXTAREA.search(client.get(f"{LIST}{token.pk}/edit/").content.decode())
    assert shown is not None
    return {
        "name": token.name,
        "description": unescape(shown[1]),
        "reach": "keep",
        "scopes": list(token.scopes),
        "lifetime": "",
        "reason": "",
    }


def test_the_form_of_what_waits_for_a_second_approval_keeps_the_first_where_nobody_touched_it(
    world: World, approver: User
) -> None:
    make_approver(world.acme)
    need_approvals(world.acme, high=2)
    issued = executing(world, description=LINES)
    request, client = request_of(issued), browser(world.admin)
    answer = session_client(approver).post(
        f"/api/v1/approvals/{request.pk}/approve/", {"diff_digest": request.diff_digest}, format="json"
    )
    assert answer.json()["granted"] == 1

    saved = client.post(f"{LIST}{issued.token.pk}/edit/", untouched(client, issued.token))

    now = session_client(approver).get(f"/api/v1/approvals/{request.pk}/").json()
    assert saved.status_code == 302
    assert (now["granted"], now["diff_digest"]) == (1, request.diff_digest)
    assert [vote["voided_at"] for vote in now["decisions"]] == [None]
    assert "approval.voided" not in " ".join(events(target_id=request.pk))


def test_the_form_of_a_token_with_a_waiting_change_leaves_it_waiting_where_nobody_touched_it(
    world: World, approver: User
) -> None:
    issued = make_token(world.edge, *EXECUTE)
    edit(issued, world.manager, description=LINES)
    edit(issued, world.manager, wish=wish(*EXECUTE, "files:read"))
    request, client = request_of(issued), browser(world.admin)

    saved = client.post(f"{LIST}{issued.token.pk}/edit/", untouched(client, present(issued)))

    request.refresh_from_db()
    assert (saved.status_code, request.status) == (302, "open")
    assert present(issued).open_request == request


@pytest.mark.parametrize("sent", [LINES, LINES.replace("\n", "\r\n"), LINES.replace("\n", "\r")])
def test_what_a_form_keeps_ends_lines_as_the_api_takes_them(world: World, approver: User, sent: str) -> None:
    client, api = browser(world.manager), session_client(world.manager)

    client.post(ADD, form(description=sent, reason=sent))

    [token] = Token.objects.all()
    assert (token.description, request_of_token(token).reason) == (LINES, LINES)
    kept = api.get(f"/api/v1/tokens/{token.pk}/").json()["description"]
    again = api.patch(f"/api/v1/tokens/{token.pk}/", {"description": kept}, format="json")
    assert (again.status_code, again.json()["description"]) == (200, LINES)


def test_a_description_that_was_kept_with_cr_lf_is_not_changed_by_who_saves_it_as_it_is_shown(
    world: World, approver: User
) -> None:
    issued, client = executing(world), browser(world.manager)
    old = LINES.replace("\n", "\r\n")
    Token.objects.filter(pk=issued.token.pk).update(description=old)

    saved = client.post(f"{LIST}{issued.token.pk}/edit/", untouched(client, issued.token))

    assert (saved.status_code, present(issued).description) == (302, old)


def test_a_reason_is_kept_with_the_lines_that_were_written(world: World, approver: User) -> None:
    issued = executing(world)

    answer = browser(world.manager).post(
        f"{LIST}{issued.token.pk}/revoke/", {"word": "REVOKE", "reason": LINES}
    )

    assert (answer.status_code, last_event(action="token.revoked").reason) == (302, LINES)


def request_of_token(token: Token) -> ApprovalRequest:
    assert token.open_request is not None
    return token.open_request
