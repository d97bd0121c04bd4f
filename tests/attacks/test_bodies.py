"""What bodies, queries, addresses and headers can hold, and what no request can mean.

Each is sent to every endpoint that reads it; none is ever a 5xx, and none leaves anything behind.
"""

import gzip
import itertools
import json
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from fleets import organizations
from fleets.scopes import Scope
from tests import factories
from tests.attacks.clients import bearer_client, session_client
from tests.attacks.estate import DIGEST, Estate, Side
from tests.attacks.tables import Attempt, nothing_changes, undone
from tests.attacks.test_other_organizations import (
    API_ROUTES,
    LISTS,
    call,
    commands,
    filled_in,
    id_at,
    places,
)

pytestmark = pytest.mark.django_db


class Command(NamedTuple):
    """A verb over HTTP, and a body that it takes."""

    method: str
    path: str
    body: dict[str, Any]
    name: Callable[[Side], Any] = lambda _: None  # the id in the path, where PLACES has another

    def address(self, side: Side) -> str:
        route = f"/api/v1/{self.path}".replace("{", "<").replace("}", ">").replace("<id>", "<pk>")
        own = self.name(side)
        values = [own] if own is not None else [id_at(place)(side) for place in places(route)]
        return filled_in(route, *values)


ISSUE = {"name": "new", "scopes": ["machines:read"], "reason": "because"}
COMMANDS = [
    Command("POST", "tokens/", ISSUE),
    Command("PATCH", "tokens/{id}/", {"description": "new"}),
    Command("POST", "tokens/{id}/rotate/", {"overlap": "1h"}),
    Command("POST", "tokens/{id}/disable/", {"reason": "because"}),
    Command("POST", "tokens/{id}/revoke/", {"reason": "because"}),
    Command("POST", "tokens/{id}/enable/", {"reason": "because"}, lambda side: side.disabled.token.pk),
    Command(
        "PUT",
        "tokens/{id}/restrictions/",
        {
            "allowed_networks": ["10.0.0.0/8"],
            "rate_limit": "3/second",
            "access_windows": [{"days": ["mon"], "start": "08:00", "end": "18:00"}],
            "reason": "because",
        },
    ),
    Command("POST", "tokens/revoke-all/", {"owner": "fleet:acme-edge", "reason": "because"}),
    Command("PATCH", "token/", {"scopes": ["machines:read"]}),
    Command("POST", "token/rotate/", {"overlap": "1h"}),
    Command("POST", "tokens/{token_id}/grants/", {"path": "/fleets/acme-edge/machines", "role": "Viewer"}),
    Command("POST", "machines/", {"fleet": "acme-edge", "name": "new"}),
    Command("PATCH", "machines/{id}/", {"tags": ["new"]}),
    Command("POST", "machines/{id}/move/", {"fleet": "acme-core"}),
    Command("PATCH", "machines/{id}/configuration/", {"cpus": 4}),
    Command("POST", "machines/{machine_id}/actions/", {"action": "stop"}),
    Command("POST", "templates/", {"name": "new", "configuration": {"cpus": 2}}),
    Command("PATCH", "templates/{id}/", {"configuration": {"cpus": 2}}),
    Command("POST", "networks/", {"name": "new", "cidr": "10.1.0.0/16"}),
    Command("PATCH", "networks/{id}/", {"cidr": "10.1.0.0/16"}),
    Command("POST", "images/", {"name": "new", "operating_system": "Debian"}),
    Command("PATCH", "images/{id}/", {"operating_system": "Debian"}),
    Command("POST", "roles/", {"name": "new", "scopes": ["machines:read"]}),
    Command("PATCH", "roles/{id}/", {"scopes": ["machines:operate"]}),
    Command("POST", "acl/", {"path": "/nodes", "role": "Viewer", "user": "acme-member"}),
    Command("PATCH", "acl/{id}/", {"role": "Operator"}),
    Command("PATCH", "organizations/{id}/", {"name": "New"}),
    Command("POST", "webhooks/", {"url": "https://hooks.example/", "actions": ["token.*"]}),
    Command("PATCH", "webhooks/{id}/", {"enabled": False}),
    Command("POST", "webhooks/{id}/test/", {}),
    Command("POST", "webhooks/{id}/rotate-secret/", {}),
    Command("POST", "webhooks/{webhook_id}/deliveries/{id}/retry/", {}),
    Command("POST", "organizations/{id}/policy-preview/", {"policy": {"maximum_lifetime_days": 7}}),
    Command("POST", "members/", {"username": "new", "role": "member"}),
    Command("PATCH", "members/{id}/", {"role": "auditor"}),
    Command("POST", "members/{id}/suspend/", {"reason": "because"}),
    Command("POST", "members/{id}/resume/", {}, lambda side: side.suspended.pk),
    Command("POST", "invitations/{id}/resend/", {}),
    Command("POST", "fleets/", {"slug": "new", "name": "New"}),
    Command("PATCH", "fleets/{id}/", {"name": "New"}),
    Command("POST", "fleets/{fleet_id}/members/", {"username": "acme-member", "role": "viewer"}),
    Command("PATCH", "fleets/{fleet_id}/members/{id}/", {"role": "operator"}),
    Command("POST", "groups/", {"slug": "new", "name": "New"}),
    Command("PATCH", "groups/{id}/", {"name": "New"}),
    Command("POST", "groups/{group_id}/members/", {"username": "acme-member", "role": "user"}),
    Command("PATCH", "groups/{group_id}/members/{id}/", {"role": "admin"}),
    Command("POST", "applications/", {"slug": "new", "name": "New"}),
    Command("PATCH", "applications/{id}/", {"description": "new"}),
    Command("POST", "applications/{application_id}/members/", {"username": "acme-member"}),
    Command("POST", "technical-users/", {"username": "new"}),
    Command("PATCH", "technical-users/{technical_user_id}/", {"name": "New"}),
    Command("POST", "approvals/{id}/approve/", {"diff_digest": DIGEST, "comment": "Fine"}),
    Command("POST", "approvals/{id}/reject/", {"diff_digest": DIGEST, "comment": "Not yet"}),
    Command("POST", "approvals/{id}/withdraw/", {"reason": "because"}, lambda side: side.own_approval.pk),
]
SUPERUSERS = {  # only in a superuser's session, or by a person's own password
    ("post", "organizations/"),
    ("post", "tokens/{token_id}/emergency-access/"),
    ("post", "reauthenticate/"),
}
every_command = pytest.mark.parametrize(
    "command", COMMANDS, ids=lambda command: f"{command.method} {command.path}"
)


class Sender:
    """Sends a command: as the owner in their session; what a token does to itself, as their token."""

    def __init__(self, command: Command, estate: Estate) -> None:
        self.command = command
        self.address = command.address(estate.ours)
        if command.path.startswith("token/"):
            self.client = bearer_client(estate.ours.personal)
        else:
            self.client = session_client(estate.ours.owner)

    def raw(self, body: bytes, content_type: str = "application/json", **extra: Any) -> Any:
        return self.client.generic(self.command.method, self.address, body, content_type, **extra)  # type: ignore[arg-type]  # bytes are taken

    def changed(self, **fields: Any) -> Any:
        """The body that works, with some fields of it replaced."""
        return self.raw(json.dumps({**self.command.body, **fields}).encode())


def assert_refused(response: Any, *statuses: int) -> None:
    assert response.status_code in statuses, response.content[:500]
    assert response["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["request_id"] == response["X-Request-ID"]


def test_every_command_of_the_api_is_attacked() -> None:
    takes_a_body = {(method, path) for method, path, _ in commands() if method in {"post", "put", "patch"}}

    attacked = {(command.method.lower(), command.path) for command in COMMANDS}

    assert takes_a_body - attacked == SUPERUSERS, f"add what is new to COMMANDS in {__file__}"


@every_command
def test_the_body_that_is_distorted_below_works_as_it_is(command: Command, estate: Estate) -> None:
    response = Sender(command, estate).changed()

    assert response.status_code in {200, 201}, response.content


# Bodies that are no JSON object

BODIES: dict[str, tuple[bytes, int]] = {
    "not JSON": (b"{", 400),
    "text": (b"name", 400),
    "single quotes": (b"{'name': 'x'}", 400),
    "a comment": (b'{"name": "x" /* y */}', 400),
    "a comma at the end": (b'{"name": "x",}', 400),
    "two objects": (b"{}{}", 400),
    "an array": (b"[]", 400),
    "an array of an object": (b'[{"name": "x"}]', 400),
    "a string": (b'"x"', 400),
    "a number": (b"1", 400),
    "null": (b"null", 400),
    "only space": (b" ", 400),
    "no UTF-8": (b'{"name": "\xff"}', 400),
    "UTF-16": ('{"name": "x"}'.encode("utf-16"), 400),
    "a byte order mark": (b'\xef\xbb\xbf{"name": "x"}', 400),
    "NUL bytes": (b"\x00" * 10, 400),
    "a raw NUL in a string": (b'{"name": "a\x00b"}', 400),
    "a raw newline in a string": (b'{"name": "a\nb"}', 400),
    "depth in arrays": (b'{"name": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", 400),
    "depth in objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
    "depth without end": (b"[" * 60_000, 400),
    "a duplicate key": (b'{"name": "x", "name": "y"}', 400),
    "a duplicate key below": (b'{"grants": [{"path": "/", "path": "/a"}]}', 400),
    "a duplicate key by escapes": (b'{"name": "x", "n\\u0061me": "y"}', 400),
    "NaN": (b'{"name": NaN}', 400),
    "Infinity": (b'{"name": -Infinity}', 400),
    "a number without end": (b'{"name": 1e999}', 400),
    "many digits": (b'{"name": ' + b"9" * 10_000 + b"}", 400),
    "an escaped NUL": (b'{"name": "a\\u0000b"}', 400),
    "a lone surrogate": (b'{"name": "\\ud800"}', 400),
    "a reversed pair": (b'{"name": "\\udc00\\ud800"}', 400),
    "an escaped NUL in a key": (b'{"na\\u0000me": "x"}', 400),
    "a lone surrogate in a key": (b'{"\\ud800": "x"}', 400),
    "a byte too many": (b'{"name": "' + b"a" * 65_536 + b'"}', 413),
    "64 KiB and one byte of space": (b" " * 65_537, 413),
    "1 MiB": (b"a" * 1024 * 1024, 413),
    "many unknown fields": (json.dumps({f"x{number}": 1 for number in range(5_000)}).encode(), 400),
    "__proto__": (b'{"__proto__": {"is_superuser": true}}', 400),
    "an empty key": (b'{"": 1}', 400),
}
PARSED_IN_FULL = {"tokens/", "token/", "machines/"}  # one parser reads them all: the others get
SOME = ("not JSON", "an array", "depth without end", "a duplicate key", "NaN", "an escaped NUL", "1 MiB")


@every_command
def test_a_body_that_is_no_json_object_is_refused(command: Command, estate: Estate) -> None:
    sender = Sender(command, estate)
    attacks = BODIES if command.path in PARSED_IN_FULL else {name: BODIES[name] for name in SOME}

    with nothing_changes():
        for attack, (body, status) in attacks.items():
            response = sender.raw(body)
            assert response.status_code == status, (
                f"{attack}: {response.status_code} {response.content[:300]!r}"
            )
            assert_refused(response, status)


@every_command
def test_only_json_is_read(command: Command, estate: Estate) -> None:
    text = json.dumps(command.body or {"reason": "x"}).encode()
    boundary = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nnew\r\n--b--\r\n'
    bodies = {
        "text/plain": text,
        "text/html": text,
        "application/x-www-form-urlencoded": b"name=new",
        "multipart/form-data; boundary=b": boundary,
        "application/xml": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "application/yaml": b"!!python/object/apply:os.system [id]",
        "application/x-python-pickle": b"\x80\x04\x95",
        "application/merge-patch+json": text,
        "application/jsonp": text,
        "application/json/": text,
        "*/*": text,
        "nonsense": text,
    }

    sender = Sender(command, estate)
    attacks = bodies if command.path in PARSED_IN_FULL else dict(itertools.islice(bodies.items(), 4))

    with nothing_changes():
        for content_type, body in attacks.items():
            response = sender.raw(body, content_type)
            assert response.status_code == 415, f"{content_type}: {response.status_code} {response.content!r}"
            assert_refused(response, 415)


@every_command
def test_compressed_bodies_are_not_unpacked(command: Command, estate: Estate) -> None:
    bomb, sender = gzip.compress(b" " * 1_000_000), Sender(command, estate)

    with nothing_changes():
        for encoding in ("gzip", "deflate, br"):
            assert_refused(sender.raw(bomb, HTTP_CONTENT_ENCODING=encoding), 415)


LENGTHS = ("65537", "-1", "99999999999999999999", "1e3", "+5", "0x10", "\u0663", "a", "5, 5")


@every_command
def test_a_false_content_length_is_refused(command: Command, estate: Estate) -> None:
    sender = Sender(command, estate)

    with nothing_changes():
        for length in LENGTHS if command.path in PARSED_IN_FULL else LENGTHS[:2]:
            assert_refused(sender.raw(b"{}", CONTENT_LENGTH=length), 400, 413)


# Fields that nobody sets

NEVER_SET = {
    "id": "0" * 16,
    "pk": 1,
    "organization_id": "0",
    "status": "active",
    "status_reason": "",
    "approved_by": "root",
    "approved_at": "2030-01-01T00:00:00Z",
    "created_at": "2030-01-01T00:00:00Z",
    "created_by": "root",
    "is_superuser": True,
    "is_staff": True,
    "is_active": True,
    "risk": "low",
    "version": 1,
    "principal": "root",
    "secret": "x",
    "secret_hash": "x",
    "digest": "x",
    "secret_hint": "x",
    "generation": 9,
    "last_used_at": None,
    "break_glass_until": "2030-01-01T00:00:00Z",
    "emergency_access": {},
    "all_machines": True,
    "password": "x",
    "user": "root",
    "left_at": None,
    "suspended_at": None,
    "closed_at": None,
    "deregistered_at": None,
    "requested_by": "root",
    "state": "done",
    "__class__": "x",
    "organization__name": "x",
    "memberships": [],
}


@every_command
def test_nobody_assigns_what_is_not_offered(command: Command, estate: Estate) -> None:
    fields = {name: value for name, value in NEVER_SET.items() if name not in command.body}

    with nothing_changes():
        response = Sender(command, estate).changed(**fields)

    assert_refused(response, 400)
    assert {error["field"] for error in response.json()["errors"]} == fields.keys()
    assert {error["code"] for error in response.json()["errors"]} <= {"unknown_field", "read_only"}


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "globex-owner"},
        {"owner": "fleet:acme-core"},
        {"owner": "acme-admin"},
        {"organization": "globex"},
        {"organization": "acme"},
        {"kind": "fleet"},
        {"kind": "personal"},
        {"principal": "root"},
        {"privilege_separation": False},
        {"expires_in": "never"},
    ],
)
def test_a_token_never_moves(change: dict[str, Any], estate: Estate) -> None:  # 74
    senders = [Sender(Command("PATCH", path, {}), estate) for path in ("tokens/{id}/", "token/")]

    with nothing_changes():
        for sender in senders:
            assert_refused(sender.changed(**change), 400)


# Every field with values of every wrong type

WRONG: dict[str, Any] = {
    "a number": 7,
    "too large for any column": 2**63,
    "an object": {"a": {"b": []}},
    "an array of objects": [{"a": 1}],
    "a long text": "a" * 20_000,
    "NUL": "a\x00b",
    "control characters": "a\x07\x1b[31mb",
}


@every_command
def test_no_value_of_a_field_breaks_a_command(command: Command, estate: Estate) -> None:
    fields = {
        name for method, path, properties in commands() for name in properties if _is(command, method, path)
    }
    assert fields >= command.body.keys() - {"reason"}
    sender = Sender(command, estate)

    for field in sorted(fields):
        for attack, value in WRONG.items():
            with undone():
                response = sender.changed(**{field: value})
            assert response.status_code < 500, f"{field}, {attack}: {response.content!r}"
            if response.status_code >= 400:
                assert_refused(response, 400, 403, 404, 409, 413)


def _is(command: Command, method: str, path: str) -> bool:
    return (method, path) == (command.method.lower(), command.path)


# Instants and spans

BAD_INSTANTS: list[Any] = [
    *(
        "",
        " ",
        "now",
        "never",
        "today",
        "tomorrow",
        "2030",
        "2030-13-01",
        "2030-02-30",
        "2030-1-1",
        "30-01-01",
    ),
    *("2020-01-01", "2020-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0000-01-01"),
    *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59+14:00", "9999-12-31"),
    *("0001-01-01T00:00:00+23:59", "2200-01-01T00:00:00Z", "12030-01-01T00:00:00Z", "-2030-01-01"),
    *("2030-01-01T00:00:00", "2030-01-01 00:00:00", "2030-01-01T00:00Z", "2030-01-01T24:00:00Z"),
    *("2030-01-01T00:00:60Z", "2030-01-01T25:00:00Z", "2030-01-01T00:60:00Z", "2030-01-01T00:00:00+25:00"),
    *("2030-01-01T00:00:00+00", "2030-01-01T00:00:00 Z", "2030-01-01T00:00:00.Z", "2030-01-01T00:00:00,5Z"),
    *(
        "2030-W01-1",
        "2030-001",
        "20300101",
        "20300101T000000Z",
        "1893456000",
        "1e10",
        "+2030-01-01",
        "2030/01/01",
    ),
    *("2030-01-01\n", "\u0662\u0660\u0663\u0660-01-01", "2030-01-01T00:00:00Z\x00", "P90D", "90d"),
    *(0, 1, -1, 1893456000, 1893456000000, 1.5, True, False, [], {}, ["2030-01-01"], {"$gt": ""}),
]
BAD_LIFETIMES: list[Any] = [
    *(
        "",
        " ",
        "7",
        "d",
        "7 d",
        "8d",
        "0d",
        "-7d",
        "+7d",
        "7D",
        "7d ",
        "7d\n",
        "07d",
        "1e1d",
        "7.5d",
        "7h",
        "7days",
    ),
    *("NEVER", "none", "null", "inf", "9" * 50 + "d", "\u0667d", "P7D", 7, 7.0, True, None, [], {}, ["7d"]),
]
BAD_SPANS: list[Any] = [
    *(
        "",
        " ",
        "1",
        "24",
        "h",
        "-1h",
        "+1h",
        "1.5h",
        "1e3h",
        "24 h",
        "24h ",
        "24h\n",
        "01h",
        "8d",
        "169h",
        "10081m",
    ),
    *(
        "1w",
        "1s",
        "1y",
        "never",
        "999999d",
        "9" * 400 + "h",
        "\u0661h",
        "0x1h",
        1,
        24.0,
        True,
        [],
        {},
        ["1h"],
    ),
]
BAD_ROTATIONS: list[Any] = [
    *("", "0d", "-1d", "90", "1h", "3651d", "9999d", "1.5d", "01d", "90d\n", 90, True, [], {})
]


@pytest.mark.parametrize(
    ("field", "values", "paths"),
    [
        ("expires_at", BAD_INSTANTS, [("POST", "tokens/"), ("PATCH", "tokens/{id}/"), ("PATCH", "token/")]),
        ("expires_in", BAD_LIFETIMES, [("POST", "tokens/")]),
        ("overlap", BAD_SPANS, [("POST", "tokens/{id}/rotate/"), ("POST", "token/rotate/")]),
        ("rotate_every", BAD_ROTATIONS, [("POST", "tokens/"), ("PATCH", "tokens/{id}/")]),
    ],
)
def test_times_that_cannot_be_meant_are_refused(
    field: str, values: list[Any], paths: list[tuple[str, str]], estate: Estate
) -> None:
    for command in (each for each in COMMANDS if (each.method, each.path) in paths):
        sender = Sender(command, estate)
        with nothing_changes():
            for value in values:
                response = sender.changed(**{field: value})
                assert response.status_code == 400, f"{command.path} {value!r}: {response.content!r}"
                assert {error["field"] for error in response.json()["errors"]} == {field}


@pytest.mark.parametrize(
    "value",
    ["2100-01-01", "2100-12-31T23:59:59Z", "2100-12-31t23:59:59z", "2100-12-31T23:59:59.5+14:00", None],
)
def test_times_that_can_be_meant_are_taken(value: str | None, estate: Estate) -> None:
    organization = factories.as_stored(estate.ours.organization)
    organizations.set_policy(organization, changes={"never_allowed": True}, by=factories.operator)
    body = {**ISSUE, "expires_at": value}

    assert session_client(estate.ours.owner).post("/api/v1/tokens/", body).status_code == 201


def test_an_expiry_is_said_once(estate: Estate) -> None:
    body = {**ISSUE, "expires_at": "2100-01-01", "expires_in": "7d"}
    with nothing_changes():
        assert_refused(session_client(estate.ours.owner).post("/api/v1/tokens/", body), 400)


# Scopes

BAD_SCOPES: list[Any] = [
    [],
    None,
    "machines:read",
    {"machines:read": True},
    ["*"],
    ["machines:*"],
    ["*:read"],
    ["machines"],
    ["machines:"],
    [":read"],
    ["machines:rea"],
    ["machines:readx"],
    ["machines:read "],
    [" machines:read"],
    ["machines:read\n"],
    ["Machines:Read"],
    ["MACHINES:READ"],
    ["machines:re\u200bad"],
    ["m\u0430chines:read"],
    ["machines：read"],
    ["machines:read", "machines:read"],
    ["machines:read", "machines:readx"],
    ["machines:read machines:write"],
    ["machines:read,machines:write"],
    ["machines:read"] * 3_000,
    [f"scope:{number}" for number in range(3_000)],
    [1],
    [True],
    [None],
    [[]],
    [{}],
    [["machines:read"]],
    ["machines:read", 1],
    [""],
    ["superuser"],
    ["__all__"],
    ["machines.read"],
    ["a" * 10_000],
]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "tokens/"),
        ("PATCH", "tokens/{id}/"),
        ("PATCH", "token/"),
        ("POST", "roles/"),
        ("PATCH", "roles/{id}/"),
    ],
)
def test_scopes_are_exact_names_each_once(method: str, path: str, estate: Estate) -> None:
    command = next(each for each in COMMANDS if (each.method, each.path) == (method, path))
    sender = Sender(command, estate)

    with nothing_changes():
        for scopes in BAD_SCOPES:
            response = sender.changed(scopes=scopes)
            assert response.status_code == 400, f"{str(scopes)[:80]}: {response.content!r}"
            assert response.json()["errors"][0]["field"].partition(".")[0] == "scopes"


def test_every_scope_that_exists_can_be_asked_for(estate: Estate) -> None:
    body = {**ISSUE, "scopes": [scope.value for scope in Scope]}

    assert session_client(estate.ours.owner).post("/api/v1/tokens/", body).status_code == 201


# Pages

BAD_PAGES = [
    *(
        f"limit={value}"
        for value in ("0", "-1", "201", "1000000000", "9" * 400, "1e2", "1.0", "", "%20", "abc")
    ),
    *(f"limit={value}" for value in ("%D9%A3", "1%00", "0x10", "%2B5", "null", "5&limit=6")),
    *(
        f"cursor={value}"
        for value in ("x", "%00", "%ff", "MTIz", "cD0%3D", "a" * 5_000, "=", "cD0yMDMwLTAxLTAx")
    ),
    *(f"cursor={value}" for value in ("cj0xJnA9eCZvPS0x", "cD0lMDA%3D", "cj0xJnA9JTAw", "-1")),
]


@pytest.mark.parametrize("route", LISTS)
def test_a_page_that_cannot_be_is_refused(route: str, estate: Estate) -> None:
    client = session_client(estate.ours.owner)
    address = filled_in(route, *(id_at(place)(estate.ours) for place in places(route)))
    assert call(client, "GET", f"{address}?limit=1").status_code == 200

    for query in BAD_PAGES:
        response = call(client, "GET", f"{address}?{query}")
        assert response.status_code == 400, (
            f"{address}?{query[:60]}: {response.status_code} {response.content[:300]!r}"
        )
        assert_refused(response, 400)


@pytest.mark.parametrize("route", LISTS)
def test_a_list_refuses_every_parameter_that_it_does_not_know(route: str, estate: Estate) -> None:  # 92, 118
    client = session_client(estate.ours.owner)
    address = filled_in(route, *(id_at(place)(estate.ours) for place in places(route)))
    names = (
        "format",
        "ordering",
        "fields",
        "expand",
        "owner__password",
        "name__regex",
        "pk",
        "page",
        "offset",
        "a",
    )

    for name in names:
        response = call(client, "GET", f"{address}?{name}=x")
        assert response.status_code == 400, f"{name}: {response.content[:300]!r}"
        assert response.json()["errors"][0]["code"] == "unknown_parameter"
    for query in (
        "&".join("a=1" for _ in range(600)),
        "&".join(f"a{n}=1" for n in range(20_000)),
        "%00=1",
        "%ff=%ff",
    ):
        assert_refused(call(client, "GET", f"{address}?{query}"), 400)


@pytest.mark.parametrize(
    ("route", "name"), [(route, name) for route, names in LISTS.items() for name in sorted(names)]
)
def test_no_value_of_a_filter_breaks_a_list(route: str, name: str, estate: Estate) -> None:
    client = session_client(estate.ours.owner)
    address = filled_in(route, *(id_at(place)(estate.ours) for place in places(route)))
    values = [str(value) for value in WRONG.values()] + [
        "%00",
        "\udcff",
        "a" * 5_000,
        "0",
        "99999999999999999999",
    ]

    for value in values:
        response = call(client, "GET", f"{address}?{name}={quote(value, errors='surrogateescape')}")
        assert response.status_code in {200, 400, 404}, f"{name}={value!r}: {response.content!r}"
        if response.status_code != 200:
            assert_refused(response, 400, 404)


# Ids

BAD_IDS = [
    *(
        "%00",
        "%ff",
        "..",
        "..%2f..%2fetc",
        "%2e%2e",
        "0",
        "-1",
        "1",
        "9" * 20,
        "9" * 400,
        "1.5",
        "null",
        "None",
        "self",
    ),
    *(
        "%20",
        "a%20b",
        "%0a",
        "%E2%80%8B",
        "%F0%9F%98%80",
        "*",
        "%25",
        "%27%20OR%201=1--",
        "{}",
        "[]",
        "$",
        "a;b",
        "~",
    ),
]
MISSPELT: list[Callable[[str], str]] = [
    str.upper,
    lambda text: f"%7B{text}%7D",
    lambda text: f"urn:uuid:{text}",
    lambda text: text.replace("-", ""),
    lambda text: f"{text}%00",
    lambda text: f"{text}%20",
    lambda text: f"%20{text}",
    lambda text: f"{text}%0a",
    lambda text: f"{text}%0D",
    lambda text: f"{text[:-1]}%EF%BC%91",
    lambda text: f"{text}0",
    lambda text: text[:-1],
    lambda text: f"{text}%2F",
]


BY_PLACE = {
    places(route)[-1]: route for route in reversed(API_ROUTES)
}  # one address for each way to look an id up


@pytest.mark.parametrize("route", BY_PLACE.values())
def test_what_is_no_id_is_not_found(route: str, estate: Estate) -> None:
    client = session_client(estate.ours.owner)
    ids = [str(id_at(place)(estate.ours)) for place in places(route)]

    method = next(
        each
        for each in ("GET", "POST", "PATCH", "DELETE")
        if call(client, each, filled_in(route, *ids)).status_code != 405
    )

    with nothing_changes():
        for index, own in enumerate(ids):
            misspelt = {spell(own) for spell in MISSPELT} - {own}
            for text in (*BAD_IDS, *sorted(misspelt)):
                address = filled_in(route, *ids[:index], text, *ids[index + 1 :])
                response = client.generic(
                    method, address, "" if method == "GET" else "{}", "application/json"
                )
                assert response.status_code == 404, f"{method} {address}: {response.content!r}"
                assert_refused(response, 404)


# What a client says it accepts, and other headers

JUNK_HEADERS: dict[str, list[str]] = {
    "Accept": [
        "",
        "text/html",
        "application/xml",
        "*",
        "/",
        "a/b;q=x",
        "text/" + "a" * 5_000,
        "\xff",
        "image/*;q=0",
    ],
    "Accept-Language": ["", "xx", "../..", "a" * 5_000, "en;q=x"],
    "Accept-Encoding": ["", "x", "gzip;q=x", "*"],
    "User-Agent": ["", "\x00", "\x1b[31m", "\udcff", "a" * 5_000, "<script>", "\r\nX: y"],
    "X-Request-ID": ["", "\r\n", "a" * 5_000, "../..", "\u202e", "{}"],
    "X-Forwarded-For": ["", "x", "127.0.0.1, " * 1_000, "[::1]:80", "unknown"],
    "X-Forwarded-Proto": ["", "https", "javascript:"],
    "X-HTTP-Method-Override": ["DELETE", "PUT"],
    "Range": ["bytes=0-1", "bytes=-1", "x"],
    "If-None-Match": ["*", '"x"', "x"],
    "If-Modified-Since": ["x", "Thu, 01 Jan 1970 00:00:00 GMT", "9" * 100],
    "Origin": ["null", "https://evil.example", "\xff"],
    "Referer": ["https://evil.example", "\xff"],
    "Cookie": ["", ";;;", "=", "sessionid", "a=" + "b" * 5_000],
    "Expect": ["100-continue", "x"],
    "TE": ["x"],
    "Forwarded": ["for=127.0.0.1;host=x", "\xff"],
}


@pytest.mark.parametrize("header", JUNK_HEADERS)
def test_no_other_header_breaks_an_answer(header: str, estate: Estate) -> None:
    client = bearer_client(estate.ours.personal)

    for value in JUNK_HEADERS[header]:
        for address in (
            "/api/v1/machines/",
            "/api/v1/whoami/",
            f"/api/v1/tokens/{estate.ours.token.token.pk}/",
        ):
            response = client.get(address, headers={header: value})
            assert response.status_code == 200, f"{header}: {value[:50]!r}: {response.content[:300]!r}"
            assert response["Content-Type"] == "application/json"
            assert factories.last_event(request_id=response["X-Request-ID"]).outcome == "allowed"


@every_command
def test_a_version_or_key_that_cannot_be_meant_is_refused(command: Command, estate: Estate) -> None:
    body, sender = json.dumps(command.body).encode(), Sender(command, estate)

    with nothing_changes():
        for header, values in {
            "HTTP_IF_MATCH": ["x", '"1', "\xff", '"9999999999"'],
            "HTTP_IDEMPOTENCY_KEY": ["", "a b", "\x00", "é" * 256],
        }.items():
            for value in values:
                with undone():
                    response = sender.raw(body, **{header: value})
                assert response.status_code < 500, f"{header} {value!r}: {response.content!r}"
                if response.status_code >= 400:
                    assert_refused(response, 400, 412)


@pytest.mark.parametrize("route", LISTS)
def test_no_other_format_is_offered(route: str, estate: Estate, attempt: Attempt) -> None:
    client = session_client(estate.ours.owner)
    address = filled_in(route, *(id_at(place)(estate.ours) for place in places(route)))

    for name in ("xml", "api", "html", "admin"):
        with attempt(name):
            assert_refused(call(client, "GET", f"{address}?format={name}"), 400)
