"""Verification: what a call costs and leaves behind, and how a token follows what its owner may do now."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from audit.models import Event
from config.edge import clock
from config.edge.clock import now
from fleets import machines as estate
from fleets import membership
from fleets.models import AclEntry, Fleet, FleetMembership, Machine, Membership, User
from tests.factories import (
    API,
    acting,
    events,
    fleet_member,
    last_event,
    make_entry,
    make_fleet_member,
    make_machine,
    make_member,
    make_superuser,
    make_token,
    operator,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import present, with_status
from tokens import lifecycle, secret, verification
from tokens.credentials import Credential, extract
from tokens.decision import Ask, Denial, Verdict
from tokens.issuance import GrantWish, Issued
from tokens.models import Token, TokenSecret
from tokens.verification import CredentialRefused

WHOAMI = f"{API}whoami/"
MACHINES = f"{API}machines/"


def credential(text: str) -> Credential:
    found = extract({"HTTP_X_AUTH_TOKEN": text})
    assert isinstance(found, Credential)
    return found


def ask(**fields: Any) -> Ask:
    return Ask(**{"scope": None, "path": None, "now": now(), **fields})


def answer(issued: Issued, path: str = WHOAMI) -> str:
    """The status of a call, with the code of its refusal."""
    response = token_client(issued).get(path)
    return (
        str(response.status_code)
        if response.status_code < 400
        else f"{response.status_code} {response.json()['code']}"
    )


def seen(issued: Issued) -> list[str]:
    """The names of the machines that the token lists."""
    return sorted(machine["name"] for machine in token_client(issued).get(MACHINES).json()["results"])


# What a call costs


def cost(issued: Issued) -> int:
    make = credential(issued.secret.reveal())
    with CaptureQueriesContext(
        connection,
    ) as queries:
        _, verdict = verification.verify(make, ask())
    assert verdict.is_allowed
    return len(queries)


def test_a_verification_asks_the_database_as_often_for_much_as_for_little(world: World) -> None:
    make_token(world.edge, "machines:read")  # proves the pepper
    small = make_token(world.edge, "machines:read")
    rows = tuple(GrantWish(make_machine(world.edge).path, "Operator") for _ in range(20))
    large = make_token(world.edge, "machines:read", "machines:operate", "snapshots:read", grants=rows)
    lifecycle.rotate(present(large), overlap=timedelta(hours=1), by=operator)

    assert cost(small) == 8
    assert cost(large) == 9  # the machines that rows name


def test_a_persons_token_costs_no_more_for_many_fleets_and_groups(world: World) -> None:
    make_token(world.edge, "machines:read")
    plain = make_token(fleet_member(world.edge), "machines:read")
    busy = make_token(world.manager, "machines:read")
    make_fleet_member(world.core, user=world.manager)
    for number in range(10):
        make_entry(world.acme, f"/nodes/n{number}", "Viewer", user=world.manager)

    assert cost(plain) == 9
    assert cost(busy) == 9


def test_a_call_writes_its_event_and_at_most_once_a_minute_the_last_use(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    proven, _ = verification.verify(credential(issued.secret.reveal()), ask())
    assert proven is not None

    def writes() -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            verification.record_use(proven, scope=None, path=None)
        return [
            query["sql"].split()[0] for query in queries if query["sql"].split()[0] in ("INSERT", "UPDATE")
        ]

    assert writes() == ["INSERT", "UPDATE", "UPDATE"]
    assert writes() == ["INSERT"]


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("", 0),
        ("nonsense", 0),
        ("thf_" + "A" * 55, 0),  # a wrong checksum
        (secret.generate("fleet", "0" * 16), 1),
    ],
)
def test_what_no_token_is_costs_next_to_nothing_and_is_one_answer(
    world: World, text: str, queries: int
) -> None:
    make_token(world.edge, "machines:read")
    known = make_token(world.edge, "machines:read")
    before = Event.objects.count()

    with CaptureQueriesContext(connection) as asked:
        outcome = verification.verify(credential(text), ask())

    assert outcome == (None, Verdict(Denial.TOKEN_INVALID))
    assert len(asked) == queries
    wrong = secret.generate("fleet", known.token.pk)
    with CaptureQueriesContext(connection) as asked:
        assert verification.verify(credential(wrong), ask()) == outcome
    assert len(asked) == 1
    assert Event.objects.count() == before


def test_no_credential_and_several_are_answers_of_their_own(world: World) -> None:
    assert verification.verify(None, ask())[1].denial == Denial.CREDENTIAL_MISSING
    several = extract({"HTTP_AUTHORIZATION": "Bearer x", "HTTP_X_AUTH_TOKEN": "x"})
    assert verification.verify(several, ask())[1].denial == Denial.MULTIPLE_CREDENTIALS


# What a call leaves behind


@pytest.mark.parametrize(
    ("method", "path", "status", "recorded"),
    [
        ("get", WHOAMI, 200, ["token.used allowed"]),
        ("get", f"{API}token/", 200, ["token.used allowed"]),
        ("get", f"{API}token/permissions/", 200, ["token.used allowed"]),
        ("get", MACHINES, 200, ["token.used allowed"]),
        ("post", MACHINES, 403, ["token.denied denied"]),
        ("get", f"{API}tokens/", 403, ["token.denied denied"]),
        ("get", f"{API}token/permissions/?path=nonsense", 400, ["token.used allowed"]),
    ],
)
def test_each_call_is_one_event_of_its_token(
    world: World, method: str, path: str, status: int, recorded: list[str]
) -> None:
    issued = make_token(world.edge, "machines:read")

    response = getattr(token_client(issued), method)(path)

    assert response.status_code == status
    assert events(actor_type="token") == recorded
    event = last_event(actor_type="token")
    assert (event.actor_id, event.target_id) == (issued.token.pk, issued.token.pk)
    assert (event.on_behalf_of_id, event.organization_id) == (str(issued.token.principal_id), world.acme.pk)
    assert event.request_id == response["X-Request-ID"]
    assert (event.data["method"], event.data["generation"]) == (method.upper(), 1)


def test_an_event_says_what_was_asked(world: World) -> None:
    issued = make_token(world.edge, "machines:read", "machines:write")
    client = token_client(issued)

    client.get(f"{MACHINES}{world.edge_1.pk}/")
    assert last_event().data["scope"] == "machines:read"
    assert last_event().data["path"] == world.edge_1.path

    client.patch(f"{MACHINES}{world.edge_1.pk}/configuration/", {"cpus": 2})
    assert (last_event().action, last_event().reason) == ("token.denied", "insufficient_scope")
    assert last_event().data["scope"] == "machines:configure"


def test_the_last_use_is_kept_with_its_address_at_most_once_a_minute(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    start = now()

    def use(seconds: int, address: str) -> tuple[float, str | None]:
        with clock.at(start + timedelta(seconds=seconds)):
            token_client(issued).get(WHOAMI, REMOTE_ADDR=address)
        token, generation = present(issued), TokenSecret.objects.get(token=issued.token)
        assert token.last_used_at is not None
        assert (generation.last_used_at, generation.last_used_address) == (
            token.last_used_at,
            token.last_used_address,
        )
        return round((token.last_used_at - start).total_seconds()), token.last_used_address

    assert use(0, "192.0.2.1") == (0, "192.0.2.1")
    assert use(50, "192.0.2.2") == (0, "192.0.2.1")
    assert use(70, "192.0.2.2") == (70, "192.0.2.2")
    assert use(80, "192.0.2.3") == (70, "192.0.2.2")
    assert use(-300, "192.0.2.4") == (70, "192.0.2.2")
    assert len(events(action="token.used")) == 5


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("active", None),
        ("revoked", "token_revoked"),
        ("rejected", "token_rejected"),
        ("pending", "token_pending"),
        ("expired", "token_expired"),
        ("disabled", "token_disabled"),
    ],
)
def test_a_status_is_said_to_who_has_the_secret_recorded_and_told_to_nobody_else(
    world: World, status: str, code: str | None
) -> None:
    issued = with_status(world.edge, status)
    guess = secret.generate("fleet", issued.token.pk)

    response = token_client(issued).get(WHOAMI)
    guessed = APIClient(headers={"x-auth-token": guess}).get(WHOAMI)

    assert guessed.json()["code"] == "token_invalid"
    if code is None:
        assert response.status_code == 200
        assert events(actor_type="token") == ["token.used allowed"]
        return
    assert (response.status_code, response.json()["code"]) == (401, code)
    assert response["WWW-Authenticate"] == (
        f'Bearer realm="tokenhouse", error="invalid_token", error_description="{code}"'
    )
    assert events(actor_type="token") == ["token.denied denied"]
    assert last_event().reason == code
    assert present(issued).last_used_at is None


def test_a_secret_that_was_rotated_away_is_no_secret_but_its_use_is_recorded(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    lifecycle.rotate(present(issued), by=operator)

    response = token_client(issued).get(WHOAMI)

    unknown = APIClient(headers={"x-auth-token": secret.generate("fleet", "0" * 16)}).get(WHOAMI)
    assert (response.status_code, response.json()["code"]) == (401, "token_invalid")
    assert response.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}
    assert response["WWW-Authenticate"] == unknown["WWW-Authenticate"]
    assert events(actor_type="token") == ["token.denied denied"]
    event = last_event(actor_type="token")
    assert (event.reason, event.data["generation"]) == ("token_invalid", 1)


def test_an_old_secret_of_a_token_that_was_ended_is_recognised(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    lifecycle.rotate(present(issued), by=operator)
    lifecycle.revoke(present(issued), by=operator)

    assert answer(issued) == "401 token_revoked"


@pytest.mark.parametrize(
    ("principal", "name", "status"),
    [
        ("{principal}", "{name}", 200),
        ("{PRINCIPAL}", "{NAME}", 200),
        ("{principal}", "other", 401),
        ("other", "{name}", 401),
    ],
)
def test_the_carrier_that_names_principal_and_token_names_them_right(
    world: World, principal: str, name: str, status: int
) -> None:
    issued = make_token(world.edge, "machines:read")
    words = {"principal": issued.token.principal.username, "name": issued.token.name}
    words |= {key.upper(): value.upper() for key, value in words.items()}
    value = f"PVEAPIToken={principal.format(**words)}!{name.format(**words)}={issued.secret.reveal()}"

    response = APIClient(headers={"authorization": value}).get(WHOAMI)

    assert response.status_code == status
    if status == 401:
        assert response.json()["code"] == "token_invalid"
        assert events(actor_type="token") == ["token.denied denied"]


# A token that ends while it acts


def test_a_token_that_ended_meanwhile_changes_nothing_and_the_trail_says_so(world: World) -> None:
    issued = make_token(world.edge, "machines:read", "machines:write")
    by = acting(issued)
    Token.objects.filter(pk=issued.token.pk).update(status="disabled")

    with pytest.raises(CredentialRefused) as refused:
        estate.register(world.edge, name="late", by=by)

    assert refused.value.denial == Denial.TOKEN_DISABLED
    by.settle()  # type: ignore[attr-defined]
    assert not Machine.objects.filter(name="late").exists()
    assert events(actor_type="token") == ["token.denied denied"]
    assert last_event().reason == "token_disabled"


def test_a_secret_that_was_rotated_away_meanwhile_changes_nothing(world: World) -> None:
    issued = make_token(world.edge, "machines:read", "machines:write")
    by = acting(issued)
    lifecycle.rotate(present(issued), by=operator)

    with pytest.raises(CredentialRefused):
        estate.register(world.edge, name="late", by=by)

    assert not Machine.objects.filter(name="late").exists()


# A token follows its owner


def test_leaving_a_fleet_narrows_the_own_token_at_the_next_call(world: World) -> None:
    make_fleet_member(world.core, "viewer", user=world.manager)
    issued = make_token(world.manager, "machines:read")
    assert seen(issued) == ["core-1", "edge-1", "edge-2"]

    membership.leave_fleet(FleetMembership.objects.get(user=world.manager, fleet=world.edge), by=operator)

    assert seen(issued) == ["core-1"]
    assert answer(issued, f"{MACHINES}{world.edge_1.pk}/") == "404 not_found"
    assert present(issued).status == "active"


def test_a_lesser_role_narrows_the_own_token_at_the_next_call(world: World) -> None:
    issued = make_token(world.manager, "machines:read", "machines:write")
    register = {"fleet": "edge", "name": "new"}
    assert token_client(issued).post(MACHINES, register).status_code == 201
    place = FleetMembership.objects.get(user=world.manager)

    membership.change_fleet_role(place, role="viewer", by=operator)

    assert token_client(issued).post(MACHINES, register | {"name": "newer"}).status_code == 403
    assert seen(issued) == ["edge-1", "edge-2", "new"]


def test_an_entry_that_denies_narrows_and_its_removal_restores(world: World) -> None:
    issued = make_token(world.manager, "machines:read")
    make_entry(world.acme, world.edge_1.path, "NoAccess", user=world.manager)

    assert seen(issued) == ["edge-2"]
    AclEntry.objects.all().delete()
    assert seen(issued) == ["edge-1", "edge-2"]


def test_leaving_the_organization_ends_the_own_token_for_ever(world: World) -> None:
    own = make_token(world.manager, "machines:read")
    fleets = make_token(world.edge, "machines:read")
    Token.objects.filter(pk=fleets.token.pk).update(created_by=world.manager)

    membership.leave(Membership.objects.get(user=world.manager), by=operator)

    assert answer(own) == "401 token_revoked"
    assert seen(fleets) == ["edge-1", "edge-2"], "its creator is history, never authority"

    make_member(world.acme, "owner", user=world.manager)
    make_fleet_member(world.edge, "manager", user=world.manager)

    assert answer(own) == "401 token_revoked"
    assert (present(own).status, present(own).status_reason) == ("revoked", "owner_left")


def test_a_suspended_persons_token_refuses_and_comes_back_with_them(world: World) -> None:
    own, fleets = make_token(world.manager, "machines:read"), make_token(world.edge, "machines:read")
    place = Membership.objects.get(user=world.manager)

    membership.suspend(place, by=operator)
    assert answer(own) == "401 owner_inactive"
    assert last_event(actor_type="token").reason == "owner_inactive"
    assert answer(fleets) == "200"

    membership.resume(Membership.objects.get(pk=place.pk), by=operator)
    assert answer(own) == "200"
    assert seen(own) == ["edge-1", "edge-2"]


@pytest.mark.parametrize("fields", [{"is_active": False}, {"expires_at": now()}])
def test_the_token_of_an_account_that_is_closed_or_over_refuses(world: World, fields: dict[str, Any]) -> None:
    issued = make_token(world.manager, "machines:read")
    assert answer(issued) == "200"

    User.objects.filter(pk=world.manager.pk).update(**fields)

    assert answer(issued) == "401 owner_inactive"


def test_a_fleets_token_refuses_while_its_technical_user_or_fleet_is_closed(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    User.objects.filter(pk=issued.token.principal_id).update(is_active=False)
    assert answer(issued) == "401 owner_inactive"

    User.objects.filter(pk=issued.token.principal_id).update(is_active=True)
    assert answer(issued) == "200"
    Fleet.objects.filter(pk=world.edge.pk).update(closed_at=now())
    assert answer(issued) == "401 owner_inactive"


# Separation


def test_an_unseparated_token_goes_by_its_person_up_to_its_ceiling(world: World) -> None:
    issued = make_token(world.manager, "machines:read", privilege_separation=False)
    assert seen(issued) == ["edge-1", "edge-2"]

    make_fleet_member(world.core, "manager", user=world.manager)

    assert seen(issued) == ["core-1", "edge-1", "edge-2"]
    assert token_client(issued).post(MACHINES, {"fleet": "core", "name": "new"}).status_code == 403


def test_a_separated_token_gains_nothing_beyond_its_rows(world: World) -> None:
    issued = make_token(world.manager, "machines:read", grants=(GrantWish("/fleets/edge", "Viewer"),))

    make_fleet_member(world.core, "manager", user=world.manager)

    assert seen(issued) == ["edge-1", "edge-2"]


def test_a_token_without_rows_can_do_nothing(world: World) -> None:
    issued = make_token(world.edge, "machines:read", grants=())

    assert answer(issued) == "200"
    assert seen(issued) == []
    assert answer(issued, f"{MACHINES}{world.edge_1.pk}/") == "404 not_found"


def test_an_owner_whose_role_grows_gives_a_token_nothing_beyond_its_ceiling(world: World) -> None:
    issued = make_token(world.manager, "machines:read", privilege_separation=False)

    membership.change_role(Membership.objects.get(user=world.manager), role="owner", by=operator)

    rights = acting(issued).rights(world.acme.pk)
    assert rights.at("/") == {"machines:read"}
    assert rights.at("/fleets/core") == {"machines:read"}


# Superusers


def test_a_superusers_token_holds_what_it_says_in_its_own_organization_only(
    world: World, other: Fleet
) -> None:
    root = make_superuser()
    make_member(world.acme, user=root)
    wide = make_token(root, "machines:read", organization=world.acme, privilege_separation=False)
    narrow = make_token(
        root, "machines:read", organization=world.acme, grants=(GrantWish("/fleets/core", "Viewer"),)
    )
    foreign = make_machine(other)

    assert seen(wide) == ["core-1", "edge-1", "edge-2"]
    assert seen(narrow) == ["core-1"]
    assert acting(wide).organization_ids() == {world.acme.pk}
    assert not acting(wide).rights(other.organization_id).at("/")
    assert answer(wide, f"{MACHINES}{foreign.pk}/") == "404 not_found"
    assert answer(wide, f"{MACHINES}?organization=globex") == "404 not_found"


def test_a_superusers_token_lives_by_a_membership(world: World) -> None:
    root = make_superuser()
    place = make_member(world.acme, user=root)
    issued = make_token(root, "machines:read", organization=world.acme)

    membership.suspend(place, by=operator)
    assert answer(issued) == "401 owner_inactive"
    membership.leave(Membership.objects.get(pk=place.pk), by=operator)
    assert answer(issued) == "401 token_revoked"


def test_a_superuser_no_longer_is_a_member_like_others(world: World) -> None:
    root = make_superuser()
    make_member(world.acme, user=root)
    issued = make_token(root, "machines:read", organization=world.acme, privilege_separation=False)

    User.objects.filter(pk=root.pk).update(is_superuser=False)

    assert answer(issued) == "200"
    assert seen(issued) == []
    assert answer(issued, f"{MACHINES}{world.edge_1.pk}/") == "404 not_found"


# Machines that come and go


def test_a_token_for_a_machine_reaches_no_later_one_of_its_name_or_vmid(world: World) -> None:
    machine = make_machine(world.edge, "worker", vmid=100)
    issued = make_token(world.edge, "machines:read", machines=[machine])
    lasting = make_token(world.edge, "machines:read", machines=[machine, world.edge_2])
    gate = "/gate/verify?organization=acme&scope=machines:read&path="
    assert token_client(issued).get(f"{gate}/vms/100").status_code == 204
    assert seen(issued) == ["worker"]

    estate.deregister(machine, by=operator)
    later = make_machine(world.edge, "worker", vmid=100)

    assert answer(issued, f"{MACHINES}{later.pk}/") == "404 not_found"
    assert answer(issued, f"{MACHINES}{machine.pk}/") == "404 not_found"
    for path in ("/vms/100", later.path, machine.path, "/fleets/edge"):
        assert token_client(issued).get(gate + path).status_code == 403
    assert seen(lasting) == ["edge-2"]
    assert answer(issued) == "200", (
        "selected machines that are all gone match nothing; the token itself lives"
    )


def test_a_machine_that_moves_leaves_its_tokens_behind_and_finds_those_of_its_new_fleet(world: World) -> None:
    for_it = make_token(world.edge, "machines:read", machines=[world.edge_1])
    for_edge, for_core = make_token(world.edge, "machines:read"), make_token(world.core, "machines:read")

    estate.move(world.edge_1, fleet=world.core, by=operator)

    assert seen(for_edge) == ["edge-2"]
    assert seen(for_core) == ["core-1", "edge-1"]
    assert answer(for_it, f"{MACHINES}{world.edge_1.pk}/") == "404 not_found"
    assert answer(for_core, f"{MACHINES}{world.edge_1.pk}/") == "200"
