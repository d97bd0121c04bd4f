"""Roles, who holds what, the walk and the intersection: tables after the product's description."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest

from fleets import authority
from fleets.authority import Entry, Holding, PrincipalRights, Role, TokenRights, Walk, role_scopes
from fleets.paths import ROOT
from fleets.scopes import ALL_SCOPES, PERSONAL_ONLY, Scope, parse_scopes

NOTHING: frozenset[Scope] = frozenset()
READ, OPERATE, WRITE = Scope.MACHINES_READ, Scope.MACHINES_OPERATE, Scope.MACHINES_WRITE
GIVES = {"read": {READ}, "operate": {OPERATE}, "write": {WRITE}, "both": {READ, WRITE}, "empty": set[Scope]()}
FLEET, MACHINES = "/fleets/web", "/fleets/web/machines"
M1 = f"{MACHINES}/0190f3a0-0000-7000-8000-000000000001"
M2 = f"{MACHINES}/0190f3a0-0000-7000-8000-000000000002"


def entries(*lines: str) -> tuple[Entry, ...]:
    """Entries written `subject path role [once]`; `once` does not propagate, the role NoAccess denies."""
    return tuple(entry(*line.split()) for line in lines)


def entry(subject: str, path: str, role: str, reach: str = "") -> Entry:
    assert subject in ("token", "user", "group")
    return Entry(path, frozenset(GIVES.get(role, ())), role, reach != "once", subject)  # type: ignore[arg-type]


# Roles

VIEWER = {"machines:read", "snapshots:read"}
OPERATOR = VIEWER | {"machines:operate"}
ADMIN = OPERATOR | {"machines:configure", "snapshots:write"}
GROUP_ADMIN = ADMIN | {"machines:write", "commands:execute"}
ALL = {str(scope) for scope in Scope}
FLEET_TECHNICAL = ALL - {
    "tokens:read",
    "tokens:manage",
    "approvals:decide",
    "permissions:manage",
    "audit:read",
}


@pytest.mark.parametrize(
    ("role", "at_root", "elsewhere"),
    [
        (Role.VIEWER, VIEWER, VIEWER),
        (Role.OPERATOR, OPERATOR, OPERATOR),
        (Role.ADMIN, ADMIN | {"machines:create"}, ADMIN),
        (Role.GROUP_USER, OPERATOR, OPERATOR),
        (Role.GROUP_ADMIN, GROUP_ADMIN | {"machines:create"}, GROUP_ADMIN),
        (Role.ADMINISTRATOR, ALL - {"approvals:decide"}, ALL - {"approvals:decide"}),
        (Role.NO_ACCESS, set(), set()),
    ],
)
def test_a_built_in_role_has_exactly_these_scopes(role: str, at_root: set[str], elsewhere: set[str]) -> None:
    assert role_scopes(role, ROOT) == at_root
    assert role_scopes(role, FLEET) == role_scopes(role, "/nodes") == elsewhere
    assert authority.ROLE_SCOPES[role] == elsewhere


def test_every_built_in_role_has_its_scopes() -> None:
    assert set(authority.ROLE_SCOPES) == set(authority.ROLE_SCOPES_AT_ROOT) == set(Role)


@pytest.mark.parametrize("role", ["", "viewer", "ADMIN", "owner", "admin", "approver", "*", "Viewer "])
def test_a_name_that_is_no_built_in_role_gives_nothing_but_an_error(role: str) -> None:
    with pytest.raises(ValueError, match="unknown role"):
        role_scopes(role, ROOT)


def test_no_entry_can_make_somebody_a_decider_by_a_built_in_role() -> None:
    assert [role for role in Role if role_scopes(role, ROOT) & PERSONAL_ONLY] == []


# Who holds what


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        ("owner", ALL),
        ("admin", ALL - {"approvals:decide"}),
        ("approver", {"approvals:decide", "tokens:read"}),
        ("auditor", {"audit:read", "tokens:read", "machines:read"}),
    ],
)
def test_a_member_of_an_organization_holds_the_scopes_of_their_role_everywhere(
    role: str, scopes: set[str]
) -> None:
    assert authority.organization_holdings(role) == (Holding(ROOT, parse_scopes(scopes), propagate=True),)


def test_a_plain_member_holds_nothing() -> None:
    assert authority.organization_holdings("member") == ()


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        ("manager", FLEET_TECHNICAL | {"tokens:read", "tokens:manage"}),
        ("operator", OPERATOR),
        ("viewer", VIEWER),
    ],
)
def test_a_member_of_a_fleet_holds_the_scopes_of_their_role_in_that_fleet(
    role: str, scopes: set[str]
) -> None:
    assert authority.fleet_holdings(role, "web") == (Holding(FLEET, parse_scopes(scopes), propagate=True),)


def test_a_fleets_technical_user_never_sees_members_tokens_approvals_or_audit() -> None:
    held = authority.technical_fleet_holdings("web")

    assert held == (Holding(FLEET, parse_scopes(FLEET_TECHNICAL), propagate=True),)


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (
            Role.ADMIN,
            ADMIN | {"machines:create", "templates:manage", "networks:manage", "images:manage", "introspect"},
        ),
        (Role.VIEWER, VIEWER),
    ],
)
def test_an_organizations_technical_user_is_an_admin_with_the_inventory_or_a_viewer(
    role: str, scopes: set[str]
) -> None:
    assert authority.technical_organization_holdings(role) == (Holding(ROOT, parse_scopes(scopes)),)


def test_a_group_member_holds_the_group_role_wherever_an_entry_names_the_group() -> None:
    named = entries("group / read", f"group {FLEET} read once")

    assert authority.group_holdings("user", named) == (
        Holding(ROOT, parse_scopes(OPERATOR), propagate=True),
        Holding(FLEET, parse_scopes(OPERATOR), propagate=False),
    )
    assert authority.group_holdings("admin", named) == (
        Holding(ROOT, parse_scopes(GROUP_ADMIN | {"machines:create"}), propagate=True),
        Holding(FLEET, parse_scopes(GROUP_ADMIN), propagate=False),
    )


def test_an_entry_that_denies_a_group_gives_its_members_nothing_below_either() -> None:
    denied = entries("group /a NoAccess")
    rights = PrincipalRights(authority.group_holdings("admin", denied), denied + entries("user /a/b read"))

    assert rights.at("/a") == NOTHING
    assert rights.at("/a/b") == {READ}


@pytest.mark.parametrize(
    "holdings",
    [
        lambda: authority.organization_holdings("Admin"),
        lambda: authority.organization_holdings(""),
        lambda: authority.fleet_holdings("admin", "web"),
        lambda: authority.group_holdings("manager", ()),
        lambda: authority.technical_organization_holdings("owner"),
        lambda: authority.fleet_holdings("viewer", "../x"),
    ],
)
def test_an_unknown_role_or_fleet_holds_nothing_but_is_an_error(holdings: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        holdings()


# The walk

WALK: list[tuple[str, list[str], str, set[Scope]]] = [
    ("no entry gives nothing", [], "/a", set()),
    ("an entry applies at its path", ["user /a read"], "/a", {READ}),
    ("an entry applies below its path", ["user /a read"], "/a/b/c", {READ}),
    ("an entry does not apply above its path", ["user /a/b read"], "/a", set()),
    ("an entry does not apply beside its path", ["user /a read"], "/b", set()),
    ("an entry does not apply where only the letters go on", ["user /a read"], "/ab", set()),
    ("the root applies at the root", ["user / read"], "/", {READ}),
    ("the root applies everywhere", ["user / read"], M1, {READ}),
    ("a fleet applies to its machines", [f"group {FLEET} read"], M1, {READ}),
    ("a fleet does not apply to another fleet", [f"group {FLEET} read"], "/fleets/web2", set()),
    ("a machine does not apply to another machine", [f"user {M1} read"], M2, set()),
    ("a machine does not apply to its fleet", [f"user {M1} read"], FLEET, set()),
    ("without propagate it applies at its path", ["user /a read once"], "/a", {READ}),
    ("without propagate it does not apply below", ["user /a read once"], "/a/b", set()),
    ("the root without propagate applies at the root", ["user / read once"], "/", {READ}),
    ("the root without propagate applies nowhere else", ["user / read once"], "/a", set()),
    ("the deepest replaces", ["user / read", "user /a write"], "/a", {WRITE}),
    ("the deepest replaces for all below", ["user / read", "user /a write"], "/a/b", {WRITE}),
    ("above the deepest the higher holds", ["user / read", "user /a/b write"], "/a", {READ}),
    ("the deepest of three", ["user / read", "user /a write", "user /a/b operate"], "/a/b/c", {OPERATE}),
    ("a deeper role may be smaller", ["user / both", "user /a read"], "/a", {READ}),
    ("a deeper role without scopes replaces too", ["user / both", "user /a empty"], "/a", set()),
    ("a deeper group replaces a higher user", ["user / write", "group /a read"], "/a", {READ}),
    ("a deeper user replaces a higher token row", ["token / write", "user /a read"], "/a", {READ}),
    ("an unpropagated level is passed by", ["user / read", "user /a write once"], "/a/b", {READ}),
    ("an unpropagated level replaces at its path", ["user / read", "user /a write once"], "/a", {WRITE}),
    ("token before user", ["user /a read", "token /a write"], "/a", {WRITE}),
    ("token before group", ["group /a read", "token /a write"], "/a", {WRITE}),
    ("user before group", ["group /a read", "user /a write"], "/a", {WRITE}),
    ("token before user and group", ["group /a read", "user /a operate", "token /a write"], "/a", {WRITE}),
    ("user before group below", ["group /a read", "user /a write"], "/a/b", {WRITE}),
    (
        "an unpropagated user hides the group at the path",
        ["group /a read", "user /a write once"],
        "/a",
        {WRITE},
    ),
    ("an unpropagated user hides no group below", ["group /a read", "user /a write once"], "/a/b", {READ}),
    (
        "an unpropagated token row hides no user below",
        ["user /a read", "token /a write once"],
        "/a/b",
        {READ},
    ),
    ("several groups at one level add up", ["group /a read", "group /a write"], "/a", {READ, WRITE}),
    ("several groups add up below", ["group /a read", "group /a write"], "/a/b", {READ, WRITE}),
    ("of several groups one does not propagate", ["group /a read", "group /a write once"], "/a/b", {READ}),
    ("groups of different levels do not add up", ["group / read", "group /a write"], "/a", {WRITE}),
    ("several rows of one user add up", ["user /a read", "user /a write"], "/a", {READ, WRITE}),
    ("NoAccess gives nothing", ["user /a NoAccess"], "/a", set()),
    ("NoAccess replaces what is inherited", ["user / both", "user /a NoAccess"], "/a", set()),
    ("NoAccess propagates", ["user / both", "user /a NoAccess"], "/a/b", set()),
    (
        "NoAccess without propagate is passed by",
        ["user / both", "user /a NoAccess once"],
        "/a/b",
        {READ, WRITE},
    ),
    ("NoAccess of one group empties the others", ["group /a both", "group /a NoAccess"], "/a", set()),
    ("NoAccess of one group empties the others below", ["group /a both", "group /a NoAccess"], "/a/b", set()),
    ("NoAccess of a group loses to the user", ["group /a NoAccess", "user /a read"], "/a", {READ}),
    ("NoAccess of the user beats the group", ["group /a both", "user /a NoAccess"], "/a", set()),
    ("NoAccess of the user loses to the token row", ["user /a NoAccess", "token /a read"], "/a", {READ}),
    ("NoAccess of the token row beats the user", ["user /a both", "token /a NoAccess"], "/a", set()),
    ("NoAccess above loses to what is deeper", ["user / NoAccess", "group /a read"], "/a/b", {READ}),
    ("NoAccess above holds beside what is deeper", ["user / NoAccess", "group /a read"], "/b", set()),
    (
        "an unpropagated NoAccess group empties at the path",
        ["group /a both", "group /a NoAccess once"],
        "/a",
        set(),
    ),
    (
        "an unpropagated NoAccess group empties nothing below",
        ["group /a read", "group /a NoAccess once"],
        "/a/b",
        {READ},
    ),
    ("one machine of a fleet is excepted", [f"group {FLEET} both", f"group {M1} NoAccess"], M1, set()),
    ("the other machines are not", [f"group {FLEET} both", f"group {M1} NoAccess"], M2, {READ, WRITE}),
]


@pytest.mark.parametrize(
    ("lines", "path", "expected"), [row[1:] for row in WALK], ids=[row[0] for row in WALK]
)
def test_the_walk_goes_as_in_proxmox_ve(lines: list[str], path: str, expected: set[Scope]) -> None:
    given = entries(*lines)

    assert Walk(given).to(path).scopes == expected
    assert Walk(given[::-1]).to(path).scopes == expected


def test_a_scope_in_the_row_of_a_denying_role_is_never_given() -> None:
    contradictory = Entry("/a", frozenset({READ}), Role.NO_ACCESS, propagate=True, subject="user")

    assert Walk([contradictory]).to("/a").scopes == NOTHING


def test_an_entry_for_nobody_known_is_an_error_and_never_ignored() -> None:
    stray = Entry("/a", NOTHING, Role.NO_ACCESS, propagate=True, subject="grup")  # type: ignore[arg-type]

    with pytest.raises(KeyError):
        Walk([stray]).to("/a")


def test_the_entries_that_won_are_named() -> None:
    higher, first, second, hidden = given = entries(
        "user / both", "group /a read", "group /a NoAccess", "group /a/b/c write"
    )

    assert Walk(given).to("/a/b").entries == (first, second)
    assert Walk(given).to("/").entries == (higher,)
    assert Walk(given).to("/a/b/c/d").entries == (hidden,)
    assert Walk(given[1:]).to("/b").entries == ()


# The rights of a principal


def test_what_is_held_and_what_is_entered_add_up() -> None:
    rights = PrincipalRights((Holding("/a", frozenset({READ})),), entries("user /a/b write"))

    assert rights.at("/") == NOTHING
    assert rights.at("/a") == {READ}
    assert rights.at("/a/b") == {READ, WRITE}


def test_holdings_of_several_levels_add_up() -> None:
    rights = PrincipalRights((Holding(ROOT, frozenset({READ})), Holding("/a", frozenset({WRITE}))))

    assert rights.at("/a/b") == {READ, WRITE}
    assert rights.at("/b") == {READ}
    assert rights.holdings_at("/b") == (Holding(ROOT, frozenset({READ})),)


def test_a_holding_without_propagate_is_held_at_its_path_only() -> None:
    rights = PrincipalRights((Holding("/a", frozenset({READ}), propagate=False),))

    assert rights.at("/a") == {READ}
    assert rights.at("/a/b") == NOTHING
    assert rights.anywhere == {READ}


def test_an_entry_takes_nothing_from_a_holding_unless_it_denies() -> None:
    rights = PrincipalRights((Holding(ROOT, frozenset({WRITE})),), entries("user /a read", "user /b empty"))

    assert rights.at("/a") == {READ, WRITE}
    assert rights.at("/b") == {WRITE}


def test_no_access_that_wins_empties_what_an_admin_holds() -> None:
    rights = PrincipalRights(authority.organization_holdings("admin"), entries("user /a NoAccess"))

    assert rights.at("/a/b") == NOTHING
    assert rights.at("/b") == ALL_SCOPES - PERSONAL_ONLY


def test_no_access_that_loses_empties_nothing() -> None:
    rights = PrincipalRights(
        (Holding(ROOT, frozenset({WRITE})),),
        entries("group /a NoAccess", "user /a read", "user /c NoAccess once"),
    )

    assert rights.at("/a") == {READ, WRITE}
    assert rights.at("/c") == NOTHING
    assert rights.at("/c/d") == {WRITE}


def test_no_access_takes_nothing_from_what_an_owner_holds() -> None:
    owner = PrincipalRights(
        authority.organization_holdings("owner"), entries("user / NoAccess", "user /a NoAccess"), immune=True
    )

    assert owner.at("/") == owner.at("/a/b") == owner.anywhere == ALL_SCOPES
    assert owner.winning("/a/b") == entries("user /a NoAccess")


def test_no_access_still_empties_the_entries_of_one_who_is_immune() -> None:
    rights = PrincipalRights(
        (Holding(ROOT, frozenset({READ})),), entries("group /a write", "group /a NoAccess"), immune=True
    )

    assert rights.at("/a") == {READ}


def test_a_superuser_holds_everything_whatever_is_entered() -> None:
    rights = PrincipalRights(entries=entries("user / NoAccess", "user /a read"), everything=True)

    assert rights.at("/") == rights.at("/a") == rights.at(M1) == rights.anywhere == ALL_SCOPES
    assert rights.paths == {"/", "/a"}
    assert PrincipalRights(everything=True).anywhere == ALL_SCOPES


def test_nobody_without_holdings_and_entries_holds_anything() -> None:
    rights = PrincipalRights()

    assert rights.at(ROOT) == rights.anywhere == NOTHING
    assert rights.paths == frozenset()


def test_the_paths_of_a_principal_are_those_of_holdings_and_entries() -> None:
    rights = PrincipalRights(
        authority.fleet_holdings("viewer", "web"), entries("user /a read", "group /a write")
    )

    assert rights.paths == {FLEET, "/a"}


def test_what_is_held_only_below_an_exception_is_held_somewhere() -> None:
    rights = PrincipalRights(entries=entries("user /a NoAccess once", "group /a read"))

    assert rights.at("/a") == NOTHING
    assert rights.anywhere == {READ}


def test_a_machine_has_nothing_below_it_on_which_a_scope_could_be_held() -> None:
    rights = PrincipalRights(entries=entries(f"user {M1} NoAccess once", f"group {M1} read"))

    assert rights.anywhere == NOTHING


def test_rights_are_values_that_nobody_changes() -> None:
    rights = PrincipalRights(authority.fleet_holdings("viewer", "web"), entries("user /a read"))
    twin = PrincipalRights(authority.fleet_holdings("viewer", "web"), entries("user /a read"))
    before = hash(rights)
    rights.at("/a")

    with pytest.raises(FrozenInstanceError):
        rights.everything = True  # type: ignore[misc]
    assert rights == twin
    assert hash(rights) == before == hash(twin)


# The rights of a token

OWNER = PrincipalRights(authority.organization_holdings("owner"), immune=True)
MANAGER = PrincipalRights(authority.fleet_holdings("manager", "web"))
SUPERUSER = PrincipalRights(everything=True)
READ_WRITE = frozenset({READ, WRITE})
TOKENS: list[tuple[str, frozenset[Scope], list[str] | None, PrincipalRights, str, set[Scope]]] = [
    ("all three sides have it", READ_WRITE, ["token / both"], OWNER, M1, {READ, WRITE}),
    ("no rows mean nothing", READ_WRITE, [], OWNER, M1, set()),
    ("no rows mean nothing for a superuser's token", READ_WRITE, [], SUPERUSER, M1, set()),
    ("the ceiling bounds the rows", frozenset({READ}), ["token / both"], OWNER, M1, {READ}),
    ("the rows bound the ceiling", READ_WRITE, ["token / read"], OWNER, M1, {READ}),
    ("the principal bounds both", READ_WRITE, ["token / both"], MANAGER, "/fleets/db", set()),
    ("where the principal holds it", READ_WRITE, ["token / both"], MANAGER, M1, {READ, WRITE}),
    ("a superuser's token has what it holds", READ_WRITE, [f"token {FLEET} read"], SUPERUSER, M1, {READ}),
    ("and nothing elsewhere", READ_WRITE, [f"token {FLEET} read"], SUPERUSER, "/fleets/db", set()),
    ("a row without propagate", READ_WRITE, [f"token {FLEET} both once"], OWNER, M1, set()),
    ("a row's NoAccess", READ_WRITE, ["token / both", f"token {M1} NoAccess"], OWNER, M1, set()),
    ("a deeper row replaces", READ_WRITE, ["token / both", f"token {M1} read"], OWNER, M1, {READ}),
    ("an empty ceiling", NOTHING, ["token / both"], OWNER, M1, set()),
    ("unseparated: what the principal holds", READ_WRITE, None, MANAGER, M1, {READ, WRITE}),
    ("unseparated: nothing where it holds nothing", READ_WRITE, None, MANAGER, "/fleets/db", set()),
    ("unseparated: the ceiling still bounds", frozenset({READ}), None, SUPERUSER, M1, {READ}),
]


@pytest.mark.parametrize(
    ("ceiling", "lines", "principal", "path", "expected"),
    [row[1:] for row in TOKENS],
    ids=[row[0] for row in TOKENS],
)
def test_a_token_may_do_what_its_ceiling_its_rows_and_its_principal_all_allow(
    ceiling: frozenset[Scope],
    lines: list[str] | None,
    principal: PrincipalRights,
    path: str,
    expected: set[Scope],
) -> None:
    token = TokenRights(ceiling, None if lines is None else entries(*lines), principal)

    assert token.at(path) == expected


def test_the_principals_entries_never_decide_for_the_rows_of_a_token() -> None:
    principal = PrincipalRights(entries=entries("user / both", f"user {M1} NoAccess"))
    token = TokenRights(READ_WRITE, entries(f"token {M1} both"), principal)

    assert token.at(M1) == NOTHING
    assert token.winning(M1) == entries(f"token {M1} both")
    assert token.at(FLEET) == NOTHING


def test_propagation_is_the_and_of_both_sides() -> None:
    once, below = entries("token /a read once"), entries("token /a read")
    principal_once = PrincipalRights((Holding("/a", frozenset({READ}), propagate=False),))
    principal_below = PrincipalRights((Holding("/a", frozenset({READ})),))
    reaches = {
        (rows, principal): TokenRights(READ_WRITE, rows, principal).at("/a/b") == {READ}
        for rows in (once, below)
        for principal in (principal_once, principal_below)
    }

    assert [pair for pair, reached in reaches.items() if reached] == [(below, principal_below)]


def test_a_token_whose_rows_and_principal_never_meet_can_do_nothing_anywhere() -> None:
    principal = PrincipalRights(entries=entries("user /a both"))
    token = TokenRights(READ_WRITE, entries("token /b both"), principal)

    assert principal.anywhere == READ_WRITE
    assert token.paths == {"/a", "/b"}
    assert token.anywhere == NOTHING


def test_a_token_can_do_somewhere_what_both_sides_have_only_at_an_unnamed_path() -> None:
    principal = PrincipalRights(entries=entries("user / NoAccess once", "group / read", "user /a NoAccess"))
    token = TokenRights(READ_WRITE, entries("token / both"), principal)

    assert token.anywhere == {READ}
    assert token.at("/nodes") == {READ}


def test_an_unseparated_token_names_the_paths_of_its_principal_and_no_row_decides() -> None:
    token = TokenRights(READ_WRITE, None, MANAGER)

    assert token.paths == {FLEET}
    assert token.anywhere == READ_WRITE
    assert token.winning(M1) == ()


def test_a_token_issued_by_a_token_stays_within_it() -> None:
    parent = TokenRights(frozenset({READ}), entries(f"token {FLEET} both"), OWNER)
    child = TokenRights(READ_WRITE, None, parent)

    assert child.at(M1) == child.anywhere == {READ}
    assert child.at("/fleets/db") == NOTHING
