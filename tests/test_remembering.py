"""A remembered factory leaves what a real one leaves, and nothing is remembered where it could be another thing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings as of_the_product
from django.db import connection, transaction
from django.db.models import Model
from redis import Redis

from audit.models import OutboxRow
from config.edge import clock, context
from config.edge.redis import state
from fleets.models import Organization, User
from tests import factories, remembering, rows
from tests.describing import NotDescribed, described
from tests.factories import make_fleet, make_member, make_organization, make_person, make_token
from tests.tokens.conftest import World, make_world
from tests.tokens.owning import owning

pytestmark = pytest.mark.django_db
Call = Callable[[Organization], Any]

CALLS: dict[Callable[..., Any], Call] = {
    factories.make_person: lambda _: make_person(),
    factories.make_superuser: lambda _: factories.make_superuser(),
    factories.make_organization: lambda _: make_organization("globex"),
    factories.owner_of: factories.owner_of,
    factories.make_member: make_member,
    factories.make_fleet: make_fleet,
    factories.make_group: factories.make_group,
    factories.make_fleet_member: lambda acme: factories.make_fleet_member(make_fleet(acme), "manager"),
    factories.make_group_member: lambda acme: factories.make_group_member(factories.make_group(acme)),
    factories.make_application: factories.make_application,
    factories.make_application_member: lambda acme: factories.make_application_member(
        factories.make_application(acme)
    ),
    factories.make_technical_user: factories.make_technical_user,
    factories.make_machine: lambda acme: factories.make_machine(make_fleet(acme), tags=["a"]),
    factories.make_template: factories.make_template,
    factories.make_network: factories.make_network,
    factories.make_image: factories.make_image,
    factories.make_entry: lambda acme: factories.make_entry(
        acme, "/nodes", "Viewer", user=make_member(acme).user
    ),
    factories.make_role: lambda acme: factories.make_role(acme, "Reader", "machines:read"),
    factories.make_token: lambda acme: make_token(make_fleet(acme), "machines:read"),
    factories.make_approver: factories.make_approver,
    factories.need_approvals: factories.need_approvals,
    factories.begin_session: lambda acme: factories.begin_session(factories.owner_of(acme)),
    make_world: lambda _: make_world("globex"),
    owning: lambda _: owning(make_world("globex")),
}


def everything() -> dict[str, Any]:
    """All rows of all tables as they are stored, and all that Valkey holds."""
    stored: dict[str, Any] = {table: rows.read(table) for table in rows.primary_keys()}
    for url in (of_the_product.REDIS.cache, of_the_product.REDIS.state, of_the_product.REDIS.broker):
        with Redis.from_url(url) as valkey:
            stored[url] = {key: valkey.dump(key) for key in valkey.scan_iter()}
    return stored


def forget_valkey() -> None:
    for url in (of_the_product.REDIS.cache, of_the_product.REDIS.state, of_the_product.REDIS.broker):
        with Redis.from_url(url) as valkey:
            valkey.flushdb()


def undone(act: Callable[[], Any]) -> Any:
    """What it gives; the database and Valkey are as they were."""
    with transaction.atomic():
        given = act()
        transaction.set_rollback(True)
    forget_valkey()
    return given


def looked_at(call: Call) -> tuple[Any, Any, Any, int]:
    """What is stored after it, what it gives, how its argument is afterwards; and how many factories ran for real."""
    acme = make_organization("acme")
    factories.make_approver(acme)
    given, before = call(acme), remembering.watched()
    return everything(), described_all(given), described_all(acme), before


def described_all(value: Any) -> Any:
    return described(value, [], of_a_row=True)


@pytest.mark.parametrize("factory", CALLS, ids=lambda factory: factory.__name__)
def test_what_is_brought_back_equals_what_was_built_row_by_row(factory: Callable[..., Any]) -> None:
    remembering.forget()

    built = undone(lambda: looked_at(CALLS[factory]))
    brought_back = undone(lambda: looked_at(CALLS[factory]))

    assert built[3] > 0
    assert brought_back[3] == built[3]  # nothing ran for real again
    assert brought_back[:3] == built[:3]


def test_every_remembered_factory_is_tried_here() -> None:
    assert {factory.__name__ for factory in remembering.factories} == {call.__name__ for call in CALLS}


@pytest.mark.parametrize("factory", CALLS, ids=lambda factory: factory.__name__)
def test_what_is_built_after_it_collides_with_nothing_of_it(factory: Callable[..., Any]) -> None:
    """Numbers of rows, too, which sequences give, are never given twice."""
    undone(lambda: looked_at(CALLS[factory]))
    looked_at(CALLS[factory])
    stored = {table: rows.read(table) for table in rows.primary_keys()}

    with clock.at(clock.now() + timedelta(seconds=1)):  # for real
        other = make_organization("elsewhere")
        factories.make_approver(other)
        factories.need_approvals(other, never_allowed=False)
        made = make_token(make_fleet(other), "machines:read").token
        factories.make_request(other)
        factories.make_webhook(other)
        factories.make_entry(other, "/nodes", "Viewer", user=make_member(other).user)

    connection.check_constraints()
    assert made.pk not in stored["tokens_token"]
    for table, before in stored.items():
        assert before.items() <= rows.read(table).items(), table


def real(act: Callable[[], Any]) -> bool:
    """Whether the same act gives another row the second time, so that it was built."""
    first, second = undone(act), undone(act)
    return bool(first.pk != second.pk)


def test_the_same_call_on_the_same_content_is_brought_back() -> None:
    assert not real(lambda: make_organization("acme"))


def test_after_a_statement_that_writes_all_is_built() -> None:
    def act() -> Model:
        acme = make_organization("acme")
        User.objects.filter(pk=factories.owner_of(acme).pk).update(name="Somebody else")
        return make_fleet(acme)

    assert real(act)


def test_what_a_rolled_back_part_wrote_is_not_counted() -> None:
    def act() -> Model:
        acme = make_organization("acme")
        with transaction.atomic():
            make_fleet(acme, "gone")
            transaction.set_rollback(True)
        return make_member(acme)

    assert not real(act)


def test_a_rolled_back_part_takes_what_was_brought_back_with_it() -> None:
    undone(lambda: make_organization("acme"))

    with transaction.atomic():
        make_organization("acme")
        transaction.set_rollback(True)

    assert not Organization.objects.exists()
    make_organization("acme")
    assert Organization.objects.count() == 1


def test_another_argument_is_another_call() -> None:
    undone(lambda: make_organization("acme"))

    assert make_organization("acme", name="Other").name == "Other"


def test_an_argument_that_was_changed_in_memory_is_another_one() -> None:
    def act(name: str) -> Any:
        acme = make_organization("acme")
        acme.name = name
        return make_fleet(acme)

    first, second = undone(lambda: act("One")), undone(lambda: act("Two"))

    assert first.pk != second.pk
    assert second.organization.name == "Two"


def test_an_argument_is_left_as_the_factory_leaves_it() -> None:
    def act() -> Any:
        acme = make_organization("acme")
        place = make_member(acme)
        return place.organization is acme, place.user

    assert undone(act) == undone(act)
    assert undone(act)[0] is True


def test_where_the_clock_is_set_all_is_built() -> None:
    with clock.at(clock.now() + timedelta(days=1)):
        assert real(lambda: make_organization("acme"))


def test_at_another_time_all_is_built() -> None:
    with time_machine.travel(clock.now() - timedelta(days=1)):
        assert real(lambda: make_organization("acme"))


def test_in_a_request_all_is_built() -> None:
    with context.bound(context.RequestContext(address="192.0.2.1")):
        assert real(lambda: make_organization("acme"))


def test_with_other_settings_all_is_built(settings: Any) -> None:
    settings.DEBUG = True
    assert real(lambda: make_organization("acme"))


def test_where_a_part_is_replaced_all_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factories, "PASSWORD", "another")
    assert real(lambda: make_organization("acme"))


def test_where_statements_are_counted_all_is_built(django_assert_num_queries: Any) -> None:
    undone(lambda: make_person("ada"))
    with pytest.raises(pytest.fail.Exception), django_assert_num_queries(0):
        make_person("ada")


@pytest.mark.django_db(transaction=True)
def test_what_is_committed_is_built() -> None:
    before = remembering.watched()
    make_organization("acme")
    assert remembering.watched() == before


def test_a_secret_that_was_brought_back_is_the_token_s() -> None:
    def act() -> Any:
        return make_token(make_fleet(make_organization("acme")), "machines:read")

    built = undone(act)
    brought_back = act()

    assert brought_back.secret.reveal() == built.secret.reveal()
    assert factories.token_client(brought_back).get("/api/v1/machines/").status_code == 200


def test_versions_are_published_again() -> None:
    def act() -> dict[str, Any]:
        factories.make_role(make_organization("acme"), "Reader", "machines:read")
        return {str(key): state().get(key) for key in state().scan_iter("version:*")}

    built = undone(act)

    assert undone(act) == built
    assert built


def test_nothing_stays_owed_that_was_not() -> None:
    undone(lambda: make_member(make_organization("acme")))
    make_member(make_organization("acme"))

    assert not OutboxRow.objects.exists()


def test_a_test_that_builds_numbers_is_watched_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(remembering.MOST + 5):
        make_person()

    assert remembering.watched() == remembering.MOST + 1


@pytest.mark.parametrize("value", [clock.now(), lambda: 0, object(), [object()]])
def test_what_is_never_the_same_again_is_not_described(value: Any) -> None:
    with pytest.raises(NotDescribed):
        described(value, [])


def test_a_world_s_rows_stay_the_same_objects_in_what_is_built_on_it() -> None:
    def act() -> bool:
        world: World = make_world()
        return owning(world).people["owner"] is world.owner

    assert undone(act)
    assert undone(act)
