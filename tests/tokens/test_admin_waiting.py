"""On the pages: what waits for approval says so, leads to the request, and stays what it was."""

from typing import Any
from uuid import uuid4

import pytest

from approvals.models import ApprovalRequest
from fleets.models import User
from tests.factories import events, fleet_member, make_token
from tests.pages import browser
from tests.tokens.conftest import World
from tests.tokens.issuing import present
from tokens.models import Token

LIST = "/admin/tokens/token/"
ADD = f"{LIST}add/?for=acme/fleet:edge"


def form(**fields: Any) -> dict[str, Any]:
    return {
        "once": str(uuid4()),
        "name": "nightly",
        "reach": "all",
        "scopes": ["commands:execute"],
        "reason": "Repairs at night",
        **fields,
    }


def request_page(request: ApprovalRequest) -> str:
    return f"/admin/approvals/approvalrequest/{request.pk}/change/"


def test_a_new_token_that_waits_shows_its_secret_and_leads_to_its_request(
    world: World, approver: User
) -> None:
    client = browser(world.manager)
    sent = form(networks="10.0.0.0/8\n127.0.0.1", rate="3/second", windows="mon-fri 08:00-18:00")

    answer = client.post(ADD, sent)

    token = Token.objects.get(name="nightly")
    request = ApprovalRequest.objects.get()
    text = answer.content.decode()
    assert (answer.status_code, token.status, token.open_request) == (200, "pending", request)
    assert f'It waits for <a href="{request_page(request)}">an approval</a>' in text
    assert token.restrictions.as_json() == {
        "allowed_networks": ["10.0.0.0/8", "127.0.0.1/32"],
        "rate_limit": "3/second",
        "access_windows": [{"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "18:00"}],
    }
    page = client.get(f"{LIST}{token.pk}/change/").content.decode()
    assert "It waits for approval. Until then every call with it is refused." in page
    assert f'href="{request_page(request)}"' in page
    unseeing = browser(world.admin).get(f"{LIST}{token.pk}/change/").content.decode()
    assert f'href="{request_page(request)}"' in unseeing, "an admin reads all tokens, so also their requests"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("networks", "10.0.0.1/8", "10.0.0.0/8"),
        ("rate", "3/fortnight", "N/second"),
        ("windows", "always", "Write it as mon-fri 08:00-18:00"),
    ],
)
def test_a_restriction_that_can_not_be_meant_is_said_at_its_field(
    world: World, field: str, value: str, words: str
) -> None:
    answer = browser(world.manager).post(ADD, form(**{field: value}))

    assert words in answer.content.decode()
    assert answer.context["form"].errors.keys() == {field}
    assert not Token.objects.exists()


def test_beside_what_waits_pages_say_what_was_done_and_no_more(world: World, approver: User) -> None:
    issued = make_token(world.edge, "machines:read")
    client, address = browser(world.manager), f"{LIST}{issued.token.pk}"
    sent = form(name=issued.token.name, reach="keep", scopes=["machines:read", "commands:execute"])
    client.post(f"{address}/edit/", sent, follow=True)

    same = client.post(f"{address}/edit/", {**sent, "scopes": ["machines:read"]}, follow=True)
    disabled = client.post(f"{address}/disable/", {"reason": "Off"}, follow=True)

    for answer, done in ((same, "The token is changed."), (disabled, "disabled")):
        told = [str(message) for message in answer.context["messages"]]
        assert len(told) == 1
        assert "It waits for" not in told[0]
        assert done in told[0]
    assert (present(issued).status, present(issued).has_waiting_change) == ("disabled", True)


def test_an_edit_that_waits_says_so_and_changes_nothing_yet(world: World, approver: User) -> None:
    issued = make_token(world.edge, "machines:read")
    client = browser(world.manager)
    address = f"{LIST}{issued.token.pk}"
    sent = form(name=issued.token.name, reach="keep", scopes=["machines:read", "commands:execute"])

    answer = client.post(f"{address}/edit/", sent, follow=True)

    request = ApprovalRequest.objects.get()
    text = answer.content.decode()
    assert f'It waits for <a href="{request_page(request)}">approval</a>' in text
    assert "A change of it waits for approval." in text
    assert (present(issued).scopes, present(issued).open_request) == (["machines:read"], request)
    assert events(target_id=issued.token.pk)[1:] == ["approval.requested allowed"]

    narrowed = client.post(f"{address}/edit/", form(name="renamed", reach="keep", scopes=["machines:read"]))
    assert narrowed.status_code == 302
    assert "waits for approval" not in client.get(f"{address}/change/").content.decode()
    assert present(issued).name == "renamed"


def test_who_may_not_see_the_request_is_told_of_it_without_the_way_there(
    world: World, approver: User
) -> None:
    other = fleet_member(world.edge, "manager")
    browser(world.manager).post(ADD, form())
    token = Token.objects.get(name="nightly")

    page = browser(other).get(f"{LIST}{token.pk}/change/").content.decode()

    assert "It waits for approval." in page
    assert (
        "/admin/approvals/approvalrequest/" not in page.partition("Waits for approval")[2].partition("<dt")[0]
    )
