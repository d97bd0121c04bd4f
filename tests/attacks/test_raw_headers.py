"""Attacks A3 and A13–A21 as bytes on a connection to the real web server: what no test client lets through."""

import json
from collections.abc import Iterator

import pytest

from fleets.models import User
from tests.attacks.doors import DOORS, shown
from tests.attacks.estate import Estate
from tests.attacks.processes import Answer, Web
from tests.factories import last_event

every_door = pytest.mark.parametrize("door", DOORS)


@pytest.fixture(autouse=True)
def db(committed: Estate) -> None:
    """In place of the transaction around each test, which the web server would not see into."""


@pytest.fixture(scope="module")
def web(committed: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with Web(tmp_path_factory.mktemp("web"), {"TRUSTED_PROXIES": "127.0.0.1"}) as running:
        yield running
        assert "Traceback" not in running.output
        assert "raised an exception" not in running.output


def lines(committed: Estate, *templates: str) -> list[bytes]:
    ours = shown(committed.ours.token)
    texts = (line.format(text=ours.text, principal=ours.principal, name=ours.name) for line in templates)
    return [text.encode("latin-1") for text in texts]


def code_of(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    document = json.loads(answer.body)
    assert document["status"] == answer.status
    assert document["request_id"] == answer.headers["x-request-id"]
    return str(document["code"])


@every_door
@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer {text}",
        "authorization: bearer {text}",
        "AUTHORIZATION: BEARER {text}",
        "Authorization:Bearer {text}",
        "Authorization: \t Bearer {text} \t ",  # space around a field's value is not part of it: RFC 9110, 5.5
        "X-Auth-Token: {text}",
        "x-auth-token: {text}  ",
        "Authorization: PVEAPIToken={principal}!{name}={text}",
    ],
)
def test_the_right_secret_opens_every_door(door: str, line: str, web: Web, committed: Estate) -> None:
    assert web.send(DOORS[door].path, *lines(committed, line)).status == DOORS[door].opened


@every_door
@pytest.mark.parametrize(
    "templates",
    [
        ("Authorization: Bearer {text}", "Authorization: Bearer {text}"),
        ("Authorization: Bearer {text}", "authorization: Bearer junk"),
        ("Authorization: Basic junk", "Authorization: Bearer {text}"),
        ("Authorization:", "Authorization: Bearer {text}"),
        ("Authorization: Bearer {text}", "Authorization:"),
        ("X-Auth-Token: {text}", "X-Auth-Token: {text}"),
        ("X-Auth-Token: {text}", "x-auth-token: junk"),
        ("Authorization: Bearer {text}", "X-Auth-Token: {text}"),
        ("X-Auth-Token: junk", "Authorization: Bearer {text}"),
        ("X-Auth-Token:", "Authorization: Bearer {text}"),
        ("Authorization: Bearer {text}", "Authorization: PVEAPIToken={principal}!{name}={text}"),
    ],
)
def test_two_headers_at_once_are_a_bad_request(
    door: str, templates: tuple[str, ...], web: Web, committed: Estate
) -> None:  # A16, A17
    answer = web.send(DOORS[door].path, *lines(committed, *templates))

    assert (answer.status, code_of(answer)) == (400, "multiple_credentials")


@every_door
@pytest.mark.parametrize(
    "header", [b"Authorization: Bearer ", b"X-Auth-Token: ", b"Authorization: PVEAPIToken="]
)
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xfe",
        b"\x80abc",
        "thf_é".encode(),
        "\u200b".encode(),
        b"\xc3\x28",
        b"a" * 8192,
        b"a" * 65536,
    ],
    ids=lambda value: f"{value[:4]!r} x {len(value)}",
)
def test_bytes_that_are_no_secret_are_invalid(
    door: str, header: bytes, value: bytes, web: Web
) -> None:  # A13, A15
    answer = web.send(DOORS[door].path, header + value)

    assert (answer.status, code_of(answer)) == (401, "token_invalid")
    assert answer.headers["www-authenticate"].startswith("Bearer realm=")


@every_door
@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"Authorization: Bearer a\x00b", 400),  # A14
        (b"Authorization: Bearer a\x01b", 400),
        (b"Authorization: Bearer\r\n thf_folded", 400),  # RFC 9112, 5.2: folding is refused
        (b"Authorization : Bearer a", 400),  # RFC 9112, 5.1: so is a space before the colon
        (b"X-Auth-Token\x00: a", 400),
        (b"X-Auth-Token: " + b"a" * 1024 * 1024, 431),  # A15
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else None,
)
def test_what_is_no_http_never_reaches_the_product(door: str, line: bytes, status: int, web: Web) -> None:
    assert web.send(DOORS[door].path, line).status == status


@every_door
@pytest.mark.parametrize(
    "place", ["%00", "%ff", "%c0%af", "..%2f..%2f", "%", "%zz", "//", ";a=b", "a" * 5000]
)
def test_a_strange_address_is_answered(door: str, place: str, web: Web) -> None:  # A14, 117
    path, _, query = DOORS[door].path.partition("?")

    for target in (f"{path}{place}", f"/{place}{path}", f"{path}?{query}&x={place}", f"{path}?{place}"):
        answer = web.send(target)
        assert 400 <= answer.status < 500
        assert code_of(answer) in {"not_found", "credential_missing", "invalid"}


# Header names with an underscore look like the ones with a hyphen once they are in a WSGI environ


@every_door
@pytest.mark.parametrize("name", ["X_Auth_Token", "X-Auth_Token", "x_auth-token"])
def test_a_header_with_an_underscore_is_no_credential(
    door: str, name: str, web: Web, committed: Estate
) -> None:  # A21
    answer = web.send(DOORS[door].path, *lines(committed, f"{name}: {{text}}"))

    assert (answer.status, code_of(answer)) == (401, "credential_missing")


@every_door
def test_a_header_with_an_underscore_does_not_replace_the_real_one(
    door: str, web: Web, committed: Estate
) -> None:  # A21
    answers = [
        web.send(DOORS[door].path, *lines(committed, *templates)).status
        for templates in (
            ("X-Auth-Token: {text}", "X_Auth_Token: junk"),
            ("X_Auth_Token: junk", "X-Auth-Token: {text}"),
        )
    ]

    assert answers == [DOORS[door].opened] * 2


def test_a_header_with_an_underscore_does_not_choose_the_client_s_address(
    web: Web, committed: Estate
) -> None:
    secret, spoof = lines(committed, "X-Auth-Token: {text}", "X_Forwarded_For: 10.9.9.9")

    answer = web.send("/api/v1/whoami/", secret, b"X-Forwarded-For: 192.0.2.7", spoof)

    assert answer.status == 200
    assert last_event(request_id=answer.headers["x-request-id"]).address == "192.0.2.7"


def test_nobody_was_changed_by_all_this(web: Web, committed: Estate) -> None:
    assert web.send("/healthz").status == 200
    assert User.objects.filter(is_superuser=True).count() == 1
