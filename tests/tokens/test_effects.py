"""What an edit gains and loses, in words: few sentences, each true, that together tell of every place."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.edge.clock import now
from fleets.authority import Entry, Role, exceeding, role_scopes
from fleets.paths import ROOT, ancestors, closure
from fleets.scopes import Scope
from tests.factories import last_event, make_token, operator, session
from tests.tokens.conftest import World
from tests.tokens.issuing import REASON, issue, pending, present, wish
from tokens import lifecycle
from tokens.changes import Edit
from tokens.effects import MOST_EXCEPTIONS, MOST_WORDS, in_sentences
from tokens.issuance import GrantWish, Issued, Wish
from tokens.models import Token
from tokens.rights import granted

READ, OPERATE = Scope.MACHINES_READ, Scope.MACHINES_OPERATE
CEILING = frozenset({READ, OPERATE})
EDGE = "/fleets/edge"


def row(path: str, role: str = Role.OPERATOR, *, propagate: bool = True) -> Entry:
    return Entry(path, role_scopes(role, path), role, propagate, "token")


def sentences(before: list[Entry], after: list[Entry]) -> tuple[list[str], list[str]]:
    """What is told of machines:operate, gained and lost."""
    old, new = granted(frozenset({OPERATE}), tuple(before)), granted(frozenset({OPERATE}), tuple(after))
    everywhere = closure(old.paths | new.paths | {ROOT})
    gained = in_sentences(exceeding(new, old), everywhere, new, keeps=True)
    lost = in_sentences(exceeding(old, new), everywhere, new, keeps=False)
    return [text.removeprefix("machines:operate ") for text in gained], [
        text.removeprefix("machines:operate ") for text in lost
    ]


NO = Role.NO_ACCESS
CASES: list[tuple[str, list[Entry], list[Entry], list[str], list[str]]] = [
    ("nothing", [row(EDGE)], [row(EDGE)], [], []),
    ("everything", [], [row("/")], ["on /"], []),
    ("nothing any more", [row("/")], [], [], ["on /"]),
    ("a fleet", [], [row(EDGE)], [f"on {EDGE}"], []),
    ("one for another", [row(EDGE)], [row("/fleets/core")], ["on /fleets/core"], [f"on {EDGE}"]),
    ("up", [row(EDGE)], [row("/")], ["on /"], []),
    ("down", [row("/")], [row(EDGE)], [], [f"on /, except on {EDGE}"]),
    ("one path only", [], [row("/nodes", propagate=False)], ["on /nodes itself"], []),
    (
        "below now too",
        [row("/nodes", propagate=False)],
        [row("/nodes")],
        ["below /nodes"],
        [],
    ),
    ("no longer below", [row("/nodes")], [row("/nodes", propagate=False)], [], ["below /nodes"]),
    (
        "a fleet's machines only",
        [row(EDGE)],
        [row(f"{EDGE}/machines")],
        [],
        [f"on {EDGE} itself"],
    ),
    ("a refusal", [row("/")], [row("/"), row("/nodes/n1", NO)], [], ["on /nodes/n1"]),
    ("a refusal goes", [row("/"), row("/nodes/n1", NO)], [row("/")], ["on /nodes/n1"], []),
    (
        "all but a refusal",
        [],
        [row("/"), row("/nodes", NO)],
        ["on /, except on /nodes"],
        [],
    ),
    (
        "all but a refusal, but there",
        [],
        [row("/"), row("/nodes", NO), row("/nodes/n1")],
        ["on /, except on /nodes", "on /nodes/n1"],
        [],
    ),
    (
        "a refusal of one path alone",
        [row("/")],
        [row("/"), row("/nodes", NO, propagate=False)],
        [],
        ["on /nodes itself"],
    ),
    (
        "below, except for what is named",
        [row("/nodes", propagate=False)],
        [row("/nodes"), row("/nodes/n1", NO)],
        ["below /nodes, except on /nodes/n1"],
        [],
    ),
    (
        "more exceptions than are named",
        [],
        [row("/"), *(row(f"/nodes/n{number}", NO) for number in range(5))],
        ["on /, except on /nodes/n0, /nodes/n1, /nodes/n2 and 2 more"],
        [],
    ),
    (
        "a machine that had it in a fleet that gets it",
        [row(f"{EDGE}/machines/{'0' * 8}-0000-7000-8000-{'0' * 12}")],
        [row(EDGE)],
        [f"on {EDGE}"],
        [],
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "gained", "lost"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_differs_is_told_by_the_highest_places(
    before: list[Entry], after: list[Entry], gained: list[str], lost: list[str]
) -> None:
    assert sentences(before, after) == (gained, lost)


# Against a second reading: every pair at every path of a small world

PATHS = ["/", "/a", "/a/b", "/a/c", "/a/b/d", "/e"]
ROLES = [Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.NO_ACCESS]
rows = st.dictionaries(
    st.sampled_from(PATHS), st.tuples(st.sampled_from(ROLES), st.booleans()), max_size=5
).map(lambda found: tuple(row(path, role, propagate=propagate) for path, (role, propagate) in found.items()))


@given(rows, rows)
def test_each_sentence_is_true_and_all_together_tell_of_every_gain(
    before: tuple[Entry, ...], after: tuple[Entry, ...]
) -> None:
    old, new = granted(CEILING, before), granted(CEILING, after)
    everywhere = closure({*PATHS})
    pairs = exceeding(new, old)

    said = in_sentences(pairs, everywhere, new, keeps=True)

    promised = {(scope, path) for text in said for scope, path in _promises(text, everywhere)}
    assert {pair for pair in pairs if pair[1] in everywhere} <= promised
    assert all(scope in new.at(path) for scope, path in promised)
    assert bool(said) is bool(pairs)


@given(rows, rows)
def test_what_is_lost_is_what_the_way_back_gains(before: tuple[Entry, ...], after: tuple[Entry, ...]) -> None:
    old, new = granted(CEILING, before), granted(CEILING, after)
    everywhere = closure({*PATHS})

    said = in_sentences(exceeding(old, new), everywhere, new, keeps=False)

    denied = {(scope, path) for text in said for scope, path in _promises(text, everywhere)}
    assert {pair for pair in exceeding(old, new) if pair[1] in everywhere} <= denied
    assert not any(scope in new.at(path) for scope, path in denied)


def _promises(text: str, everywhere: frozenset[str]) -> set[tuple[str, str]]:
    """The pairs that a sentence speaks of, read as a person would: what is excepted, and all below that, is not."""
    scope, _, rest = text.partition(" ")
    head, _, tail = rest.partition(", except on ")
    excepted = tail.split(", ") if tail else []
    assert " more" not in tail, "the world is too small for exceptions that are not named"
    word, place, *itself = head.split(" ")
    if itself:
        return {(scope, place)}
    found = {path for path in everywhere if place in ancestors(path)} - (
        {place} if word == "below" else set()
    )
    return {(scope, path) for path in found if not set(ancestors(path)) & set(excepted)}


# In the trail


def edit(issued: Issued, by: Any = operator, **change: Any) -> dict[str, Any]:
    """What the event of this edit says."""
    lifecycle.edit(present(issued), change=Edit(**change), reason=REASON, by=by)
    data: dict[str, Any] = last_event(action="token.edited").data
    return data


def test_the_event_of_an_edit_tells_what_was_gained_and_lost(world: World) -> None:
    issued = issue(session(world.manager), world.edge, wish("machines:read", "snapshots:read"))
    by = session(world.manager)

    data = edit(issued, by, wish=Wish(scopes=CEILING, machines=(world.edge_1.pk,)))

    assert data["widens"] is True
    assert (data["gained"], data["gained_count"]) == ([f"machines:operate on {world.edge_1.path}"], 1)
    assert data["lost"] == [
        f"machines:read on {EDGE}, except on {world.edge_1.path}",
        f"snapshots:read on {EDGE}",
    ]


def test_a_scope_that_no_row_gives_is_told_as_one_of_the_ceiling(world: World) -> None:
    issued = make_token(world.edge, "machines:read", grants=(GrantWish(EDGE, "Viewer"),))

    data = edit(issued, wish=wish("machines:read", "machines:operate"))
    assert (data["widens"], data["gained"], data["lost"]) == (True, ["machines:operate in the ceiling"], [])

    data = edit(issued, wish=wish("machines:read"))
    assert (data["widens"], data["gained"], data["lost"]) == (False, [], ["machines:operate in the ceiling"])


def test_a_token_that_goes_by_its_owners_rights_gains_and_loses_everywhere(world: World) -> None:
    issued = make_token(world.manager, "machines:read", privilege_separation=False)

    data = edit(issued, wish=wish("machines:operate"))

    assert (data["gained"], data["lost"]) == (["machines:operate on /"], ["machines:read on /"])


def test_an_expiry_is_told_in_words_whichever_way_it_moves(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    start = now().replace(microsecond=0)
    Token.objects.filter(pk=issued.token.pk).update(expires_at=start + timedelta(days=9))
    was = written(start + timedelta(days=9))

    earlier, later = start + timedelta(days=2), start + timedelta(days=20)
    assert ends(edit(issued, expires_at=earlier)) == ([], [f"use until {was}, now until {written(earlier)}"])
    assert ends(edit(issued, expires_at=later)) == (
        [f"use until {written(later)}, not until {written(earlier)}"],
        [],
    )
    assert ends(edit(issued, expires_at=None)) == ([f"use for ever, not until {written(later)}"], [])
    assert ends(edit(issued, expires_at=None)) == ([], [])
    assert ends(edit(issued, expires_at=later)) == ([], [f"use for ever, now until {written(later)}"])


def test_a_lifetime_that_waits_for_approval_is_compared_as_if_it_began_now(world: World) -> None:
    issued = pending(world.edge, "machines:read")
    Token.objects.filter(pk=issued.token.pk).update(expires_at=None, lifetime=timedelta(days=10))

    gained, lost = ends(edit(issued, expires_at=now() + timedelta(days=5)))

    assert (len(gained), len(lost)) == (0, 1)
    assert lost[0].startswith("use until ")


def ends(data: dict[str, Any]) -> tuple[list[str], list[str]]:
    assert data["widens"] is bool(data["gained"])
    return data["gained"], data["lost"]


def written(instant: Any) -> str:
    return str(instant.isoformat().replace("+00:00", "Z"))


def test_an_event_names_the_first_and_counts_them_all(world: World) -> None:
    paths = tuple(GrantWish(f"/nodes/n{number:02}", "Viewer") for number in range(60))
    issued = make_token(world.owner, "machines:read", grants=())

    data = edit(issued, wish=Wish(grants=paths))

    assert (len(data["gained"]), data["gained_count"]) == (MOST_WORDS, 60)
    assert data["gained"][0] == "machines:read on /nodes/n00"
    assert len(edit(issued, wish=Wish(grants=()))["lost"]) == MOST_WORDS
    assert MOST_EXCEPTIONS < 5
