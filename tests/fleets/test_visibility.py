"""What a caller sees: the queryset of machines agrees with the rights at each machine's path."""

import itertools
import random

import pytest

from config.edge.refusals import Invalid, Missing
from fleets import visibility
from fleets.authority import Entry, PrincipalRights, Role, role_scopes
from fleets.models import Machine
from fleets.scopes import Scope
from tests.factories import (
    make_fleet,
    make_machine,
    make_member,
    make_organization,
    make_person,
    make_superuser,
    member,
    operator,
    session,
)

pytestmark = pytest.mark.django_db


def test_the_queryset_has_exactly_the_machines_whose_path_permits(chance: random.Random) -> None:
    acme, other = make_organization(), make_organization()
    fleets = [make_fleet(acme) for _ in range(3)]
    machines = [make_machine(fleet) for fleet in fleets for _ in range(3)]
    make_machine(make_fleet(other))
    places = ["/", "/fleets", "/nodes", *(fleet.path for fleet in fleets)]
    places += [f"{fleet.path}/machines" for fleet in fleets] + [machine.path for machine in machines]
    for _ in range(150):
        entries = tuple(
            Entry(path, role_scopes(role, path), role, chance.random() < 0.7, "user")
            for path in chance.sample(places, chance.randint(1, 6))
            for role in [chance.choice([Role.VIEWER, Role.OPERATOR, Role.NO_ACCESS, Role.ADMIN])]
        )
        rights = PrincipalRights(entries=entries)
        for scope in (Scope.MACHINES_READ, Scope.MACHINES_OPERATE, Scope.MACHINES_WRITE):
            found = set(visibility.Reach(acme.pk, rights).machines(scope))
            assert found == {machine for machine in machines if scope in rights.at(machine.path)}, entries


def test_a_path_that_names_a_machine_in_a_fleet_that_it_left_opens_nothing() -> None:
    acme = make_organization()
    edge, core = make_fleet(acme), make_fleet(acme)
    machine = make_machine(edge)
    stale = machine.path
    Machine.objects.update(fleet=core)
    rights = PrincipalRights(
        entries=(Entry(stale, frozenset({Scope.MACHINES_READ}), "Viewer", True, "user"),)
    )

    assert set(visibility.Reach(acme.pk, rights).machines()) == set()


@pytest.mark.parametrize(
    ("memberships", "is_superuser", "implied"),
    [(0, False, None), (1, False, 0), (2, False, None), (0, True, None), (1, True, 0), (2, True, None)],
)
def test_an_organization_is_implied_where_only_one_can_be_meant(
    memberships: int, is_superuser: bool, implied: int | None
) -> None:
    several = [make_organization() for _ in range(3)]
    user = make_superuser() if is_superuser else make_person()
    for organization in several[:memberships]:
        make_member(organization, user=user)

    if implied is None:
        with pytest.raises(Invalid) as refusal:
            visibility.organization(session(user))
        assert refusal.value.code == "organization_required"
    else:
        assert visibility.organization(session(user)) == several[implied]


@pytest.mark.parametrize("slug", ["other", "nowhere", "", "ACME", "a\x00", "x" * 500])
def test_a_slug_that_is_not_seen_is_missing(slug: str) -> None:
    acme = make_organization("acme")
    make_organization("other")
    by = session(member(acme))

    with pytest.raises(Missing):
        visibility.organization(by, slug)
    assert visibility.organization(by, "acme") == acme


def test_the_only_organization_there_is_is_implied_for_all_who_see_it() -> None:
    acme = make_organization("acme")

    for by in (operator, session(make_superuser()), session(member(acme))):
        assert visibility.organization(by) == acme


def test_fleets_are_reached_from_above_at_them_and_below() -> None:
    acme = make_organization()
    fleets = {slug: make_fleet(acme, slug) for slug in ("a", "b", "c")}
    machine = make_machine(fleets["b"])
    viewer = frozenset({Scope.MACHINES_READ})
    cases = {"/": "abc", fleets["a"].path: "a", "/fleets/b/machines": "b", machine.path: "b", "/nodes": ""}

    for (path, reached), propagate in itertools.product(cases.items(), (True, False)):
        rights = PrincipalRights(entries=(Entry(path, viewer, "Viewer", propagate, "user"),))
        expected = "" if path == "/" and not propagate else reached
        assert sorted(visibility.Reach(acme.pk, rights).fleets) == list(expected)
