"""People found by name: without case, through the index, and only where they belong."""

import pytest
from django.db import connection

from fleets import membership
from fleets.models import User
from tests.factories import make_fleet, make_member, make_organization, make_person, make_token, operator

pytestmark = pytest.mark.django_db


def test_a_username_is_found_without_case_and_nothing_like_it() -> None:
    ada = make_person("Ada_B")
    make_person("AdaxB")

    assert [*User.objects.named("aDA_b")] == [ada]
    assert not User.objects.named("ada%").exists()


def test_a_username_is_looked_up_in_the_index_that_keeps_it_unique() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")

    assert "one_user_of_a_name" in User.objects.named("ada").explain()


def test_who_left_who_works_elsewhere_and_who_is_no_person_is_not_present() -> None:
    acme, other = make_organization("acme", owner=make_person("boss")), make_organization("other")
    ada, bob = make_member(acme, user=make_person("ada")), make_member(acme, user=make_person("bob"))
    make_member(other, user=ada.user)
    make_member(other, user=make_person("eve"))
    make_token(make_fleet(acme), "machines:read")
    membership.leave(bob, by=operator)

    present = User.objects.present_in(acme.pk)

    assert sorted(user.username for user in present) == ["ada", "boss"]
