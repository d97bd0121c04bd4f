"""Nobody exceeds themselves: who may issue for whom, how much, and what a token passes on."""

from datetime import timedelta
from typing import Any

import pytest

from config.edge.clock import now
from fleets import holdings
from fleets import machines as estate
from fleets.authority import TECHNICAL_FLEET_SCOPES
from fleets.models import Machine, Organization, User
from fleets.scopes import Scope
from tests.factories import (
    acting,
    events,
    fleet_member,
    last_event,
    make_entry,
    make_fleet_member,
    make_machine,
    make_superuser,
    make_token,
    member,
    operator,
    session,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import issue, outcome, present, rows, wish
from tokens import lifecycle
from tokens.issuance import Expiry, GrantWish, Issued, Wish
from tokens.models import Token

EDGE = "/fleets/edge"
OF_FLEETS = tuple(sorted(TECHNICAL_FLEET_SCOPES))
READS = wish("machines:read")


def row(path: str, role: str = "", *, propagate: bool = True) -> GrantWish:
    return GrantWish(path, role, propagate)


# Who may issue for whom

ISSUERS = ("owner", "admin", "approver", "auditor", "member", "manager", "operator", "viewer", "superuser")
MAY_FOR_EDGE = {"owner", "admin", "manager", "superuser"}
MAY_FOR_CORE = {"owner", "admin", "superuser"}


def person(world: World, who: str) -> User:
    if who in ("owner", "admin", "auditor", "manager"):
        found: User = getattr(world, who)
        return found
    if who == "superuser":
        return make_superuser()
    return fleet_member(world.edge, who) if who in ("operator", "viewer") else member(world.acme, who)


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize(("fleet", "may"), [("edge", MAY_FOR_EDGE), ("core", MAY_FOR_CORE)])
def test_a_fleets_tokens_are_issued_by_who_manages_them(
    world: World, issuer: str, fleet: str, may: set[str]
) -> None:
    answer = outcome(issue, session(person(world, issuer)), getattr(world, fleet), READS)

    assert answer == ("done" if issuer in may else "forbidden")
    assert Token.objects.count() == (issuer in may)
    assert events(action="token.issued") == [f"token.issued {'allowed' if issuer in may else 'denied'}"]


@pytest.mark.parametrize("issuer", [who for who in ISSUERS if who != "superuser"])
def test_a_personal_token_is_issued_by_its_person_alone(world: World, issuer: str) -> None:
    someone = person(world, issuer)
    other = fleet_member(world.edge, "manager")
    held = sorted(holdings.rights_of(someone, world.acme.pk).anywhere)

    assert outcome(issue, session(someone), other, READS) == "forbidden"
    if held:
        assert outcome(issue, session(someone), someone, wish(*held)) == "done"
    assert set(Token.objects.values_list("owner_user", flat=True)) == ({someone.pk} if held else set())


def test_a_superuser_needs_a_membership_to_own_a_token(world: World) -> None:
    root = make_superuser()
    place = {"organization": world.acme}

    assert outcome(make_token, root, "machines:read", **place) == "owner_inactive"
    assert not Token.objects.exists()


# How much


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("issuer", ["owner", "admin", "auditor", "manager", "viewer"])
def test_nobody_puts_into_a_ceiling_what_they_hold_nowhere(world: World, issuer: str, scope: Scope) -> None:
    someone = person(world, issuer)
    held = scope in holdings.rights_of(someone, world.acme.pk).anywhere

    answer = outcome(issue, session(someone), someone, wish(scope))

    assert answer == ("done" if held else "exceeds_your_rights")
    assert Token.objects.exists() is held


def test_rows_of_a_personal_token_may_name_any_path_because_the_person_bounds_them(world: World) -> None:
    asked = wish("machines:read", grants=(row("/fleets/core", "Viewer"), row("/nodes/n1", "Administrator")))

    issued = issue(session(world.manager), world.manager, asked)

    rights = acting(issued).rights(world.acme.pk)
    assert {path: rights.at(path) for path in ("/fleets/core", "/nodes/n1", EDGE)} == {
        "/fleets/core": frozenset(),
        "/nodes/n1": frozenset(),
        EDGE: frozenset(),
    }


def test_a_manager_who_is_denied_a_machine_issues_nothing_that_reaches_it(world: World) -> None:
    make_entry(world.acme, world.edge_1.path, "NoAccess", user=world.manager)
    by = session(world.manager)

    assert outcome(issue, by, world.edge, READS) == "exceeds_your_rights"
    assert last_event().data["detail"] == (
        f"You do not hold machines:read on {world.edge_1.path}, so you can't give it."
    )
    around = (row(EDGE, "Viewer"), row(world.edge_1.path, "NoAccess"))
    assert outcome(issue, by, world.edge, wish("machines:read", grants=around)) == "done"
    assert outcome(issue, by, world.edge, wish("machines:read", machines=(world.edge_2.pk,))) == "done"
    assert outcome(issue, by, world.edge, wish("machines:read", machines=(world.edge_1.pk,))) == "not_found"


def test_the_operator_gives_what_the_owner_lacks_and_it_has_no_effect(world: World) -> None:
    someone = fleet_member(world.edge, "viewer")

    issued = make_token(someone, "machines:read", "audit:read")

    assert present(issued).scopes == ["audit:read", "machines:read"]
    assert acting(issued).rights(world.acme.pk).at(EDGE) == {"machines:read"}


# What a token passes on


def parent_of(world: World, *scopes: str, **options: Any) -> Issued:
    return make_token(world.manager, "tokens:manage", *scopes, **options)


@pytest.mark.parametrize(
    ("scopes", "answer"),
    [
        (("machines:read",), "done"),
        (("machines:read", "snapshots:read"), "done"),
        (("tokens:manage",), "done"),
        (("machines:operate",), "exceeds_your_rights"),  # its person holds it, the token does not
        (("audit:read",), "exceeds_your_rights"),
    ],
)
@pytest.mark.parametrize("owner", ["manager", "edge"])
def test_a_token_gives_no_scope_beyond_its_own(
    world: World, owner: str, scopes: tuple[str, ...], answer: str
) -> None:
    if owner == "edge" and not set(scopes) <= TECHNICAL_FLEET_SCOPES:
        answer = "invalid"
    by = acting(parent_of(world, "machines:read", "snapshots:read"))

    assert outcome(issue, by, getattr(world, owner), wish(*scopes)) == answer
    assert Token.objects.count() == (2 if answer == "done" else 1)


def test_a_token_without_tokens_manage_issues_nothing(world: World) -> None:
    by = acting(make_token(world.manager, *OF_FLEETS, "tokens:read"))

    assert outcome(issue, by, world.manager, READS) == "forbidden"
    assert outcome(issue, by, world.edge, READS) == "forbidden"


def test_a_token_issues_only_for_its_own_person_and_what_they_manage(world: World) -> None:
    by = acting(parent_of(world, "machines:read"))

    assert outcome(issue, by, world.owner, READS) == "forbidden"
    assert outcome(issue, by, world.core, READS) == "forbidden"
    assert outcome(issue, by, world.manager, READS) == "done"


@pytest.mark.parametrize(
    ("expiry", "answer"),
    [
        (Expiry(lifetime=timedelta(days=9)), "done"),
        (Expiry(lifetime=timedelta(days=11)), "outlives_issuer"),
        (Expiry(at=now() + timedelta(days=9)), "done"),
        (Expiry(at=now() + timedelta(days=11)), "outlives_issuer"),
        (Expiry(), "outlives_issuer"),
        (None, "done"),
    ],
)
@pytest.mark.parametrize("owner", ["manager", "edge"])
def test_what_a_token_issues_never_outlives_it(
    world: World, owner: str, expiry: Expiry | None, answer: str
) -> None:
    parent = parent_of(world, "machines:read")
    end = now() + timedelta(days=10)
    Token.objects.filter(pk=parent.token.pk).update(expires_at=end)

    assert outcome(issue, acting(parent), getattr(world, owner), READS, expiry=expiry) == answer

    for child in Token.objects.exclude(pk=parent.token.pk):
        assert child.expires_at is not None
        assert child.expires_at <= end
        if expiry is None:
            assert child.expires_at == end, "the default is taken from the issuer"


def test_a_default_shorter_than_the_issuers_own_end_stays_the_default(world: World) -> None:
    parent = parent_of(world, "machines:read")
    Token.objects.filter(pk=parent.token.pk).update(expires_at=None)

    child = issue(acting(parent), world.manager, READS).token
    endless = issue(acting(parent), world.manager, READS, expiry=Expiry()).token

    assert child.expires_at is not None
    assert endless.expires_at is None


def test_what_waits_for_approval_cannot_outlive_its_issuer_by_waiting(world: World) -> None:
    parent = parent_of(world, "machines:read")
    Organization.objects.update(policy={"approvals_needed": {"low": 1, "medium": 1, "high": 1}})

    child = issue(acting(parent), world.manager, READS, expiry=Expiry(lifetime=timedelta(days=1))).token

    assert (child.status, child.lifetime) == ("pending", None)
    assert child.expires_at is not None


def test_where_nothing_is_said_a_child_is_restricted_as_its_issuer_is(world: World) -> None:
    parent = parent_of(
        world, "machines:read", grants=(row(EDGE, "Administrator"), row(world.edge_1.path, "NoAccess"))
    )

    own = issue(acting(parent), world.manager, READS)
    fleets = issue(acting(parent), world.edge, READS)

    expected = [row(EDGE, "Administrator"), row(world.edge_1.path, "NoAccess")]
    assert rows(present(own)) == expected
    assert rows(present(fleets)) == expected
    for child in (own, fleets):
        rights = acting(child).rights(world.acme.pk)
        assert rights.at(world.edge_1.path) == frozenset()
        assert rights.at(world.edge_2.path) == {"machines:read"}


def test_a_child_for_a_fleet_takes_the_row_that_reaches_the_fleet_from_above(world: World) -> None:
    parent = parent_of(world, "machines:read", grants=(row("/", "Administrator"), row("/nodes", "NoAccess")))

    fleets = issue(acting(parent), world.edge, READS)

    assert rows(present(fleets)) == [row(EDGE, "Administrator")]


def test_a_child_of_a_token_for_machines_is_for_the_same_machines(world: World) -> None:
    parent = make_token(world.manager, "tokens:manage", "machines:read", machines=[world.edge_1])

    child = present(issue(acting(parent), world.manager, READS))

    assert rows(child) == [row(world.edge_1.path)]
    assert [machine_row.machine for machine_row in child.machine_rows.all()] == [world.edge_1]


def test_a_machine_that_is_gone_does_not_keep_a_token_from_issuing(world: World) -> None:
    gone = make_machine(world.edge)
    parent = make_token(world.manager, "tokens:manage", "machines:read", machines=[world.edge_1, gone])
    estate.deregister(gone, by=operator)

    child = issue(acting(parent), world.manager, READS)

    assert acting(child).rights(world.acme.pk).at(world.edge_1.path) == {"machines:read"}


@pytest.mark.parametrize(
    "asked",
    [
        wish("machines:read", machines="all"),
        wish("machines:read", grants=(row("/", "Viewer"),)),
        wish("machines:read", grants=(row("/fleets/core", "Viewer"),)),
        wish("machines:read", grants=(row(EDGE, "Viewer"),)),
        wish("machines:read", privilege_separation=False),
    ],
)
def test_a_child_that_asks_for_more_places_is_refused(world: World, asked: Wish) -> None:
    around = (row(EDGE, "Administrator"), row(world.edge_1.path, "NoAccess"))
    by = acting(parent_of(world, "machines:read", grants=around))

    assert outcome(issue, by, world.manager, asked) == "exceeds_your_rights"
    narrower = wish("machines:read", grants=(row(world.edge_2.path, "Viewer"),))
    assert outcome(issue, by, world.manager, narrower) == "done"


def test_all_that_a_child_may_be_is_all_that_its_issuer_is(world: World) -> None:
    by = acting(parent_of(world, "machines:read", privilege_separation=False))

    child = issue(by, world.manager, Wish(privilege_separation=False))
    empty = issue(by, world.edge, Wish(grants=()))

    assert present(child).scopes == ["machines:read", "tokens:manage"]
    assert present(empty).scopes == ["machines:read"]


def test_what_a_person_gains_later_never_lifts_a_child_above_its_issuer(world: World) -> None:
    """The person holds nothing in core when the child is made: only the rows keep it out of there later."""
    parent = parent_of(world, "machines:read", grants=(row(EDGE, "Administrator"),))
    refused = outcome(
        issue, acting(parent), world.manager, wish("machines:read", grants=(row("/", "Viewer"),))
    )
    child = issue(acting(parent), world.manager, READS)

    make_fleet_member(world.core, "manager", user=world.manager)

    assert refused == "exceeds_your_rights"
    for issued in (parent, child):
        assert acting(issued).rights(world.acme.pk).at("/fleets/core") == frozenset()


def test_a_denied_machine_that_was_away_is_denied_to_the_child_when_it_comes_back(world: World) -> None:
    parent = parent_of(
        world, "machines:read", grants=(row(EDGE, "Administrator"), row(world.edge_1.path, "NoAccess"))
    )
    estate.move(world.edge_1, fleet=world.core, by=operator)
    whole = wish("machines:read", grants=(row(EDGE, "Viewer"),))

    assert outcome(issue, acting(parent), world.manager, whole) == "exceeds_your_rights"
    child = issue(acting(parent), world.manager, READS)
    estate.move(Machine.objects.get(pk=world.edge_1.pk), fleet=world.edge, by=operator)

    assert acting(child).rights(world.acme.pk).at(world.edge_1.path) == frozenset()
    assert acting(child).rights(world.acme.pk).at(world.edge_2.path) == {"machines:read"}


@pytest.mark.parametrize(("by_parent", "answer"), [(True, "exceeds_your_rights"), (False, "done")])
def test_a_token_learns_no_secret_of_a_stronger_one(world: World, by_parent: bool, answer: str) -> None:
    weak = parent_of(world, "machines:read")
    strong = make_token(world.manager, "machines:read", "machines:write")
    by = acting(weak) if by_parent else session(world.manager)

    assert outcome(lifecycle.rotate, present(strong), by=by) == answer
    assert present(strong).secrets.count() == (1 if by_parent else 2)


def test_a_token_learns_no_secret_that_outlives_it(world: World) -> None:
    weak, lasting = parent_of(world, "machines:read"), make_token(world.manager, "machines:read")
    Token.objects.filter(pk=weak.token.pk).update(expires_at=now() + timedelta(days=1))

    assert outcome(lifecycle.rotate, present(lasting), by=acting(weak)) == "outlives_issuer"
    Token.objects.filter(pk=lasting.token.pk).update(expires_at=now() + timedelta(hours=1))
    assert outcome(lifecycle.rotate, present(lasting), by=acting(weak)) == "done"
