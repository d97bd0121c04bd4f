"""An audit trail that can't be written: nothing is done, nothing is granted, no secret is shown."""

import pytest
from django.db import connection
from django.test import Client

from audit.actions import Action
from audit.trail import record
from config.edge.refusals import Unavailable
from tests import factories
from tests.factories import make_token, operator
from tests.faults.commands import COMMANDS
from tests.faults.database import everything, inserts_killed
from tests.invariants import Trail, assert_hold
from tests.world import World, client_of, door
from tokens import lifecycle

pytestmark = pytest.mark.fault

ERRORS = ("P0001", "53100")  # raised by a trigger, disk full


@pytest.fixture(params=ERRORS)
def error(request: pytest.FixtureRequest) -> str:
    if connection.vendor == "sqlite" and request.param != ERRORS[0]:
        pytest.skip("SQLite's triggers know one way to fail")
    return str(request.param)


def test_no_command_changes_anything_and_each_works_once_the_trail_is_back(world: World, error: str) -> None:
    sends = {command: command.prepare(world) for command in COMMANDS}
    trail = Trail()
    assert_hold(trail)
    before = everything()

    with inserts_killed("audit_event", error):
        _see_that_it_is_killed(world)
        answers = {command.name: send() for command, send in sends.items()}
        after = everything()

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 503)
    assert all(answer.headers["Retry-After"] for answer in answers.values())
    assert {answer.json()["code"] for answer in answers.values()} == {"unavailable"}
    assert not [name for name, answer in answers.items() if b"secret" in answer.content]
    assert after == before
    again = {command: send() for command, send in sends.items()}
    assert {command.name: answer.status_code for command, answer in again.items()} == {
        command.name: command.status for command in COMMANDS
    }
    assert_hold(trail)


@pytest.mark.parametrize("path", ["/api/v1/whoami/", "/api/v1/machines/", "/api/v1/token/", "the gate"])
def test_no_use_is_allowed(world: World, path: str) -> None:
    client = client_of(make_token(world.fleet, "machines:read"))
    path = door(world) if path == "the gate" else path
    with inserts_killed("audit_event"):
        answer = client.get(path)

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"]
    assert client.get(path).status_code in (200, 204)


def test_no_denial_goes_unrecorded(world: World) -> None:
    issued = make_token(world.fleet, "machines:read")
    client = client_of(issued)
    elsewhere = door(world).replace("machines:read", "machines:write")
    with inserts_killed("audit_event"):
        lacking = client.get(elsewhere)
    lifecycle.disable(issued.token, by=operator)
    with inserts_killed("audit_event"):
        disabled = client.get(door(world))

    assert (lacking.status_code, disabled.status_code) == (503, 503)
    assert (client.get(elsewhere).status_code, client.get(door(world)).status_code) == (401, 401)


def test_a_refused_change_that_can_not_be_recorded_is_unavailable(world: World) -> None:
    stranger = factories.session_client(factories.fleet_member(world.fleet, "viewer"))
    stranger.raise_request_exception = False
    body = {"fleet": "edge", "name": "new"}
    with inserts_killed("audit_event"):
        answer = stranger.post("/api/v1/machines/", body)

    assert answer.status_code == 503
    assert stranger.post("/api/v1/machines/", body).status_code == 403


def test_nobody_signs_in(world: World) -> None:
    world.manager.set_password(factories.PASSWORD)
    world.manager.save()
    client = Client(raise_request_exception=False)
    form = {"username": world.manager.username, "password": factories.PASSWORD, "next": "/admin/"}
    with inserts_killed("audit_event"):
        answer = client.post("/admin/login/", form)

    assert answer.status_code == 503
    assert client.get("/api/v1/whoami/").status_code == 401
    assert client.post("/admin/login/", form).status_code == 302
    assert client.get("/api/v1/whoami/").status_code == 200


def test_people_still_read(world: World) -> None:
    client = factories.session_client(world.manager)
    with inserts_killed("audit_event"):
        assert client.get("/api/v1/machines/").status_code == 200


def _see_that_it_is_killed(world: World) -> None:
    with pytest.raises(Unavailable):
        record(Action.ACCESS_DENIED, by=operator, target=world.fleet)
