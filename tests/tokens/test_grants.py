"""A token's own rows, one by one: given and taken by one verb each, judged where every edit is."""

from collections.abc import Callable
from typing import Any

import pytest

from config.edge.access import Access
from config.edge.refusals import Conflict, DomainError, IllegalMove, Invalid, Missing, Refused
from fleets import organizations
from fleets.models import Organization, User
from tests.factories import (
    API,
    acting,
    events,
    last_event,
    make_entry,
    make_group,
    make_machine,
    make_role,
    make_technical_user,
    make_token,
    member,
    operator,
    owner_of,
    session,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import REASON, issue, present, wish
from tokens import grants, issuance, lifecycle
from tokens.issuance import GrantWish, Issued
from tokens.models import Grant, Token

pytestmark = pytest.mark.django_db
NONE: frozenset[str] = frozenset()


def give(issued: Issued, path: str, role: str, by: Access, **options: Any) -> Grant:
    row = GrantWish(path, role, options.pop("propagate", True))
    return grants.give(present(issued), row=row, by=by, **{"reason": REASON, **options})


def take(issued: Issued, number: int, by: Access, reason: str = REASON) -> Token:
    return grants.take(present(issued), number=number, reason=reason, by=by)


def rows(issued: Issued) -> list[tuple[int, str, str]]:
    return [(row.number, row.path, row.role) for row in present(issued).grants.all()]


def held(issued: Issued, path: str) -> frozenset[str]:
    """What the token may do there now."""
    return acting(issued).rights(present(issued).organization_id).at(path)


@pytest.fixture
def backup(world: World) -> Issued:
    """The owner's personal token that can read and operate, and is granted nothing yet."""
    return issue(session(world.owner), world.owner, wish("machines:read", "machines:operate", grants=()))


def test_a_row_gives_as_much_of_the_ceiling_as_its_role_says(world: World, backup: Issued) -> None:
    grant = give(backup, "/fleets/edge", "Viewer", session(world.owner))

    assert (grant.number, grant.path, grant.role, grant.propagate) == (1, "/fleets/edge", "Viewer", True)
    assert held(backup, "/fleets/edge") == held(backup, world.edge_1.path) == {"machines:read"}
    assert held(backup, "/fleets/core") == held(backup, "/") == NONE
    event = last_event(action="token.edited")
    assert event.data["changes"]["grants"] == [
        [],
        [{"path": "/fleets/edge", "role": "Viewer", "propagate": True}],
    ]
    assert event.data["widens"] is True
    assert event.reason == REASON


def test_a_row_without_a_role_gives_the_whole_ceiling_and_one_of_ones_own_goes_up_to_it(
    world: World, backup: Issued
) -> None:
    make_role(world.acme, "Restarter", "machines:operate", "files:read")

    give(backup, "/fleets/edge", "", session(world.owner))
    give(backup, "/fleets/core", "Restarter", session(world.owner), propagate=False)

    assert held(backup, "/fleets/edge") == {"machines:read", "machines:operate"}
    assert held(backup, "/fleets/core") == {"machines:operate"}
    assert held(backup, world.core_1.path) == NONE
    assert present(backup).scopes == ["machines:operate", "machines:read"]


def test_numbers_stay_with_their_rows(world: World, backup: Issued) -> None:
    by = session(world.owner)
    for path in ("/a", "/b", "/c"):
        give(backup, path, "Viewer", by)
    take(backup, 1, by)
    give(backup, "/d", "Viewer", by)
    give(backup, "/b", "Operator", by, replaces=True)

    assert rows(backup) == [(3, "/c", "Viewer"), (4, "/d", "Viewer"), (5, "/b", "Operator")]

    lifecycle.edit(
        present(backup),
        change=lifecycle.Edit(wish=wish(grants=(GrantWish("/d", "Viewer"), GrantWish("/e", "Viewer")))),
        reason=REASON,
        by=by,
    )
    assert rows(backup) == [(4, "/d", "Viewer"), (6, "/e", "Viewer")]


def test_there_is_one_row_at_a_path_unless_it_is_replaced(world: World, backup: Issued) -> None:
    by = session(world.owner)
    give(backup, world.edge_1.path, "Viewer", by)

    with pytest.raises(Conflict) as refusal:
        give(backup, world.edge_1.path, "Operator", by)
    assert refusal.value.code == "grant_exists"
    with pytest.raises(Missing):
        take(backup, 2, by)
    assert rows(backup) == [(1, world.edge_1.path, "Viewer")]


def test_a_token_has_a_hundred_rows_at_most(world: World, backup: Issued) -> None:
    token = present(backup)
    Grant.objects.bulk_create(
        Grant(token=token, number=number, path=f"/free/{number}", role="Viewer") for number in range(1, 101)
    )

    with pytest.raises(Conflict) as refusal:
        give(backup, "/free/more", "Viewer", session(world.owner))
    assert refusal.value.code == "too_many_grants"

    take(backup, 100, session(world.owner))
    give(backup, "/free/more", "Viewer", session(world.owner))
    assert len(rows(backup)) == 100


@pytest.mark.parametrize(
    ("path", "role", "field", "code"),
    [
        ("/fleets/none", "Viewer", "path", "unknown_path"),
        ("fleets/edge", "Viewer", "path", "bad_path"),
        ("/vms/07", "Viewer", "path", "bad_path"),
        ("/", "Emperor", "role", "unknown_role"),
        ("/", "viewer", "role", "unknown_role"),
    ],
)
def test_a_row_names_a_path_and_a_role_that_exist(
    world: World, backup: Issued, path: str, role: str, field: str, code: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        give(backup, path, role, session(world.owner))

    assert [(error.field, error.code) for error in refusal.value.errors] == [(field, code)]
    assert rows(backup) == []


def test_a_fleets_token_gets_no_row_outside_of_its_fleet(world: World) -> None:
    issued = make_token(world.edge, "machines:read", grants=())

    with pytest.raises(Invalid) as refusal:
        give(issued, "/fleets/core", "Viewer", session(world.owner))
    assert refusal.value.errors[0].code == "bad_path"

    give(issued, world.edge_1.path, "Viewer", session(world.manager))
    assert held(issued, world.edge_1.path) == {"machines:read"}
    assert held(issued, world.edge_2.path) == NONE


def test_a_token_without_privilege_separation_has_no_rows(world: World) -> None:
    issued = make_token(world.owner, "machines:read", privilege_separation=False)

    with pytest.raises(Invalid) as refusal:
        give(issued, "/", "Viewer", session(world.owner))
    assert refusal.value.errors[0].code == "contradiction"
    assert rows(issued) == []


def test_an_ended_token_gets_no_row(world: World, backup: Issued) -> None:
    lifecycle.revoke(present(backup), by=operator)

    with pytest.raises(IllegalMove):
        give(backup, "/", "Viewer", session(world.owner))
    assert rows(backup) == []


# What happens to the level of access


def test_a_row_makes_the_level_custom_and_clears_what_extended_it(world: World) -> None:
    issued = issue(session(world.owner), world.owner, wish(role="Admin", extended=frozenset({"templates"})))
    before = present(issued)
    assert (before.access_level, before.extended, "templates:manage" in before.scopes) == (
        "admin",
        ["templates"],
        True,
    )

    give(issued, "/fleets/core", "NoAccess", session(world.owner))

    token = present(issued)
    assert (token.access_level, token.all_machines, token.extended) == ("custom", False, [])
    assert "templates:manage" not in token.scopes
    assert held(issued, "/fleets/core") == NONE
    assert "machines:configure" in held(issued, "/fleets/edge")


def test_a_row_beside_selected_machines_leaves_their_rows(world: World) -> None:
    issued = issue(
        session(world.owner), world.owner, wish(role="Operator", machines=(world.edge_1.pk, world.edge_2.pk))
    )
    assert present(issued).access_level == "operator"

    give(issued, world.core_1.path, "Viewer", session(world.owner))

    token = present(issued)
    assert (token.access_level, list(token.machine_rows.all())) == ("custom", [])
    assert held(issued, world.edge_1.path) == {"machines:read", "machines:operate", "snapshots:read"}
    assert held(issued, world.core_1.path) == {"machines:read", "snapshots:read"}


# Widening and narrowing, judged by effect


def test_narrowing_is_for_who_manages_the_token_and_needs_no_reason(world: World) -> None:
    issued = make_token(world.manager, "machines:read", "machines:operate")

    give(issued, world.edge_1.path, "NoAccess", session(world.admin), reason="")

    assert held(issued, world.edge_1.path) == NONE
    assert held(issued, world.edge_2.path) == {"machines:read", "machines:operate"}
    assert last_event(action="token.edited").data["widens"] is False


WIDENINGS: dict[str, Callable[[Issued, Access], Any]] = {
    "a row": lambda issued, by: give(issued, "/fleets/edge", "Operator", by),
    "a larger role": lambda issued, by: give(issued, "/nodes", "Operator", by, replaces=True),
    "taking a NoAccess away": lambda issued, by: take(issued, 2, by),
    "taking a narrower row away": lambda issued, by: take(issued, 3, by),
}
every_widening = pytest.mark.parametrize("widening", WIDENINGS)


def widenable(world: World) -> Issued:
    asked = (
        GrantWish("/nodes", "Viewer"),
        GrantWish("/nodes/denied", "NoAccess"),
        GrantWish("/nodes/more/less", "Viewer"),
        GrantWish("/nodes/more", "Operator"),
    )
    return make_token(world.manager, "machines:read", "machines:operate", grants=asked)


@every_widening
def test_widening_is_for_who_could_issue_the_result_with_a_reason(world: World, widening: str) -> None:
    issued = widenable(world)
    before = rows(issued)
    with pytest.raises(Refused) as refusal:  # an admin may narrow a person's token, never widen it
        WIDENINGS[widening](issued, session(world.admin))
    assert refusal.value.code == "widening_refused"

    with pytest.raises(Invalid) as unreasoned:
        if "taking" in widening:
            take(issued, 2 if "NoAccess" in widening else 3, session(world.manager), reason=" ")
        else:
            give(
                issued,
                "/nodes" if "larger" in widening else "/fleets/edge",
                "Operator",
                session(world.manager),
                replaces=True,
                reason="",
            )
    assert unreasoned.value.errors[0].field == "reason"
    assert rows(issued) == before
    assert events(action="token.edited") == ["token.edited denied"]

    WIDENINGS[widening](issued, session(world.manager))
    assert rows(issued) != before
    assert last_event(action="token.edited").data["widens"] is True


@every_widening
def test_widening_waits_for_approval_where_the_policy_wants_it(world: World, widening: str) -> None:
    issued = widenable(world)
    member(world.acme, "approver")
    organizations.set_policy(world.acme, changes={"approvals_needed": {"medium": 1, "high": 1}}, by=operator)
    before = rows(issued)

    WIDENINGS[widening](issued, session(world.manager))

    assert present(issued).has_waiting_change
    assert rows(issued) == before
    again = give(issued, before[0][1], before[0][2], session(world.manager), replaces=True)
    assert (again.number, again.token.edit_waits) == (before[0][0], False), "it is there already"
    assert present(issued).has_waiting_change
    assert events(target_id=issued.token.pk)[1:] == ["approval.requested allowed"]
    give(issued, "/nodes/other", "NoAccess", session(world.manager))  # narrowing is instant
    assert len(rows(issued)) == len(before) + 1
    assert not present(issued).has_waiting_change, "what was asked for was about other rows"
    assert events(target_id=issued.token.pk)[2:] == ["token.edited allowed", "approval.superseded allowed"]


def test_nobody_gives_a_row_that_lets_a_token_do_what_they_can_not(world: World) -> None:
    """A fleet's manager issues its tokens, but holds nothing of what an entry denies them."""
    issued = make_token(world.edge, "machines:read", "machines:operate", grants=())
    make_entry(world.acme, world.edge_1.path, "NoAccess", user=world.manager)

    with pytest.raises(Refused) as refusal:
        give(issued, "/fleets/edge", "Viewer", session(world.manager))
    assert refusal.value.code == "exceeds_your_rights"
    assert rows(issued) == []

    give(issued, world.edge_2.path, "Viewer", session(world.manager))
    assert held(issued, world.edge_2.path) == {"machines:read"}


# What tokens write


@pytest.fixture
def managing(world: World) -> Issued:
    """The owner's token with which others are managed."""
    return make_token(world.owner, "tokens:manage", "tokens:read", "machines:read", "snapshots:read")


@pytest.mark.parametrize("target", ["itself", "of its principal", "of who made it"])
def test_a_token_writes_no_rows_for_itself_its_principal_or_who_made_it(
    world: World, managing: Issued, target: str
) -> None:
    by = acting(managing)
    issued = managing if target == "itself" else make_token(world.owner, "machines:read")
    if target == "of who made it":
        by = acting(made_by(world.owner, world.acme))

    for call in (
        lambda: give(issued, "/nodes", "NoAccess", by),
        lambda: take(issued, 1, by),
    ):
        with pytest.raises(Refused) as refusal:
            call()
        assert refusal.value.code == "writes_for_itself"
    assert len(rows(issued)) == 1

    give(issued, "/nodes", "NoAccess", session(world.owner))  # the positive twin
    assert len(rows(issued)) == 2


def made_by(owner: User, acme: Organization) -> Issued:
    """A token of a technical user, which a person made."""
    bot = make_technical_user(acme)
    make_entry(acme, "/", "Administrator", user=bot)
    asked = wish("tokens:manage", "tokens:read", "machines:read")
    return issuance.issue(acme, owner=bot, name="bot", wish=asked, reason=REASON, by=session(owner))


def test_a_token_writes_rows_of_others_within_what_it_can_do(world: World) -> None:
    narrow = make_token(world.edge, "machines:read", "snapshots:read", grants=())
    wide = make_token(world.edge, "machines:read", "machines:operate", grants=())
    managing = make_token(world.owner, "tokens:manage", "machines:read", "snapshots:read")

    for role in (
        "Operator",
        "Viewer",
    ):  # what the calling token lacks is in the ceiling, whatever the row gives of it
        with pytest.raises(Refused) as refusal:
            give(wide, "/fleets/edge", role, acting(managing))
        assert refusal.value.code == "exceeds_your_rights"
    give(narrow, "/fleets/edge", "Operator", acting(managing))

    assert (rows(wide), rows(narrow)) == ([], [(1, "/fleets/edge", "Operator")])
    assert held(narrow, "/fleets/edge") == {"machines:read", "snapshots:read"}


# Paths of vmids


def test_a_vmid_is_stored_as_the_machine_that_bears_it(world: World, backup: Issued) -> None:
    machine = make_machine(world.edge, vmid=7)

    assert give(backup, "/vms/7", "Viewer", session(world.owner)).path == machine.path


def test_no_member_keeps_a_vmid_from_being_borne_by_a_row_of_their_own(world: World) -> None:
    plain, auditor = member(world.acme), world.auditor

    for person in (plain, auditor, world.manager):
        issued = make_token(person, "machines:read", grants=())
        asked = wish("machines:read", grants=(GrantWish("/vms/7", "Viewer"),))
        with pytest.raises(DomainError):
            issue(session(person), person, asked)
        with pytest.raises(Invalid) as refusal:
            give(issued, "/vms/7", "Viewer", session(person))
        assert [(error.field, error.code) for error in refusal.value.errors] == [("path", "unknown_path")]
    assert not Grant.objects.filter(path="/vms/7").exists()
    make_machine(world.edge, vmid=7)

    give(make_token(world.owner, "machines:read", grants=()), "/vms/8", "Viewer", session(world.owner))
    with pytest.raises(Conflict) as taken:  # who registers machines everywhere may reserve one
        make_machine(world.edge, vmid=8)
    assert taken.value.code == "vmid_has_entries"


def test_where_a_machine_is_that_bears_a_vmid_is_told_to_nobody_who_does_not_reach_it(world: World) -> None:
    make_machine(world.edge, vmid=7)
    issued = make_token(member(world.acme), "machines:read", grants=())
    person = issued.token.owner_user
    assert person is not None

    told = []
    for vmid in (7, 8):  # borne, and free
        with pytest.raises(Invalid) as refusal:
            give(issued, f"/vms/{vmid}", "Viewer", session(person))
        told.append(refusal.value.errors)

    assert told[0] == told[1]


# Over HTTP


def test_rows_are_listed_given_read_and_taken(world: World, backup: Issued) -> None:
    browser = session_client(world.owner)
    address = f"{API}tokens/{backup.token.pk}/grants/"
    assert browser.get(address).json() == {"next": None, "previous": None, "results": []}

    given = browser.post(address, {"path": "/fleets/edge", "role": "Viewer", "reason": "backups"})

    row = {"n": 1, "path": "/fleets/edge", "role": "Viewer", "propagate": True}
    version = present(backup).version
    assert (given.status_code, given.json(), given["ETag"]) == (201, row, f'"{version}"')
    assert browser.get(address).json()["results"] == [row]
    assert (browser.get(f"{address}1/").json(), browser.get(f"{address}1/")["ETag"]) == (row, f'"{version}"')
    assert browser.get(f"{API}tokens/{backup.token.pk}/").json()["grants"] == [row]
    assert token_client(backup).get(f"{API}token/permissions/?path=/fleets/edge").json()["given_by"] == [
        {"scope": "machines:read", "risk": "low", "path": "/fleets/edge", "role": "Viewer", "propagate": True}
    ]
    for stale in (
        browser.delete(f"{address}1/", headers={"if-match": '"1"'}),
        browser.post(address, {"path": "/a"}, headers={"if-match": '"1"'}),
    ):
        assert stale.status_code == 412
    taken = browser.delete(f"{address}1/", headers={"if-match": f'"{version}"'})
    assert (taken.status_code, taken["ETag"]) == (204, f'"{version + 1}"')
    assert [browser.delete(f"{address}{n}/").status_code for n in ("1", "0", "01", "-1", "x", "9" * 40)] == [
        404
    ] * 6
    assert rows(backup) == []


def test_a_row_is_given_once_for_a_key(world: World, backup: Issued) -> None:
    browser = session_client(world.owner)
    address = f"{API}tokens/{backup.token.pk}/grants/"
    body = {"path": "/fleets/edge", "reason": "backups"}

    first = browser.post(address, body, headers={"idempotency-key": "one"})
    again = browser.post(address, body, headers={"idempotency-key": "one"})
    other = browser.post(address, body)

    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert (first.json()["role"], other.status_code, other.json()["code"]) == (None, 409, "grant_exists")
    assert rows(backup) == [(1, "/fleets/edge", "")]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"role": "Viewer"}, "path", "required"),
        ({"path": 7}, "path", "invalid"),
        ({"path": "/a", "role": ""}, "role", "blank"),
        ({"path": "/a", "role": "Emperor"}, "role", "unknown_role"),
        ({"path": "/fleets/none"}, "path", "unknown_path"),
        ({"path": "/a", "propagate": "perhaps"}, "propagate", "invalid"),
        ({"path": "/a", "n": 7}, "n", "unknown_field"),
        ({"path": "/a", "token": "x"}, "token", "unknown_field"),
    ],
)
def test_a_row_that_can_not_be_meant_is_400(
    world: World, backup: Issued, body: dict[str, Any], field: str, code: str
) -> None:
    response = session_client(world.owner).post(f"{API}tokens/{backup.token.pk}/grants/", body)

    assert response.status_code == 400
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, code)]
    assert rows(backup) == []


def test_who_may_not_see_a_token_sees_no_rows_and_who_only_reads_changes_none(
    world: World, other: Any, backup: Issued
) -> None:
    give(backup, "/a", "Viewer", session(world.owner))
    address = f"{API}tokens/{backup.token.pk}/grants/"
    reading = token_client(make_token(world.owner, "tokens:read", "machines:read"))

    for stranger in (session_client(owner_of(other.organization)), session_client(member(world.acme))):
        for answer in (
            stranger.get(address),
            stranger.post(address, {"path": "/b"}),
            stranger.delete(f"{address}1/"),
        ):
            assert answer.status_code == 404
    assert reading.get(address).status_code == 200
    for answer in (reading.post(address, {"path": "/b"}), reading.delete(f"{address}1/")):
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert session_client(world.auditor).get(address).status_code == 200
    assert session_client(world.auditor).delete(f"{address}1/").status_code == 403
    assert rows(backup) == [(1, "/a", "Viewer")]


@pytest.mark.parametrize("count", [1, 30])
def test_rows_take_the_same_number_of_queries_for_few_and_for_many(
    world: World, backup: Issued, count: int, django_assert_num_queries: Any
) -> None:
    Grant.objects.bulk_create(
        Grant(token=backup.token, number=number, path=f"/free/{number}", role="Viewer")
        for number in range(1, count + 1)
    )
    browser = session_client(world.owner)

    with django_assert_num_queries(13):  # one of them asks for the session
        page = browser.get(f"{API}tokens/{backup.token.pk}/grants/").json()

    assert [row["n"] for row in page["results"]] == list(range(1, count + 1))


def test_rows_are_paged_in_the_order_of_their_numbers(world: World, backup: Issued) -> None:
    Grant.objects.bulk_create(
        Grant(token=backup.token, number=number, path=f"/free/{number}", role="Viewer")
        for number in range(1, 8)
    )
    browser, seen = session_client(world.owner), []
    link = f"{API}tokens/{backup.token.pk}/grants/?limit=3"

    while link:
        page = browser.get(link).json()
        seen += [row["n"] for row in page["results"]]
        link = page["next"]

    assert seen == list(range(1, 8))
    assert browser.get(f"{API}tokens/{backup.token.pk}/grants/?role=Viewer").status_code == 400
    assert browser.get(f"{API}tokens/{backup.token.pk}/grants/1/?path=/a").status_code == 400


# What gives each scope, for every kind of principal


def test_permissions_name_the_entry_that_gives_a_scope_whoever_the_principal_is(world: World) -> None:
    make_role(world.acme, "Reader", "machines:read")
    group, bot = make_group(world.acme), make_technical_user(world.acme)
    make_entry(world.acme, "/fleets/edge", "Reader", group=group)
    make_entry(world.acme, "/fleets/edge", "Reader", user=bot)
    row = (GrantWish("/fleets/edge", "Reader"),)
    tokens = {
        "personal": make_token(world.owner, "machines:read", grants=row),
        "fleet": make_token(world.edge, "machines:read", grants=row),
        "group": make_token(group, "machines:read", grants=row),
        "organization": make_token(world.acme, "machines:read", grants=row),
        "technical_user": make_token(bot, "machines:read", grants=row),
        "of all that its principal may": make_token(bot, "machines:read", privilege_separation=False),
    }

    for kind, issued in tokens.items():
        shown = token_client(issued).get(f"{API}token/permissions/?path={world.edge_1.path}").json()
        given = {"path": "/fleets/edge", "role": "Reader", "propagate": True}
        assert shown["given_by"] == [{"scope": "machines:read", "risk": "low", **given}], kind
        shown = token_client(issued).get(f"{API}token/permissions/?path=/fleets/core").json()
        assert (shown["scopes"], shown["given_by"]) == ([], []), kind
    assert {issued.token.kind for issued in tokens.values()} <= set(Token.Kind.values)
