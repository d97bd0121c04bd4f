"""What a technical user asked for about a token is taken back by who manages it, in their session; by nobody else."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from approvals import policy, requests
from approvals.models import ApprovalRequest
from approvals.standing import standings
from config.edge.access import Access
from config.edge.clock import now
from fleets import access
from fleets.models import User
from tests.factories import (
    API,
    acting,
    application_owner,
    fleet_member,
    last_event,
    make_application,
    make_entry,
    make_group,
    make_group_member,
    make_organization,
    make_superuser,
    make_technical_user,
    make_token,
    member,
    operator,
    owner_of,
    session,
    session_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import issue, outcome, present, wish
from tests.tokens.waiting import DAY, EXECUTE, request_of
from tokens import lifecycle
from tokens.changes import Edit
from tokens.issuance import Issued
from tokens.kinds import Owner

PAGES = "/admin/approvals/approvalrequest/"
TRUSTED = {"owner", "admin", "superuser"}  # hold tokens:manage everywhere in the organization
ASKED = {  # by the owner of the token that is asked for: the scopes, and who may take it back
    "fleet": (EXECUTE, TRUSTED | {"manager"}),
    "group": (EXECUTE, TRUSTED | {"leader"}),
    "application": (EXECUTE, TRUSTED | {"app owner"}),
    "organization": (("machines:configure", "machines:read"), TRUSTED),
    "technical user": (EXECUTE, TRUSTED),
}


@dataclass(frozen=True)
class Court:
    """A technical user's token that asks, owners of tokens that it asks for, and everybody who could want to take back
    what it asked for."""

    world: World
    asker: Issued
    owners: dict[str, Owner]
    people: dict[str, User]

    def callers(self) -> dict[str, Access]:
        by_token = make_token(self.world.admin, "tokens:manage", "tokens:read", "approvals:decide")
        return {
            **{name: session(user) for name, user in self.people.items()},
            "admin by a token": acting(by_token),
            "operator": operator,
            "operator for the admin": access.operator("root@tests", on_behalf_of=self.world.admin),
            "another token": acting(make_token(self.world.edge, "machines:read")),
        }

    def asked_for(self, owner: str) -> Issued:
        """A new token that waits."""
        return issue(acting(self.asker), self.owners[owner], wish(*ASKED[owner][0]))


@pytest.fixture
def court(world: World, approver: User) -> Court:
    crew, app, bot = (
        make_group(world.acme, "crew"),
        make_application(world.acme, "app"),
        make_technical_user(world.acme),
    )
    make_entry(world.acme, world.edge.path, "GroupAdmin", group=crew)
    for path in ("/", world.edge.path):
        make_entry(world.acme, path, "Administrator", user=bot)
    people = {
        "owner": world.owner,
        "admin": world.admin,
        "auditor": world.auditor,
        "approver": approver,
        "manager": world.manager,
        "viewer": fleet_member(world.edge),
        "leader": make_group_member(crew, "admin").user,
        "worker": make_group_member(crew).user,
        "app owner": application_owner(app),
        "superuser": make_superuser(),
        "suspended admin": member(world.acme, "admin"),
        "stranger": owner_of(make_organization("globex")),
    }
    owners: dict[str, Owner] = {
        "fleet": world.edge,
        "group": crew,
        "application": app,
        "organization": world.acme,
        "technical user": bot,
    }
    asker = make_token(bot, "tokens:manage", "machines:configure", *EXECUTE)
    people["suspended admin"].memberships.update(
        suspended_at=now()
    )  # last: what is built after it is not remembered
    return Court(world, asker, owners, people)


def buttons(browser: APIClient, request: ApprovalRequest) -> list[str]:
    """What the page of the request offers; nothing where there is no such page for this person."""
    answer = browser.get(f"{PAGES}{request.pk}/change/")
    return [button.label for button in answer.context["buttons"]] if answer.status_code == 200 else []


def is_told(browser: APIClient, request: ApprovalRequest) -> bool:
    """Whether the API says that this person may take it back."""
    answer = browser.get(f"{API}approvals/{request.pk}/")
    return answer.status_code == 200 and answer.json()["may_withdraw"]


@pytest.mark.parametrize("owner", ASKED)
def test_who_manages_the_token_takes_back_what_a_technical_user_asked_for(court: Court, owner: str) -> None:
    issued, may = court.asked_for(owner), ASKED[owner][1]
    request = request_of(issued)
    people, callers = court.people, court.callers()
    browsers = {name: session_client(user) for name, user in people.items()}
    others = {name: by for name, by in callers.items() if name not in may}

    assert {name for name, by in callers.items() if policy.may_withdraw(by, request)} == may
    rows = ApprovalRequest.objects.filter(pk=request.pk)
    seen = {name for name, user in people.items() if policy.visible_to(session(user), rows).exists()}
    assert seen == may | {"approver", "auditor"}
    assert {name for name, browser in browsers.items() if "Withdraw" in buttons(browser, request)} == may
    assert {name for name, browser in browsers.items() if is_told(browser, request)} == may
    assert {name: outcome(requests.withdraw, request, by=by) for name, by in others.items()} == dict.fromkeys(
        others, "forbidden"
    )
    assert outcome(requests.withdraw, request, by=acting(court.asker)) == "forbidden"

    for name in sorted(may):
        requests.withdraw(request, reason="A mistake", by=session(people[name]))

        request.refresh_from_db()
        event = last_event(action="approval.withdrawn", outcome="allowed")
        assert (request.status, event.reason) == ("withdrawn", "A mistake")
        assert (event.actor_id, event.data["approval"]) == (str(people[name].pk), str(request.pk))
        token = present(issued)
        assert (token.status, token.status_reason) == ("rejected", "withdrawn")
        assert not is_told(browsers[name], request)
        assert "Withdraw" not in buttons(browsers[name], request)
        issued = court.asked_for(owner)
        request = request_of(issued)


def test_pages_and_the_api_take_it_back(court: Court) -> None:
    leader = session_client(court.people["leader"])
    issued, again = court.asked_for("group"), court.asked_for("group")
    request = request_of(issued)

    listed = leader.get(f"{API}approvals/").json()["results"]
    page = leader.get(f"{PAGES}{request.pk}/change/")
    done = leader.post(f"{PAGES}{request.pk}/withdraw/", {"reason": ""}, follow=True)
    by_api = leader.post(f"{API}approvals/{request_of(again).pk}/withdraw/", {}, format="json")

    assert [(row["subject"]["id"], row["may_withdraw"], row["may_decide"]) for row in listed] == [
        (again.token.pk, True, False),
        (issued.token.pk, True, False),
    ]
    assert "A technical user asked for this, about a token that you manage" in page.content.decode()
    assert "The request is withdrawn." in done.content.decode()
    assert (by_api.status_code, by_api.json()["status"]) == (200, "withdrawn")
    assert not by_api.json()["may_withdraw"]
    assert [present(one).status for one in (issued, again)] == ["rejected", "rejected"]


def test_a_change_that_a_technical_user_asked_for_is_taken_back_and_the_token_stays(court: Court) -> None:
    issued = make_token(court.world.edge, "machines:read")
    change = Edit(wish=wish(*EXECUTE), expires_at=now() + DAY)  # a token gives nothing that outlives it
    lifecycle.edit(present(issued), change=change, reason="more", by=acting(court.asker))
    request = request_of(issued)

    requests.withdraw(request, by=session(court.world.manager))

    token = present(issued)
    assert (token.status, token.open_request, sorted(token.scopes)) == ("active", None, ["machines:read"])


def test_who_manages_the_token_no_longer_takes_nothing_back(court: Court) -> None:
    request = request_of(court.asked_for("fleet"))
    make_entry(court.world.acme, court.world.edge.path, "NoAccess", user=court.world.manager)

    assert outcome(requests.withdraw, request, by=session(court.world.manager)) == "forbidden"
    assert buttons(session_client(court.world.manager), request) == []


def test_what_a_person_asked_for_stays_theirs_alone(court: Court) -> None:
    people = {name: session(user) for name, user in court.people.items()}
    by_token = make_token(court.world.admin, "tokens:manage", "approvals:decide", *EXECUTE)
    for by, asker in ((people["manager"], "manager"), (acting(by_token), "admin")):
        request = request_of(issue(by, court.world.edge, wish(*EXECUTE)))

        assert {name for name, each in people.items() if policy.may_withdraw(each, request)} == {asker}
        for name in sorted(set(people) - {asker}):
            assert outcome(requests.withdraw, request, by=people[name]) == "forbidden"
        requests.withdraw(request, by=by)


def test_what_is_out_of_time_is_neither_offered_nor_taken_back(court: Court) -> None:
    pk = request_of(court.asked_for("fleet")).pk
    ApprovalRequest.objects.filter(pk=pk).update(opened_at=now(), expires_at=now())
    request = ApprovalRequest.objects.presented().get(pk=pk)
    by = session(court.world.manager)

    assert outcome(requests.withdraw, request, by=by) == "request_lapsed"
    assert not standings([request], by)[pk].may_withdraw
    assert buttons(session_client(court.world.manager), request) == []


def test_a_list_asks_as_often_for_many_as_for_one(court: Court) -> None:
    by = session(court.world.manager)

    def asked() -> tuple[int, int]:
        rows = list(ApprovalRequest.objects.presented())
        by.refresh()
        with CaptureQueriesContext(connection) as captured:
            offered: Any = policy.withdrawable(by, rows)
        return len(offered), len(captured)

    court.asked_for("fleet")
    one = asked()
    for owner in ("fleet", "fleet", "organization"):
        court.asked_for(owner)

    assert asked() == (3, one[1])
