"""Peppers: which one digests, and that a missing or wrong one seals the house instead of calling tokens invalid."""

from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from config.edge.refusals import Unavailable
from tests.factories import make_token, operator, token_client
from tests.tokens.conftest import World
from tests.tokens.issuing import present
from tokens import lifecycle, peppers, secret
from tokens.models import PepperCheck, Token, TokenSecret

pytestmark = pytest.mark.django_db
ONE, TWO = bytes(range(32)), bytes(range(32, 64))
WHOAMI = "/api/v1/whoami/"


@pytest.fixture(autouse=True)
def _fresh(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has proven nothing yet, with one pepper."""
    settings.PEPPERS = {1: ONE}
    monkeypatch.setattr(peppers, "_proven", {})


def test_the_highest_number_digests_and_only_what_is_used_is_remembered(settings: Any) -> None:
    settings.PEPPERS = {2: TWO, 1: ONE}

    assert peppers.for_a_new_secret() == (2, TWO)
    assert peppers.pepper(1) == ONE
    assert set(PepperCheck.objects.values_list("pepper_id", flat=True)) == {2}


def test_a_pepper_that_is_not_the_databases_is_refused_and_changes_nothing(settings: Any) -> None:
    peppers.for_a_new_secret()
    kept = bytes(PepperCheck.objects.get(pepper_id=1).check_value)
    peppers._proven.clear()
    settings.PEPPERS = {1: TWO}

    with pytest.raises(Unavailable) as refused:
        peppers.for_a_new_secret()

    assert refused.value.code == "sealed"
    assert bytes(PepperCheck.objects.get(pepper_id=1).check_value) == kept
    settings.PEPPERS = {1: ONE}
    assert peppers.for_a_new_secret() == (1, ONE)


def test_a_pepper_whose_check_value_was_rolled_back_is_not_proven(settings: Any) -> None:
    with transaction.atomic():
        peppers.for_a_new_secret()
        transaction.set_rollback(True)
    settings.PEPPERS = {1: TWO}
    peppers.for_a_new_secret()  # the first that is kept is the database's
    settings.PEPPERS = {1: ONE}

    with pytest.raises(Unavailable):
        peppers.for_a_new_secret()


def test_neither_readiness_nor_a_stranger_makes_a_mistyped_pepper_the_databases(settings: Any) -> None:
    settings.PEPPERS = {1: TWO}

    assert Client().get("/readyz").status_code == 200
    unknown = secret.generate("fleet", secret.generate_id())
    assert Client().get(WHOAMI, headers={"x-auth-token": unknown}).status_code == 401

    assert not PepperCheck.objects.exists()
    settings.PEPPERS = {1: ONE}
    assert peppers.for_a_new_secret() == (1, ONE)


def test_a_proven_pepper_costs_no_query(django_assert_num_queries: Any) -> None:
    peppers.for_a_new_secret()
    peppers.newest()

    with django_assert_num_queries(0):
        assert peppers.newest() == (1, ONE)


def test_the_house_is_sealed_rather_than_every_token_invalid(world: World, settings: Any) -> None:
    issued = make_token(world.edge, "machines:read")
    client = token_client(issued)
    assert client.get(WHOAMI).status_code == 200

    for wrong in ({1: TWO}, {2: TWO}):
        peppers._proven.clear()
        settings.PEPPERS = wrong
        response = client.get(WHOAMI)
        assert (response.status_code, response.json()["code"]) == (503, "sealed")

    peppers._proven.clear()
    settings.PEPPERS = {1: ONE}
    assert client.get(WHOAMI).status_code == 200


def test_a_sealed_house_issues_nothing(world: World, settings: Any) -> None:
    make_token(world.edge, "machines:read")
    peppers._proven.clear()
    settings.PEPPERS = {1: TWO}

    with pytest.raises(Unavailable):
        make_token(world.edge, "machines:read")

    assert (Token.objects.count(), TokenSecret.objects.count()) == (1, 1)


def test_a_new_pepper_digests_new_secrets_and_the_old_one_still_knows_its_own(
    world: World, settings: Any
) -> None:
    old = make_token(world.edge, "machines:read")
    settings.PEPPERS = {1: ONE, 2: TWO}

    new = make_token(world.edge, "machines:read")
    rotated = lifecycle.rotate(present(old), by=operator)

    used = dict(TokenSecret.objects.values_list("token__name", "pepper_id").order_by("generation"))
    assert used == {old.token.name: 2, new.token.name: 2}
    assert [token_client(one).get(WHOAMI).status_code for one in (old, new, rotated)] == [401, 200, 200]


@pytest.mark.parametrize(
    ("configured", "problem"),
    [
        ({1: ONE}, None),
        ({1: ONE, 2: TWO}, None),
        ({2: TWO}, "not configured: [1]"),
        ({1: TWO}, "A pepper is not the one that this database was used with."),
    ],
)
def test_readiness_says_what_is_wrong_with_the_peppers_and_nothing_of_the_keys(
    settings: Any, configured: dict[int, bytes], problem: str | None
) -> None:
    peppers.for_a_new_secret()
    peppers._proven.clear()
    settings.PEPPERS = configured

    assert peppers.problem() == problem
