"""A secret that somebody pastes where none belongs is refused there, kept nowhere, and repeated to nobody.

Fields come from the OpenAPI description and from the admin's forms, so that none that is new is forgotten.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.core.management import CommandError, call_command
from django.test import Client

from config.edge.misplaced import CODE, DETAIL
from config.edge.scoped_admin import ScopedAdmin
from tests.attacks.clients import browser, session_client
from tests.attacks.estate import Estate, as_stored, request_for, who_adds
from tests.attacks.tables import nothing_changes
from tests.attacks.test_bodies import (
    COMMANDS,
    SUPERUSERS,
    Command,
    Sender,
    assert_refused,
    every_command,
)
from tests.attacks.test_fuzz import operation, operations, resolved
from tests.attacks.test_stale_pages import MEANWHILE, PAGES, address, as_opened, person_for
from tokens import secret

pytestmark = pytest.mark.django_db
TAKE_SECRETS = {("post", "reauthenticate/", ("password",))}
PLACE = tuple[str | int, ...]


def strings_in(schema: dict[str, Any], place: PLACE = ()) -> Iterator[PLACE]:
    """Where texts stand in values of a schema; of a list in its first, of an object of any names in one."""
    schema = resolved(schema)
    for name in ("oneOf", "anyOf", "allOf"):
        for each in schema.get(name, ()):
            yield from strings_in(each, place)
    for name, inner in schema.get("properties", {}).items():
        if not inner.get("readOnly"):
            yield from strings_in(inner, (*place, name))
    if isinstance(others := schema.get("additionalProperties"), dict):
        yield from strings_in(others, (*place, "any"))
    if "items" in schema:
        yield from strings_in(schema["items"], (*place, 0))
    if schema.get("type") == "string" or "enum" in schema or not schema:
        yield place


def writable(method: str, path: str) -> list[PLACE]:
    content = operation(method, path).get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {"type": "object"})
    return sorted(set(strings_in(schema)), key=str)


def at(place: PLACE, value: Any) -> Any:
    """A value with this one at the place: `at(("a", 0), 1)` is {"a": [1]}."""
    for step in reversed(place):
        value = [value] if step == 0 else {step: value}
    return value


def live_secret(estate: Estate) -> str:
    return estate.ours.token.secret.reveal()


def path_of(path: str) -> str:
    return path.removeprefix("/api/v1/")


def test_the_fields_that_are_attacked_are_those_that_are_described() -> None:
    described = {
        (method.lower(), path_of(path), place)
        for method, path in operations()
        for place in writable(method, path)
    }
    attacked = {
        (command.method.lower(), command.path, place)
        for command in COMMANDS
        for place in writable(command.method.lower(), f"/api/v1/{command.path}")
    }

    left = {(method, path) for method, path, _ in described - attacked if method != "delete"}
    assert left == SUPERUSERS
    assert {
        ("patch", "tokens/{id}/", place) for place in [("description",), ("grants", 0, "path")]
    } <= attacked
    assert described >= TAKE_SECRETS


@every_command
def test_every_text_of_a_command_refuses_a_secret(
    command: Command, estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    sender, live = Sender(command, estate), live_secret(estate)
    places = writable(command.method.lower(), f"/api/v1/{command.path}")

    with nothing_changes():
        for place in places:
            answer = sender.raw(json.dumps({**command.body, **at(place, f"See {live}, please.")}).encode())
            assert_refused(answer, 400)
            assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [
                (".".join(map(str, place)), CODE)
            ]
            assert live[24:] not in answer.content.decode()
    assert live[24:] not in caplog.text


def test_a_secret_in_the_name_of_a_field_is_not_repeated(estate: Estate) -> None:
    sender, live = Sender(COMMANDS[0], estate), live_secret(estate)

    with nothing_changes():
        answers = [
            sender.raw(body.replace("SECRET", live).encode())
            for body in ('{"SECRET": 1}', '{"grants": [{"SECRET": 1}]}', '{"SECRET": 1, "SECRET": 2}')
        ]

    for answer in answers:
        assert_refused(answer, 400)
        assert live[24:] not in answer.content.decode()


def test_what_is_no_secret_is_a_text_like_any_other(estate: Estate) -> None:
    sender = Sender(COMMANDS[1], estate)
    public = live_secret(estate)[:20]

    answer = sender.changed(description=f"Replaces {public}… of last year")

    assert answer.status_code == 200
    assert public in answer.json()["description"]


def test_superusers_commands_refuse_secrets_and_a_password_may_be_any_text(estate: Estate) -> None:
    client, live = session_client(estate.superuser), live_secret(estate)
    opening = {"slug": "new", "name": live}
    lifting = {"hours": 1, "reason": live}
    here = f"/api/v1/tokens/{estate.ours.token.token.pk}/emergency-access/"

    with nothing_changes():
        answers = [client.post("/api/v1/organizations/", opening), client.post(here, lifting)]
    again = client.post("/api/v1/reauthenticate/", {"password": live})

    assert [answer.json()["errors"][0]["code"] for answer in answers] == [CODE, CODE]
    assert again.json()["code"] != "invalid"
    assert again.status_code == 403


def test_a_secret_in_a_webhook_s_url_is_found_however_it_is_written(estate: Estate) -> None:
    sender = Sender(Command("POST", "webhooks/", {"url": "https://hooks.example/", "actions": ["*"]}), estate)
    spelled = "".join(f"%{byte:02X}" for byte in live_secret(estate).encode())

    with nothing_changes():
        answer = sender.changed(url=f"https://hooks.example/{spelled}?x={quote('a b')}")

    assert_refused(answer, 400)
    assert answer.json()["errors"][0]["code"] == CODE


# The admin


def fields_of(page: Any) -> list[str]:
    return list(page.context["form"].fields)


def attack(client: Client, here: str, live: str) -> None:
    opened = client.get(here)
    with nothing_changes():
        for name in fields_of(opened):
            answer = client.post(here, {**as_opened(opened), name: f"See {live}, please."})
            text = answer.content.decode()
            assert answer.status_code == 200, name
            assert answer.context["form"].errors[name] == [DETAIL]
            assert live[24:] not in text


@pytest.mark.parametrize(
    ("label", "verb"),
    [(label, verb) for label, verb in PAGES if label in MEANWHILE],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_field_of_a_form_about_a_row_refuses_a_secret(label: str, verb: Any, estate: Estate) -> None:
    row = as_stored(MEANWHILE[label].row(estate.ours))

    attack(person_for(estate, verb), address(label, verb, row), live_secret(estate))


ADDING = sorted(
    f"{model._meta.label_lower.replace('.', '/')}/add/"
    for model, page in admin.site._registry.items()
    if isinstance(page, ScopedAdmin) and page.adding
)


@pytest.mark.parametrize("where", [*ADDING, "tokens/token/add/?for=acme/fleet:acme-edge"])
def test_every_field_of_a_form_that_makes_something_refuses_a_secret(where: str, estate: Estate) -> None:
    attack(browser(who_adds(where, estate)), f"/admin/{where}", live_secret(estate))


@pytest.mark.parametrize("name", ["approve", "approve-less", "reject", "withdraw"])
def test_every_field_of_a_decision_refuses_a_secret(name: str, estate: Estate) -> None:
    request, person = request_for(name, estate)
    client = browser(person)

    attack(client, f"/admin/approvals/approvalrequest/{request.pk}/{name}/", live_secret(estate))


def test_a_reason_that_holds_a_secret_is_not_kept_for_a_form_that_is_filled_anew(estate: Estate) -> None:
    client, live = browser(estate.ours.owner), live_secret(estate)
    here = f"/admin/tokens/token/{estate.ours.token.token.pk}/security/"

    answer = client.post(here, {**as_opened(client.get(here)), "version": "0", "reason": live})

    assert answer.status_code == 409
    assert live[24:] not in answer.content.decode()


# The command line


@pytest.mark.parametrize(
    "line",
    [
        "token add fleet:acme-edge new --scope machines:read --description",
        "token add fleet:acme-edge new --scope machines:read --reason",
        "token add fleet:acme-edge new --scope",
        "user invite new --organization acme --name",
        "acl modify /nodes --organization acme --user acme-member --role Viewer --reason",
        "mail test",
    ],
)
def test_a_command_refuses_a_secret_in_what_it_is_told(line: str, estate: Estate) -> None:
    live = live_secret(estate)

    with nothing_changes(), pytest.raises(CommandError) as refusal:
        call_command(*line.split(), live)

    assert DETAIL in str(refusal.value)
    assert live[24:] not in str(refusal.value)


def test_a_secret_is_made_that_the_walks_would_find(estate: Estate) -> None:
    assert secret.PATTERN.fullmatch(live_secret(estate))
