"""For whom somebody may issue tokens, as "New token" asks."""

from typing import Any

import pytest

from fleets import membership, owners, technical_users
from tests.factories import (
    make_application,
    make_application_member,
    make_fleet,
    make_fleet_member,
    make_group,
    make_group_member,
    make_organization,
    make_person,
    make_superuser,
    make_technical_user,
    operator,
    session,
)
from tokens.admin.choices import owner_choices

pytestmark = pytest.mark.django_db


def test_who_leads_something_issues_for_themselves_and_for_that_alone() -> None:
    acme, globex = make_organization("acme"), make_organization("globex")
    person = make_person("ada")
    for place in (acme, globex):
        membership.join(place, user=person, role="member", by=operator)
        make_technical_user(place)
    edge, ops, shop = make_fleet(acme, "edge"), make_group(acme, "ops"), make_application(globex, "shop")
    make_fleet_member(edge, "manager", user=person)
    make_fleet_member(make_fleet(acme, "seen"), "viewer", user=person)
    make_fleet_member(make_fleet(globex, "edge"), "viewer", user=person)
    make_group_member(ops, "admin", user=person)
    make_group_member(make_group(acme, "used"), "user", user=person)
    make_group(globex, "ops")
    make_application_member(shop, user=person)
    make_application(acme, "shop")
    make_group_member(make_group(make_organization("elsewhere"), "ops"), "admin")

    keys = [choice.key for choice in owner_choices(session(person))]

    assert keys == ["acme/me", "acme/fleet:edge", "acme/group:ops", "globex/me", "globex/application:shop"]


def test_who_was_suspended_somewhere_issues_nothing_for_what_they_led_there() -> None:
    acme, person = make_organization("acme"), make_person("ada")
    place = membership.join(acme, user=person, role="member", by=operator)
    make_group_member(make_group(acme, "ops"), "admin", user=person)
    before = [choice.key for choice in owner_choices(session(person))]

    membership.suspend(place, by=operator)

    assert before == ["acme/me", "acme/group:ops"]
    assert owner_choices(session(person)) == []


@pytest.mark.parametrize("organizations", [1, 3])
def test_who_oversees_issues_for_all_that_is_there_in_as_many_queries_for_any_number_of_organizations(
    organizations: int, django_assert_num_queries: Any
) -> None:
    root = make_superuser()
    expected = []
    for number in range(organizations):
        place = make_organization(f"org-{number}")
        make_fleet(place, "edge")
        make_group(place, "ops")
        make_application(place, "shop")
        make_technical_user(place, f"bot-{number}")
        owners.close_fleet(make_fleet(place, "gone"), by=operator)
        owners.close_group(make_group(place, "gone"), by=operator)
        technical_users.remove(make_technical_user(place).technical, by=operator)
        names = ["fleet:edge", "group:ops", "application:shop", f"technical:bot-{number}"]
        expected += [f"{place.slug}/{owner}" for owner in (*names, f"organization:{place.slug}")]

    with django_assert_num_queries(8):  # one of them asks for the session
        keys = [choice.key for choice in owner_choices(session(root))]

    assert keys == expected
