"""Who lets a disabled token work again: whoever disables as more than its owner is not undone by the owner."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import Client

from config.edge import clock
from config.edge.access import Access
from config.edge.clock import now
from fleets import access, membership, organizations
from fleets.models import Organization, User
from tests.factories import (
    acting,
    events,
    fleet_member,
    last_event,
    make_application,
    make_entry,
    make_fleet,
    make_fleet_member,
    make_group,
    make_group_member,
    make_organization,
    make_technical_user,
    make_token,
    member,
    operator,
    session,
    session_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import outcome, present
from tokens import lifecycle, sweeps
from tokens.issuance import GrantWish, Issued
from tokens.kinds import Owner
from tokens.models import Token

HELD = "by_overseer"
REFUSED = "disabled_by_overseer"


def disabled(issued: Issued, by: Access) -> Token:
    lifecycle.disable(present(issued), reason="Look at it first", by=by)
    return present(issued)


def enabling(issued: Issued, by: Access) -> str:
    """What enabling answers; the token is disabled again as it was, whoever may."""
    before = present(issued)
    answer = outcome(lifecycle.enable, present(issued), by=by)
    after = present(issued)
    stood = (before.status, before.status_reason)
    assert (after.status, after.status_reason) == (("active", "") if answer == "done" else stood)
    Token.objects.filter(pk=before.pk).update(status=before.status, status_reason=before.status_reason)
    return answer


def of_person(world: World) -> tuple[Issued, User]:
    return make_token(world.manager, "machines:read"), world.manager


def of_fleet(world: World) -> tuple[Issued, User]:
    return make_token(world.edge, "machines:read"), world.manager


def of_group(world: World) -> tuple[Issued, User]:
    group = make_group(world.acme)
    make_entry(world.acme, "/nodes", "Viewer", group=group)
    return make_token(group, "machines:read"), make_group_member(group, "admin").user


def of_application(world: World) -> tuple[Issued, User]:
    application = make_application(world.acme)
    owner = member(world.acme)
    membership.join_application(application, user=owner, by=operator)
    return make_token(application, "machines:read"), owner


LISTS = {"person": of_person, "fleet": of_fleet, "group": of_group, "application": of_application}
Made = Callable[[World], tuple[Issued, User]]


@pytest.mark.parametrize("made", LISTS.values(), ids=LISTS)
def test_what_an_admin_disabled_only_who_oversees_the_organizations_tokens_enables(
    world: World, made: Made
) -> None:
    issued, theirs = made(world)

    token = disabled(issued, session(world.admin))

    assert (token.status, token.status_reason) == ("disabled", HELD)
    assert last_event(action="token.disabled").data == {"status_reason": HELD}
    assert enabling(issued, session(theirs)) == REFUSED
    assert events(action="token.enabled") == ["token.enabled denied"]
    assert enabling(issued, session(world.auditor)) == "forbidden"
    for by in (session(world.admin), session(world.owner), operator):
        assert enabling(issued, by) == "done"


@pytest.mark.parametrize("made", LISTS.values(), ids=LISTS)
def test_what_its_own_people_disabled_they_enable_and_so_does_an_admin(world: World, made: Made) -> None:
    issued, theirs = made(world)

    token = disabled(issued, session(theirs))

    assert (token.status, token.status_reason) == ("disabled", "")
    assert last_event(action="token.disabled").data == {}
    for by in (session(theirs), session(world.admin)):
        assert enabling(issued, by) == "done"


@pytest.mark.parametrize("made", LISTS.values(), ids=LISTS)
def test_the_operator_and_who_may_do_everything_are_more_than_its_owner(world: World, made: Made) -> None:
    issued, theirs = made(world)

    assert disabled(issued, operator).status_reason == HELD
    assert enabling(issued, session(theirs)) == REFUSED


def test_another_manager_of_the_fleet_is_its_own_people_too(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    disabled(issued, session(world.manager))

    assert enabling(issued, session(fleet_member(world.edge, "manager"))) == "done"


def test_admins_are_their_own_people_where_the_token_is_theirs(world: World) -> None:
    """Nobody is held back by what they did to themselves; nor an owner of the organization by its admin."""
    own, of_owner = make_token(world.admin, "machines:read"), make_token(world.owner, "machines:read")

    assert disabled(own, session(world.admin)).status_reason == ""
    assert disabled(of_owner, session(world.admin)).status_reason == HELD

    assert enabling(own, session(world.admin)) == "done"
    assert enabling(of_owner, session(world.owner)) == "done"


def test_an_admin_who_also_leads_the_group_disables_as_an_admin(world: World) -> None:
    issued, leader = of_group(world)
    group = issued.token.owner_group
    assert group is not None
    make_group_member(group, "admin", user=world.admin)

    assert disabled(issued, session(world.admin)).status_reason == HELD
    assert enabling(issued, session(leader)) == REFUSED


def test_a_manager_who_joins_a_fleet_gains_nothing_over_what_an_admin_disabled(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    disabled(issued, session(world.admin))
    make_fleet_member(world.core, "manager", user=world.manager)

    assert enabling(issued, session(world.manager)) == REFUSED


def test_a_token_stands_where_its_intersection_lets_it(world: World) -> None:
    """An admin's token that manages tokens everywhere is more than a fleet's people; one for the fleet alone is not."""
    everywhere = make_token(world.owner, "tokens:manage", "tokens:read")
    there = make_token(
        world.owner, "tokens:manage", "tokens:read", grants=(GrantWish(world.edge.path, "Administrator"),)
    )
    held, loose = make_token(world.edge, "machines:read"), make_token(world.edge, "machines:read")

    assert disabled(held, acting(everywhere)).status_reason == HELD
    assert disabled(loose, acting(there)).status_reason == ""

    assert enabling(held, acting(there)) == REFUSED
    assert enabling(held, acting(everywhere)) == "done"
    assert enabling(loose, acting(there)) == "done"


@pytest.mark.parametrize("owner", ["organization", "technical user"])
def test_where_only_admins_manage_nobody_is_above_them(world: World, owner: str) -> None:
    whose: Organization | User = world.acme if owner == "organization" else make_technical_user(world.acme)
    issued = make_token(whose, "machines:read")

    assert disabled(issued, session(world.admin)).status_reason == ""
    assert enabling(issued, session(world.owner)) == "done"


def test_what_nobody_used_is_its_owners_to_enable(world: World) -> None:
    organizations.set_policy(world.acme, changes={"unused_limit_days": 30}, by=operator)
    issued = make_token(world.manager, "machines:read")
    with clock.at(now() + timedelta(days=31)):
        assert sweeps.disable_unused() == 1

    token = present(issued)
    assert (token.status, token.status_reason) == ("disabled", "unused")
    assert enabling(issued, session(world.manager)) == "done"


def test_a_refused_enabling_is_a_403_that_says_so_and_the_token_shows_why(world: World) -> None:
    issued = make_token(world.manager, "machines:read")
    admin, owner = session_client(world.admin), session_client(world.manager)
    address = f"/api/v1/tokens/{issued.token.pk}/"
    assert admin.post(f"{address}disable/", {}).json()["status_reason"] == HELD

    refused = owner.post(f"{address}enable/", {})

    assert (refused.status_code, refused.json()["code"]) == (403, REFUSED)
    shown = owner.get(address).json()
    assert (shown["status"], shown["status_reason"]) == ("disabled", HELD)
    enabled = admin.post(f"{address}enable/", {})
    assert (enabled.status_code, enabled.json()["status_reason"]) == (200, None)


def test_the_page_says_who_disabled_it_and_offers_enabling_to_who_may(world: World) -> None:
    issued = make_token(world.manager, "machines:read")
    disabled(issued, session(world.admin))
    address = f"/admin/tokens/token/{issued.token.pk}/"
    pages = {}
    for user in (world.manager, world.admin):
        client = Client()
        client.force_login(user)
        pages[user] = client.get(f"{address}change/").content.decode()

    assert all("from above its owner" in page for page in pages.values())
    assert {user: f"{address}enable/" in page for user, page in pages.items()} == {
        world.manager: False,
        world.admin: True,
    }


def test_what_was_disabled_from_above_stays_so_through_an_edit_and_a_rotation(world: World) -> None:
    issued = make_token(world.manager, "machines:read", "snapshots:read")
    disabled(issued, session(world.admin))

    lifecycle.edit(present(issued), change=lifecycle.Edit(description="mine"), by=session(world.manager))
    lifecycle.rotate(present(issued), by=session(world.manager))

    assert enabling(issued, session(world.manager)) == REFUSED


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "active", "status_reason": HELD},
        {"status": "pending", "status_reason": "unused"},
        {"status": "disabled", "status_reason": "by_hand"},
        {"status": "disabled", "status_reason": "owner_left"},
    ],
)
def test_no_row_says_of_a_status_what_is_no_reason_for_it(world: World, fields: dict[str, Any]) -> None:
    issued = make_token(world.edge, "machines:read")

    with pytest.raises(IntegrityError, match="an_ended_token_says_why"), transaction.atomic():
        Token.objects.filter(pk=issued.token.pk).update(**fields)


# What was disabled before anybody noted by whom


@pytest.mark.django_db(transaction=True)
def test_the_trail_tells_who_disabled_what_was_disabled_before() -> None:
    acme = make_organization("acme")
    admin, ada = member(acme, "admin"), member(acme)
    edge = make_fleet(acme, "edge")
    bot = make_technical_user(acme)
    make_fleet_member(edge, "manager", user=ada)
    verbs: dict[str, tuple[Owner, Callable[[Token], Any]]] = {
        "by its owner": (ada, lambda token: lifecycle.disable(token, by=session(ada))),
        "by the operator": (
            ada,
            lambda token: lifecycle.disable(token, by=access.operator("root@host", on_behalf_of=ada)),
        ),
        "by an admin": (ada, lambda token: lifecycle.disable(token, by=session(admin))),
        "again": (ada, lambda token: lifecycle.disable(token, by=session(admin))),
        "for disuse": (ada, lambda token: lifecycle.disable(token, by=access.system("timers"))),
        "unknown": (ada, lambda token: Token.objects.filter(pk=token.pk).update(status="disabled")),
        "of a fleet": (edge, lambda token: lifecycle.disable(token, by=session(ada))),
        "of a technical user": (bot, lambda token: lifecycle.disable(token, by=session(admin))),
        "in use": (ada, lambda token: token),
        "ended": (ada, lambda token: lifecycle.revoke(token, by=session(ada))),
    }
    made = {name: make_token(owner, "machines:read") for name, (owner, _) in verbs.items()}
    for name, (_, verb) in verbs.items():
        verb(Token.objects.get(pk=made[name].token.pk))
    lifecycle.enable(present(made["again"]), by=session(admin))
    lifecycle.disable(present(made["again"]), by=session(ada))
    MigrationExecutor(connection).migrate([("tokens", "0004_who_was_shown")])
    assert set(Token.objects.filter(status="disabled").values_list("status_reason", flat=True)) == {""}

    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())

    assert {name: present(issued).status_reason for name, issued in made.items()} == {
        "by its owner": "",
        "by the operator": HELD,
        "by an admin": HELD,
        "again": "",
        "for disuse": "unused",
        "unknown": HELD,
        "of a fleet": HELD,
        "of a technical user": "",
        "in use": "",
        "ended": "by_hand",
    }
