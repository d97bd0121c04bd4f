"""Nobody exceeds themselves: any wish, any edit, of anybody, in a small world."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from config.edge.access import Access
from config.edge.refusals import DomainError
from fleets.authority import ROLE_SCOPES
from fleets.models import User
from fleets.scopes import Scope
from tests.factories import (
    acting,
    fleet_member,
    last_event,
    make_entry,
    make_fleet,
    make_fleet_member,
    make_machine,
    make_organization,
    make_superuser,
    operator,
    owner_of,
    session,
)
from tests.tokens.issuing import REASON, issue, outcome, present, wish
from tokens import lifecycle
from tokens.changes import Edit
from tokens.issuance import GrantWish, Wish


class SmallWorld:
    """One organization for all examples; what an example makes is rolled back."""

    def __init__(self) -> None:
        self.acme = make_organization("small")
        self.edge, self.core = make_fleet(self.acme, "edge"), make_fleet(self.acme, "core")
        self.manager = fleet_member(self.edge, "manager")
        self.machines = [make_machine(self.edge), make_machine(self.edge), make_machine(self.core)]
        make_entry(self.acme, self.machines[1].path, "NoAccess", user=self.manager)
        make_entry(self.acme, "/nodes", "Operator", user=self.manager)
        fleets = [fleet.path for fleet in (self.edge, self.core)]
        of_machines = [machine.path for machine in self.machines]
        self.named = ["/", "/nodes", "/nodes/n1", "/fleets", *fleets, f"{fleets[0]}/machines", *of_machines]
        self.paths = [*self.named, "/nodes/n2", "/nodes/n1/deeper", "/elsewhere", f"{fleets[1]}/machines"]

    def can(self, access: Access) -> set[tuple[str, str]]:
        rights = access.rights(self.acme.pk)
        return {(scope, path) for path in self.paths for scope in rights.at(path)}


@pytest.fixture
def small(db: None) -> SmallWorld:
    return SmallWorld()


SCOPES = [
    Scope.MACHINES_READ,
    Scope.MACHINES_WRITE,
    Scope.MACHINES_CREATE,
    Scope.TOKENS_READ,
    Scope.AUDIT_READ,
]
some_scopes = st.frozensets(st.sampled_from(SCOPES), min_size=1)
some_roles = st.sampled_from(sorted(ROLE_SCOPES))
roles_for_ceilings = st.sampled_from(["Viewer", "Operator", "Admin", "GroupAdmin"])
some_rows = st.lists(
    st.tuples(st.integers(0, 9), some_roles, st.booleans()), max_size=4, unique_by=lambda r: r[0]
)
reaches = st.one_of(
    st.none(),
    st.just("all"),
    st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True).map(lambda found: ("machines", found)),
    some_rows.map(lambda found: ("rows", found)),
)
ceilings = some_scopes | roles_for_ceilings
wishes = st.tuples(ceilings, reaches)


def asked_for(small: SmallWorld, described: tuple[Any, Any], *, of_all: bool = True) -> Wish:
    ceiling, reach = described
    parts: dict[str, Any] = {"role": ceiling} if isinstance(ceiling, str) else {"scopes": ceiling}
    if not of_all:
        parts = {}
    if reach == "all":
        parts["machines"] = "all"
    elif reach and reach[0] == "machines":
        parts["machines"] = tuple(small.machines[number].pk for number in reach[1])
    elif reach:
        named = small.named
        parts["grants"] = tuple(GrantWish(named[number], role, p) for number, role, p in reach[1])
    return Wish(**parts)


@contextmanager
def undone() -> Iterator[None]:
    """What is done inside is gone afterwards, so that the examples do not meet."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


one_world = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(
    who=st.sampled_from(["owner", "manager", "token", "token", "token"]),
    parent=wishes,
    parents_scopes=some_scopes,
    wanted=wishes,
    owner=st.sampled_from(["self", "edge"]),
)
@one_world
def test_no_issued_token_can_do_what_its_issuer_cannot(
    small: SmallWorld, who: str, parent: Any, parents_scopes: frozenset[Scope], wanted: Any, owner: str
) -> None:
    user = owner_of(small.acme) if who == "owner" else small.manager
    with undone():
        try:
            by = session(user)
            if who == "token":
                parents = (parents_scopes | {Scope.TOKENS_MANAGE}, parent[1])
                by = acting(issue(operator, user, asked_for(small, parents)))
            issued = issue(by, user if owner == "self" else small.edge, asked_for(small, wanted))
        except DomainError as refusal:
            event(refusal.code)
            return
        event(f"issued by {who}")
        assert small.can(acting(issued)) <= small.can(by)

        if who == "token":  # whatever their person gains later
            make_fleet_member(small.core, "manager", user=small.manager)
            by.refresh()
            assert small.can(acting(issued)) <= small.can(by)


@given(was=wishes, change=wishes, of_all=st.booleans(), who=st.sampled_from(["person", "itself"]))
@one_world
def test_no_edit_that_counts_as_narrowing_gains_anything(
    small: SmallWorld, was: Any, change: Any, of_all: bool, who: str
) -> None:
    user = owner_of(small.acme)
    with undone():
        User.objects.filter(pk=user.pk).update(
            is_superuser=True
        )  # holds everything: only the token has bounds
        try:
            issued = issue(operator, user, asked_for(small, was))
            before = small.can(acting(issued))
            asked = asked_for(small, change, of_all=of_all)
            by = session(user) if who == "person" else acting(issued)
            lifecycle.edit(present(issued), change=Edit(wish=asked), reason=REASON, by=by)
        except DomainError as refusal:
            event(refusal.code)
            return
        widens = last_event(action="token.edited").data["widens"]
        event(f"by {who}, {widens=}")
        assert not (widens and who == "itself")
        assert widens or small.can(acting(issued)) <= before


def test_the_small_world_has_room_to_exceed_in(small: SmallWorld) -> None:
    """The properties above are about something: there is more than the manager holds, and what they hold differs."""
    manager, root = session(small.manager), session(make_superuser())

    assert small.can(manager) < small.can(root)
    assert outcome(issue, manager, small.edge, wish("machines:write")) == "exceeds_your_rights"
    around = (GrantWish(small.machines[0].path, "GroupAdmin"),)
    assert outcome(issue, manager, small.edge, wish("machines:write", grants=around)) == "done"
