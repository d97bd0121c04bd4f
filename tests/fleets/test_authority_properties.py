"""What holds for any entries: the walk against a second reading of its rules, and that nothing widens."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from fleets.authority import Entry, Holding, PrincipalRights, Role, TokenRights, Walk
from fleets.paths import closure, normalise
from fleets.scopes import ALL_SCOPES, Scope

SCOPES = [Scope.MACHINES_READ, Scope.MACHINES_OPERATE, Scope.MACHINES_WRITE, Scope.TOKENS_MANAGE]
M1, M2 = (f"/fleets/web/machines/0190f3a0-0000-7000-8000-00000000000{n}" for n in (1, 2))
NAMED = ["/", "/a", "/a/b", "/a/b/c", "/b", "/fleets", "/fleets/web", "/fleets/web/machines", M1, "/vms/7"]
NEVER_NAMED = [
    *("/x", "/a/x", "/a/b/x", "/a/b/c/x", "/a/b/c/x/y", "/b/x", "/ab"),
    *("/fleets/x", "/fleets/x/machines", M2.replace("web", "x"), "/fleets/web2", M2, "/vms/8"),
]
EVERYWHERE = [normalise(path) for path in NAMED + NEVER_NAMED]

scope_sets = st.frozensets(st.sampled_from(SCOPES))
everywhere = st.sampled_from(EVERYWHERE)


def walk(entries: Iterable[Entry], path: str) -> frozenset[Scope]:
    return Walk(entries).to(path).scopes


def winning(entries: Iterable[Entry], path: str) -> tuple[Entry, ...]:
    return Walk(entries).to(path).entries


def entries_of(*subjects: str) -> st.SearchStrategy[tuple[Entry, ...]]:
    giving = st.builds(
        Entry, st.sampled_from(NAMED), scope_sets, st.just("custom"), st.booleans(), st.sampled_from(subjects)
    )
    denying = giving.map(lambda entry: replace(entry, scopes=frozenset(), role=Role.NO_ACCESS))
    return st.lists(st.one_of(giving, giving, denying), max_size=8).map(tuple)


holdings = st.lists(st.builds(Holding, st.sampled_from(NAMED), scope_sets, st.booleans()), max_size=4).map(
    tuple
)
any_entries = entries_of("token", "user", "group")
rows = entries_of("token")
principals = st.builds(
    PrincipalRights,
    holdings,
    entries_of("user", "group"),
    everything=st.sampled_from([False, False, False, True]),
    immune=st.booleans(),
)
tokens = st.builds(TokenRights, scope_sets, st.none() | rows, principals)


# A second reading: down from the root along the segments, one scope at a time, with no arranging beforehand.


def oracle_winners(entries: Iterable[Entry], path: str) -> list[Entry]:
    steps = [step for step in path.split("/") if step]
    current: list[Entry] = []
    for depth in range(len(steps) + 1):
        level = [
            entry
            for entry in entries
            if [step for step in entry.path.split("/") if step] == steps[:depth]
            and (entry.propagate or depth == len(steps))
        ]
        for subject in ("token", "user", "group"):
            of_subject = [entry for entry in level if entry.subject == subject]
            if of_subject:
                current = of_subject
                break
    return current


def oracle_gives(entries: Iterable[Entry], path: str, scope: Scope) -> bool:
    winners = oracle_winners(entries, path)
    return all(entry.role != "NoAccess" for entry in winners) and any(scope in e.scopes for e in winners)


def oracle_holds(principal: PrincipalRights, path: str, scope: Scope) -> bool:
    if principal.everything:
        return True
    if not principal.immune and "NoAccess" in [
        entry.role for entry in oracle_winners(principal.entries, path)
    ]:
        return False
    reaching = [
        holding
        for holding in principal.holdings
        if path == holding.path
        or (holding.propagate and (path + "/").startswith(holding.path.rstrip("/") + "/"))
    ]
    return any(scope in holding.scopes for holding in reaching) or oracle_gives(
        principal.entries, path, scope
    )


def oracle_may(token: TokenRights, path: str, scope: Scope) -> bool:
    granted = token.rows is None or oracle_gives(token.rows, path, scope)
    assert isinstance(token.principal, PrincipalRights)
    return scope in token.ceiling and granted and oracle_holds(token.principal, path, scope)


@given(any_entries, everywhere)
def test_the_walk_agrees_with_a_second_reading_of_its_rules(entries: tuple[Entry, ...], path: str) -> None:
    assert walk(entries, path) == {scope for scope in Scope if oracle_gives(entries, path, scope)}
    assert list(winning(entries, path)) == oracle_winners(entries, path)


@given(principals, everywhere)
def test_what_a_principal_holds_agrees_with_a_second_reading(principal: PrincipalRights, path: str) -> None:
    assert principal.at(path) == {scope for scope in Scope if oracle_holds(principal, path, scope)}


@given(tokens, everywhere)
def test_what_a_token_may_do_agrees_with_a_second_reading(token: TokenRights, path: str) -> None:
    assert token.at(path) == {scope for scope in Scope if oracle_may(token, path, scope)}


@given(principals)
def test_a_principal_holds_somewhere_exactly_what_it_holds_at_some_real_path(
    principal: PrincipalRights,
) -> None:
    assert principal.anywhere == {s for s in Scope for path in EVERYWHERE if oracle_holds(principal, path, s)}


@given(tokens)
def test_a_token_may_do_somewhere_exactly_what_it_may_do_at_some_real_path(token: TokenRights) -> None:
    assert token.anywhere == {s for s in Scope for path in EVERYWHERE if oracle_may(token, path, s)}


@given(tokens, tokens)
def test_what_a_change_gains_anywhere_is_gained_in_the_closure_of_the_paths_of_both(
    one: TokenRights, other: TokenRights
) -> None:
    gained_in_closure = {s for p in closure(one.paths | other.paths) for s in other.at(p) - one.at(p)}
    gained_anywhere = {s for p in EVERYWHERE for s in other.at(p) - one.at(p)}

    assert gained_in_closure == gained_anywhere


# Nothing widens


@given(tokens, everywhere)
def test_a_token_never_exceeds_its_principal(token: TokenRights, path: str) -> None:
    assert token.at(path) <= token.principal.at(path)
    assert token.anywhere <= token.principal.anywhere


@given(tokens, any_entries, everywhere)
def test_no_row_lifts_a_token_above_its_ceiling(
    token: TokenRights, more: tuple[Entry, ...], path: str
) -> None:
    widest = replace(token, rows=(token.rows or ()) + more)

    assert widest.at(path) <= token.ceiling
    assert widest.anywhere <= token.ceiling


@given(scope_sets, scope_sets, rows, principals, everywhere)
def test_a_smaller_ceiling_never_widens_a_token(
    ceiling: frozenset[Scope],
    kept: frozenset[Scope],
    rows: tuple[Entry, ...],
    principal: PrincipalRights,
    path: str,
) -> None:
    before = TokenRights(ceiling, rows, principal).at(path)

    assert TokenRights(ceiling & kept, rows, principal).at(path) == before & kept


@given(tokens, everywhere)
def test_separating_a_token_from_its_principal_never_widens_it(token: TokenRights, path: str) -> None:
    assert token.at(path) <= replace(token, rows=None).at(path)


@given(any_entries, st.integers(0, 7), scope_sets, everywhere)
def test_taking_scopes_from_a_role_that_stays_at_its_path_never_widens(
    entries: tuple[Entry, ...], index: int, kept: frozenset[Scope], path: str
) -> None:
    smaller = tuple(
        replace(entry, scopes=entry.scopes & kept) if place == index else entry
        for place, entry in enumerate(entries)
    )

    assert walk(smaller, path) <= walk(entries, path)


@given(principals, principals, scope_sets, rows, everywhere)
def test_a_principal_that_loses_rights_never_widens_its_tokens(
    principal: PrincipalRights,
    other: PrincipalRights,
    ceiling: frozenset[Scope],
    rows: tuple[Entry, ...],
    path: str,
) -> None:
    before, after = TokenRights(ceiling, rows, principal).at(path), TokenRights(ceiling, rows, other).at(path)

    assert after - before <= other.at(path) - principal.at(path)


# Order, depth, denial


@given(st.data(), any_entries, everywhere)
def test_the_order_of_entries_does_not_matter(
    data: st.DataObject, entries: tuple[Entry, ...], path: str
) -> None:
    shuffled = tuple(data.draw(st.permutations(entries)))

    assert walk(shuffled, path) == walk(entries, path)
    assert sorted(winning(shuffled, path), key=repr) == sorted(winning(entries, path), key=repr)


@given(principals, st.randoms(use_true_random=False), everywhere)
def test_the_order_of_holdings_and_entries_does_not_matter(
    principal: PrincipalRights, random: Random, path: str
) -> None:
    shuffled = replace(
        principal,
        holdings=tuple(random.sample(principal.holdings, len(principal.holdings))),
        entries=tuple(random.sample(principal.entries, len(principal.entries))),
    )

    assert shuffled.at(path) == principal.at(path)


@given(any_entries, everywhere, scope_sets, st.booleans(), st.sampled_from(["token", "user", "group"]))
def test_an_entry_at_the_path_itself_replaces_all_that_is_inherited(
    entries: tuple[Entry, ...], path: str, scopes: frozenset[Scope], propagate: bool, subject: str
) -> None:
    inherited = tuple(entry for entry in entries if entry.path != path)
    deepest = Entry(path, scopes, "custom", propagate, subject)  # type: ignore[arg-type]

    assert walk((*inherited, deepest), path) == scopes
    assert winning((*inherited, deepest), path) == (deepest,)


@given(any_entries, everywhere, st.sampled_from(["/a", "/a/b", "/fleets/web"]), scope_sets)
def test_an_entry_says_nothing_about_paths_that_are_not_below_it(
    entries: tuple[Entry, ...], path: str, at: str, scopes: frozenset[Scope]
) -> None:
    more = (*entries, Entry(at, scopes, "custom", propagate=True, subject="token"))

    if not (path + "/").startswith(at + "/"):
        assert walk(more, path) == walk(entries, path)


@given(any_entries, everywhere)
def test_no_access_among_the_winners_empties_and_nothing_else_does(
    entries: tuple[Entry, ...], path: str
) -> None:
    winners = winning(entries, path)
    denied = Role.NO_ACCESS in [entry.role for entry in winners]

    given_by_winners = frozenset[Scope]().union(*(entry.scopes for entry in winners))
    assert walk(entries, path) == (frozenset() if denied else given_by_winners)


@given(principals, everywhere)
def test_no_access_for_the_user_at_the_path_empties_all_but_owners_and_superusers(
    principal: PrincipalRights, path: str
) -> None:
    denied = Entry(path, frozenset(), Role.NO_ACCESS, propagate=True, subject="user")
    rights = replace(principal, entries=(*principal.entries, denied))
    kept = frozenset[Scope]().union(*(holding.scopes for holding in principal.holdings_at(path)))

    if principal.everything:
        assert rights.at(path) == ALL_SCOPES
    elif principal.immune:
        assert rights.at(path) == kept
    else:
        assert rights.at(path) == frozenset()


@given(any_entries, st.lists(everywhere, max_size=6))
def test_an_arranged_walk_answers_every_path_as_a_fresh_one(
    entries: tuple[Entry, ...], asked: list[str]
) -> None:
    arranged = Walk(entries)

    assert [arranged.to(path).scopes for path in asked] == [walk(entries, path) for path in asked]
