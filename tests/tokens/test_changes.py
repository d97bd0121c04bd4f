"""Editing: what narrows is instant, what widens needs the right to issue the result; judged by effect."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from config.edge.clock import now
from config.edge.refusals import Conflict, Invalid
from fleets import machines as estate
from fleets import membership
from fleets.models import Membership, Organization
from fleets.scopes import parse_scopes
from tests.factories import (
    acting,
    events,
    last_event,
    make_machine,
    make_token,
    operator,
    session,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import REASON, issue, outcome, pending, present, rows, wish
from tokens import lifecycle
from tokens.changes import UNCHANGED, Edit
from tokens.issuance import GrantWish, Issued, Wish
from tokens.models import Token

EDGE = "/fleets/edge"
CEILING = ("machines:read", "snapshots:read", "machines:operate")


def edit(issued: Issued, by: Any = operator, reason: str = "", **change: Any) -> None:
    lifecycle.edit(present(issued), change=Edit(**change), reason=reason, by=by)


def row(path: str, role: str = "", *, propagate: bool = True) -> GrantWish:
    return GrantWish(path, role, propagate)


def granted(*grants: GrantWish) -> Wish:
    return Wish(grants=grants)


# What it was, what is asked for, whether that widens, what it is then.
EFFECTS: list[tuple[str, dict[str, Any], Wish, bool]] = [
    ("fewer scopes", {}, wish("machines:read"), False),
    ("another scope that no row gives", {"grants": ()}, wish(*CEILING, "machines:write"), True),
    ("the same scopes", {}, wish(*CEILING), False),
    ("another scope", {}, wish(*CEILING, "machines:write"), True),
    ("another scope for one that goes", {}, wish("machines:write"), True),
    ("a role of the same scopes", {}, Wish(role="Operator"), False),
    ("a smaller role", {}, Wish(role="Viewer"), False),
    ("a larger role", {}, Wish(role="Admin"), True),
    ("rows instead of all", {}, granted(row(EDGE, "Viewer")), False),
    ("no rows at all", {}, granted(), False),
    ("rows that give more than the ceiling", {}, granted(row(EDGE, "Admin")), False),
    (
        "a row deeper down",
        {"grants": (row(EDGE, "Viewer"),)},
        granted(row(f"{EDGE}/machines", "Viewer")),
        False,
    ),
    ("a row higher up", {"grants": (row(f"{EDGE}/machines", "Viewer"),)}, granted(row(EDGE, "Viewer")), True),
    ("a larger role", {"grants": (row(EDGE, "Viewer"),)}, granted(row(EDGE, "Operator")), True),
    (
        "no longer below",
        {"grants": (row(EDGE, "Viewer"),)},
        granted(row(EDGE, "Viewer", propagate=False)),
        False,
    ),
    ("also below", {"grants": (row(EDGE, "Viewer", propagate=False),)}, granted(row(EDGE, "Viewer")), True),
    (
        "a refusal goes",
        {"grants": (row(EDGE, "Viewer"), row(f"{EDGE}/machines", "NoAccess"))},
        granted(row(EDGE, "Viewer")),
        True,
    ),
    (
        "a refusal comes",
        {"grants": (row(EDGE, "Viewer"),)},
        granted(row(EDGE, "Viewer"), row(f"{EDGE}/machines", "NoAccess")),
        False,
    ),
    ("everything again", {"grants": (row(EDGE, "Viewer"),)}, Wish(machines="all"), True),
]


@pytest.mark.parametrize(
    ("was", "asked", "widens"), [case[1:] for case in EFFECTS], ids=[c[0] for c in EFFECTS]
)
def test_an_edit_widens_by_what_it_gains(
    world: World, was: dict[str, Any], asked: Wish, widens: bool
) -> None:
    issued = issue(session(world.manager), world.edge, wish(*CEILING, **was))

    edit(issued, by=session(world.manager), wish=asked, reason=REASON)

    event = last_event(action="token.edited")
    assert (event.outcome, event.data["widens"]) == ("allowed", widens)
    token = present(issued)
    if asked.scopes is not None:
        assert parse_scopes(token.scopes) == asked.scopes
    if asked.grants is not None:
        assert rows(token) == list(asked.grants)
    if asked.scopes is None and asked.role is None:
        assert token.scopes == sorted(CEILING)
    if asked.machines is None and asked.grants is None and not was:
        assert rows(token) == [row(EDGE)]


def test_machines_are_narrowed_and_widened_one_by_one(world: World) -> None:
    issued = make_token(world.edge, "machines:read", machines=[world.edge_1])
    by = session(world.manager)
    both = (world.edge_1.pk, world.edge_2.pk)

    for asked, widens, named in (
        (both, True, [world.edge_1, world.edge_2]),
        ((world.edge_2.pk,), False, [world.edge_2]),
        ((world.edge_1.pk,), True, [world.edge_1]),
    ):
        edit(issued, by=by, wish=Wish(machines=asked))

        token = present(issued)
        assert last_event().data["widens"] is widens
        assert [machine_row.machine for machine_row in token.machine_rows.all()] == named
        assert rows(token) == [row(machine.path) for machine in named]


def test_a_new_ceiling_moves_the_rows_that_mean_the_whole_of_it(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    client = token_client(issued)
    assert client.post("/api/v1/machines/", {"fleet": "edge", "name": "new"}).status_code == 403

    edit(issued, by=session(world.manager), wish=wish("machines:read", "machines:write"), reason=REASON)

    assert rows(present(issued)) == [row(EDGE)]
    assert client.post("/api/v1/machines/", {"fleet": "edge", "name": "new"}).status_code == 201


def test_an_edit_is_one_event_that_says_what_was_and_what_is(world: World) -> None:
    issued = make_token(world.edge, *CEILING)

    edit(
        issued, by=session(world.manager), name="renamed", wish=wish("machines:read"), reason="Less is enough"
    )

    event = last_event()
    assert (event.action, event.reason) == ("token.edited", "Less is enough")
    assert event.data == {
        "widens": False,
        "gained": [],
        "gained_count": 0,
        "lost": ["machines:operate on /fleets/edge", "snapshots:read on /fleets/edge"],
        "lost_count": 2,
        "changes": {
            "name": [issued.token.name, "renamed"],
            "risk": ["medium", "low"],
            "scopes": [sorted(CEILING), ["machines:read"]],
        },
    }
    assert present(issued).risk == 0


def test_an_edit_of_nothing_is_an_event_of_nothing(world: World) -> None:
    issued = make_token(world.edge, "machines:read")

    edit(issued)

    nothing = {"widens": False, "gained": [], "gained_count": 0, "lost": [], "lost_count": 0}
    assert last_event().data == {"changes": {}, **nothing}


def test_a_name_that_is_taken_is_refused_and_changes_nothing(world: World) -> None:
    issue(operator, world.edge, wish("machines:read"), name="ci")
    issued = make_token(world.edge, "machines:read")

    with pytest.raises(Conflict) as refused:
        edit(issued, name="CI", wish=Wish(grants=()))

    assert refused.value.code == "name_taken"
    assert (present(issued).version, rows(present(issued))) == (1, [row(EDGE)])


# Who may


@pytest.mark.parametrize(
    ("who", "narrowing", "widening"),
    [
        ("owner", "done", "widening_refused"),
        ("admin", "done", "widening_refused"),
        ("manager", "done", "done"),
        ("auditor", "forbidden", "forbidden"),
    ],
)
def test_of_a_persons_token_admins_may_take_but_only_the_person_may_give(
    world: World, who: str, narrowing: str, widening: str
) -> None:
    issued = make_token(world.manager, "machines:read", "snapshots:read")
    by = session(getattr(world, who))

    assert outcome(edit, issued, by=by, wish=wish("machines:read")) == narrowing
    scopes = present(issued).scopes
    assert (
        outcome(edit, issued, by=by, wish=wish("machines:read", "machines:write"), reason=REASON) == widening
    )

    assert present(issued).scopes == (["machines:read", "machines:write"] if widening == "done" else scopes)
    assert (f"token.edited {'allowed' if widening == 'done' else 'denied'}") == events(
        target_id=issued.token.pk
    )[-1]


def test_nobody_widens_beyond_themselves(world: World) -> None:
    issued = make_token(world.manager, "machines:read")

    answer = outcome(edit, issued, by=session(world.manager), wish=wish("audit:read"), reason=REASON)

    assert answer == "exceeds_your_rights"
    assert present(issued).scopes == ["machines:read"]


def test_a_widening_needs_an_owner_that_could_be_issued_to_and_a_narrowing_does_not(world: World) -> None:
    issued = make_token(world.admin, "machines:read", "snapshots:read")
    membership.suspend(Membership.objects.get(user=world.admin), by=operator)

    assert outcome(edit, issued, wish=wish(*CEILING)) == "owner_inactive"
    assert outcome(edit, issued, by=session(world.owner), wish=wish("machines:read")) == "done"


@pytest.mark.parametrize("reason", ["", "  ", "\u200b"])
def test_widening_to_more_than_low_risk_says_why(world: World, reason: str) -> None:
    issued = make_token(world.edge, "machines:read")
    by = session(world.manager)

    with pytest.raises(Invalid) as refused:
        edit(issued, by=by, wish=wish("machines:operate"), reason=reason)
    assert refused.value.errors[0].field == "reason"

    edit(issued, by=by, wish=wish("machines:read", "snapshots:read"), reason=reason)
    edit(issued, by=by, wish=wish("machines:read"), reason=reason)
    edit(issued, by=by, wish=wish("machines:operate"), reason="On call")


def test_a_widening_that_wants_approval_waits(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    by = session(world.manager)
    Organization.objects.update(policy={"approvals_needed": {"low": 0, "medium": 1, "high": 1}})

    edit(issued, by=by, wish=wish("machines:operate"), reason=REASON)

    assert (present(issued).scopes, present(issued).has_waiting_change) == (["machines:read"], True)
    edit(issued, by=by, wish=wish("machines:read", "snapshots:read"))
    assert present(issued).scopes == ["machines:read", "snapshots:read"]
    edit(issued, wish=wish("machines:operate"))
    assert present(issued).scopes == ["machines:operate"], "the operator needs none"
    assert not present(issued).has_waiting_change


# Expiry


@pytest.mark.parametrize(
    ("was", "asked", "widens"),
    [
        (10, 5, False),
        (10, 20, True),
        (10, None, True),
        (None, 5, False),
        (None, None, False),
        (10, 10, False),
        (-1, 5, True),
    ],
)
def test_a_later_end_is_a_widening(world: World, was: int | None, asked: int | None, widens: bool) -> None:
    issued = make_token(world.manager, "machines:read")
    start = now()
    Token.objects.filter(pk=issued.token.pk).update(expires_at=days(start, was))

    for_admins = outcome(edit, issued, by=session(world.admin), expires_at=days(start, asked))
    for_the_person = outcome(edit, issued, by=session(world.manager), expires_at=days(start, asked))

    assert (for_admins, for_the_person) == ("widening_refused" if widens else "done", "done")
    assert present(issued).expires_at == days(start, asked)
    assert present(issued).derived_status == "active"


def days(start: datetime, count: int | None) -> datetime | None:
    return None if count is None else start + timedelta(days=count)


@pytest.mark.parametrize(("asked", "widens"), [(5, False), (20, True), (None, True)])
def test_the_lifetime_of_what_waits_counts_as_if_it_began_now(
    world: World, asked: int | None, widens: bool
) -> None:
    issued = pending(world.manager, "machines:read")
    Token.objects.filter(pk=issued.token.pk).update(expires_at=None, lifetime=timedelta(days=10))
    end = days(now(), asked)

    answer = outcome(edit, issued, by=session(world.admin), expires_at=end)

    token = present(issued)
    if widens:
        assert (answer, token.expires_at, token.lifetime) == ("widening_refused", None, timedelta(days=10))
    else:
        assert (answer, token.expires_at, token.lifetime) == ("done", end, None)


def test_an_expired_token_works_again_after_an_extension_by_who_could_issue_it(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    Token.objects.filter(pk=issued.token.pk).update(expires_at=now())
    client = token_client(issued)
    assert client.get("/api/v1/whoami/").json()["code"] == "token_expired"

    edit(issued, by=session(world.manager), expires_at=now() + timedelta(days=1))

    assert client.get("/api/v1/whoami/").status_code == 200


# Tokens that edit


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"wish": wish("machines:read")}, "done"),
        ({"wish": Wish(grants=())}, "done"),
        ({"wish": wish("machines:read", "machines:write")}, "widens_itself"),
        ({"wish": Wish(machines="all")}, "done"),
        ({"expires_at": now() + timedelta(hours=1)}, "done"),
        ({"expires_at": None}, "widens_itself"),
        ({"name": "other"}, "widens_itself"),
        ({"description": "other"}, "widens_itself"),
        ({"rotate_every": None}, "widens_itself"),
    ],
)
@pytest.mark.parametrize("manages", [False, True])
def test_a_token_only_narrows_itself(
    world: World, change: dict[str, Any], answer: str, manages: bool
) -> None:
    scopes = ["machines:read", "snapshots:read", *(["tokens:manage"] if manages else [])]
    issued = make_token(world.manager, *scopes)

    assert outcome(edit, issued, by=acting(issued), reason=REASON, **change) == answer

    token = present(issued)
    assert token.version == (2 if answer == "done" else 1)
    assert last_event().outcome == ("allowed" if answer == "done" else "denied")


def test_a_token_widens_another_only_within_itself(world: World) -> None:
    other = make_token(world.manager, "machines:read", grants=(row(world.edge_1.path, "Viewer"),))
    mine = make_token(
        world.manager,
        "machines:read",
        "tokens:manage",
        grants=(row(EDGE, "Administrator"), row("/", "Viewer")),
    )
    by = acting(mine)
    end = present(mine).expires_at

    def tried(**change: Any) -> str:
        return outcome(edit, other, by=by, reason=REASON, **change)

    assert tried(wish=wish("machines:read", "machines:write")) == "exceeds_your_rights"
    assert tried(wish=granted(row("/", "Viewer"))) == "done"
    assert end is not None
    assert tried(expires_at=end + timedelta(seconds=1)) == "outlives_issuer"
    assert tried(expires_at=end - timedelta(seconds=1)) == "done"
    assert tried(expires_at=end) == "done"
    assert outcome(edit, mine, by=acting(other), wish=Wish(grants=())) == "forbidden"


# Machines that come and go


def test_dropping_a_refusal_for_a_machine_that_is_away_is_a_widening(world: World) -> None:
    away = make_machine(world.edge)
    issued = make_token(world.edge, "machines:read", grants=(row(EDGE, "Viewer"), row(away.path, "NoAccess")))
    estate.move(away, fleet=world.core, by=operator)

    edit(issued, by=session(world.manager), wish=granted(row(EDGE, "Viewer")))

    assert last_event().data["widens"] is True


def test_what_is_not_named_stays_even_rows_whose_machine_is_gone(world: World) -> None:
    gone = make_machine(world.edge)
    issued = make_token(world.edge, *CEILING, machines=[world.edge_1, gone])
    estate.deregister(gone, by=operator)

    edit(issued, by=session(world.manager), wish=wish(*CEILING, "machines:write"), reason=REASON)

    token = present(issued)
    assert rows(token) == [row(world.edge_1.path), row(gone.path)]
    assert token.machine_rows.count() == 2


def test_nothing_said_is_unchanged() -> None:
    assert Edit() == Edit(UNCHANGED, UNCHANGED, UNCHANGED, UNCHANGED, UNCHANGED)
    assert Edit().is_of_access_only
