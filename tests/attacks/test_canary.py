"""Known secrets go through every flow, then everything that was kept is searched for them.

The flows run against the web server and the worker as `make run` starts them; what needs a crash inside runs here.
Names and descriptions are texts that people store: a secret typed there is not looked for.
"""

import base64
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from auditlog.models import LogEntry
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError, connection, transaction
from redis import Redis
from rest_framework.test import APIClient

from audit.models import Event
from config.edge.refusals import Unavailable
from fleets.models import Organization, User
from fleets.scopes import parse_scopes
from tests import factories, pages
from tests.attacks import needles
from tests.attacks.doors import CARRIERS, DOORS, Shown
from tests.attacks.estate import Estate
from tests.attacks.processes import Web, Worker
from tests.attacks.tables import Attempt
from tokens import issuance, lifecycle, secret
from tokens.issuance import Wish
from tokens.models import Token, TokenSecret

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def db(committed: Estate) -> None:
    """In place of the transaction around each test, which other processes would not see into."""


# The flows, in processes of their own


@dataclass
class Walk:
    """What was shown once, and every answer and output that came besides."""

    web: Web
    secrets: list[str] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    stores: dict[str, bytes] = field(default_factory=dict)

    def once(self, response: httpx.Response) -> str:
        """A first answer: the one place where its secret may stand."""
        assert response.status_code in {200, 201}, response.text
        [found] = set(secret.PATTERN.findall(response.text))
        self.secrets.append(found)
        self.keep(f"headers of {response.request.url.path}", repr(response.headers.multi_items()))
        return str(found)

    def again(self, response: httpx.Response, *statuses: int) -> None:
        """Any other answer."""
        assert not statuses or response.status_code in statuses, (response.request.url.path, response.text)
        self.keep(f"{response.request.method} {response.request.url.path}", response.text)
        self.keep(f"headers of {response.request.url.path}", repr(response.headers.multi_items()))

    def keep(self, name: str, text: str) -> None:
        self.kept[f"{len(self.kept)} {name}"] = text.encode()


@pytest.fixture(scope="module")
def walk(committed: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("canary")
    with Web(folder) as web, Worker(folder) as worker:
        walked = Walk(web)
        each_anew = httpx.Limits(max_keepalive_connections=0)  # a refused body ends its connection
        with httpx.Client(base_url=f"http://127.0.0.1:{web.port}", timeout=30, limits=each_anew) as client:
            _by_api(walked, client, committed)
            _by_mistake(walked, client, committed)
            _in_the_admin(walked, client, committed.ours.owner)
        _on_the_command_line(walked)
        walked.kept["log of the web server"] = web.output.encode()
        walked.kept["log of the worker"] = worker.output.encode()
        walked.stores = needles.everything()
        yield walked


def _headers(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def _by_api(walked: Walk, client: httpx.Client, estate: Estate) -> None:
    manager = _headers(estate.ours.personal.secret.reveal())
    issue = {"kind": "fleet", "owner": "acme-edge", "name": "canary", "scopes": ["machines:read"]}
    keyed = {**manager, "Idempotency-Key": "canary-1"}
    answer = client.post("/api/v1/tokens/", json=issue, headers=keyed)
    first, token = walked.once(answer), answer.json()
    walked.again(client.post("/api/v1/tokens/", json=issue, headers=keyed), 409)
    walked.again(client.post("/api/v1/tokens/", json={**issue, "name": "b"}, headers=keyed), 422)
    walked.again(client.get(f"/api/v1/tokens/{token['id']}/", headers=manager), 200)
    walked.again(client.get("/api/v1/tokens/", headers=manager), 200)

    of = Shown(first, token["principal"], token["name"])
    for carrier in CARRIERS.values():
        for door in DOORS.values():
            walked.again(client.get(door.path, headers=carrier(first, of)), door.opened)
        walked.again(client.get("/api/v1/nothing/", headers=carrier(first, of)), 404)
        walked.again(client.post("/api/v1/machines/", json={}, headers=carrier(first, of)), 403)
        walked.again(client.get(f"/api/v1/machines/{uuid4()}/", headers=carrier(first, of)), 404)
        walked.again(
            client.get(
                "/gate/verify?organization=globex&scope=machines:read&path=/", headers=carrier(first, of)
            )
        )
        walked.again(client.get("/api/v1/whoami/", headers=carrier(f"{first}x", of)), 401)
        walked.again(client.get("/api/v1/whoami/", headers=carrier(first, of._replace(principal="nobody"))))
    walked.again(client.get("/api/v1/whoami/", headers={**_headers(first), "X-Auth-Token": first}), 400)
    walked.again(client.get("/api/v1/machines/", params={"token": first}), 401)

    rotate = f"/api/v1/tokens/{token['id']}/rotate/"
    keyed = {**manager, "Idempotency-Key": "canary-2"}
    second = walked.once(client.post(rotate, json={"overlap": "1h"}, headers=keyed))
    walked.again(client.post(rotate, json={"overlap": "1h"}, headers=keyed), 409)
    for text in (first, second):
        walked.again(client.get("/api/v1/token/", headers=_headers(text)), 200)
    third = walked.once(client.post("/api/v1/token/rotate/", json={}, headers=_headers(second)))
    for text in (first, second):
        walked.again(client.get("/api/v1/token/", headers=_headers(text)), 401)
    walked.again(client.patch("/api/v1/token/", json={"reason": "narrower"}, headers=_headers(third)), 200)
    walked.again(client.get("/api/v1/token/permissions/", headers=_headers(third)), 200)
    for verb, status in (("disable", 401), ("enable", 200), ("revoke", 401)):
        walked.again(client.post(f"/api/v1/tokens/{token['id']}/{verb}/", json={}, headers=manager), 200)
        walked.again(client.get("/api/v1/token/", headers=_headers(third)), status)
    for what in ("history", "activity"):
        walked.again(client.get(f"/api/v1/tokens/{token['id']}/{what}/?limit=200", headers=manager), 200)
    walked.again(client.get("/api/v1/audit/events/?limit=200", headers=manager), 200)


def _by_mistake(walked: Walk, client: httpx.Client, estate: Estate) -> None:
    """A live secret where none belongs: each is refused or ignored, and forgotten."""
    issue = {"kind": "fleet", "owner": "acme-edge", "name": "misused", "scopes": ["machines:read"]}
    manager = _headers(estate.ours.personal.secret.reveal())
    live = walked.once(client.post("/api/v1/tokens/", json=issue, headers=manager))
    plain = {**_headers(live), "Content-Type": "application/json"}
    url = "/api/v1/machines/"
    for content in (
        f'{{"name": "{live}"',
        f'{{"name": {live}}}',
        f'["{live}"]',
        f'{{"a": "{live}", "a": 1}}',
        live,
    ):
        client.post(url, content=content, headers=plain)
    client.post(
        url, content=f'{{"name": "{live}", "fleet": 1}}', headers={**plain, "Content-Type": "text/plain"}
    )
    client.post(url, content=f'{{"name": "{live * 2000}"}}', headers=plain)
    told = {**issue, "name": "told", "description": f"After {live}", "reason": live}
    keyed_by_manager = {**manager, "Idempotency-Key": uuid4().hex}
    walked.again(client.post("/api/v1/tokens/", json=told, headers=keyed_by_manager), 400)
    for header in (
        "X-Request-ID",
        "User-Agent",
        "Referer",
        "Origin",
        "If-Match",
        "If-None-Match",
        "Accept",
        "Cookie",
    ):
        client.get("/api/v1/whoami/", headers={**_headers(live), header: live})
        client.get("/api/v1/whoami/", headers={header: live})
    held = _headers(live)
    keyed = {**held, "Idempotency-Key": live}
    assert client.post("/api/v1/token/rotate/", json={"overlap": "1h"}, headers=keyed).status_code == 400
    for path in (
        f"/api/v1/tokens/{live}/",
        f"/api/v1/{live}",
        f"/{live}",
        f"/admin/{live}/",
        f"/static/{live}",
    ):
        client.get(path, headers=held)
        client.get(path)
    for query in (f"path=/x/{live}", f"path={live}", f"path=/&x={live}", f"path=/&{live}=x"):
        client.get(f"/gate/verify?organization=acme&scope=machines:read&{query}", headers=held)
    client.get("/api/v1/machines/", params={live: "1", "cursor": live}, headers=held)
    client.post("/admin/login/", data={"username": live, "password": live})


def _in_the_admin(walked: Walk, client: httpx.Client, user: User) -> None:
    browser = APIClient()
    browser.force_login(user)
    client.cookies.set("sessionid", browser.cookies["sessionid"].value)
    add = "/admin/tokens/token/add/?for=acme/fleet:acme-edge"
    token = _csrf(client, add)
    form = {
        "once": str(uuid4()),
        "name": "canary-in-the-admin",
        "scopes": ["machines:read"],
        "reach": "all",
        "lifetime": "30d",
        "csrfmiddlewaretoken": token,
    }
    text = walked.once(client.post(add, data=form))
    walked.again(client.post(add, data=form), 409)
    pk = text[4:20]
    told = {**form, "once": str(uuid4()), "name": "told", "description": text, "reason": text}
    walked.again(client.post(add, data=told), 200)
    walked.again(client.get("/api/v1/whoami/", headers=_headers(text)), 200)
    rotate = f"/admin/tokens/token/{pk}/rotate/"
    hidden = pages.hidden_in(client.get(rotate).text)
    rotation = {"once": str(uuid4()), "overlap": "0", "csrfmiddlewaretoken": token, **hidden}
    walked.once(client.post(rotate, data=rotation))
    walked.again(client.post(rotate, data=rotation), 409)
    for page in (
        "/admin/",
        "/admin/tokens/token/",
        f"/admin/tokens/token/{pk}/change/",
        "/admin/audit/event/",
        add,
    ):
        walked.again(client.get(page), 200)


def _csrf(client: httpx.Client, page: str) -> str:
    text = client.get(page).text
    return text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]


def _on_the_command_line(walked: Walk) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", "token", *words],
            cwd=REPOSITORY,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    added = run("add", "fleet:acme-edge", "canary-by-command", "--scope", "machines:read", "--format", "json")
    assert added.returncode == 0, added.stderr
    walked.secrets.append(json.loads(added.stdout)["secret"])
    walked.keep("stderr of token add", added.stderr)
    for words in (("info", "fleet:acme-edge", "canary-by-command"), ("list", "--all")):
        shown = run(*words)
        assert shown.returncode == 0, shown.stderr
        walked.keep(f"token {words[0]}", shown.stdout + shown.stderr)


def test_the_flows_have_shown_secrets_that_could_be_left_behind(walk: Walk) -> None:
    assert len(set(walk.secrets)) == 7
    assert all(secret.parse(text) for text in walk.secrets)
    assert "request" in walk.kept["log of the web server"].decode()
    assert TokenSecret.objects.filter(token__name="canary").count() == 3


def test_no_answer_after_the_first_holds_a_secret(walk: Walk) -> None:
    answers = {name: text for name, text in walk.kept.items() if not name.startswith("log")}

    assert len(answers) > 100
    assert needles.hits(walk.secrets, answers) == []


def test_no_log_holds_a_secret(walk: Walk) -> None:
    logs = {name: text for name, text in walk.kept.items() if name.startswith("log")}

    assert needles.hits(walk.secrets, logs) == []


def test_no_table_file_session_or_key_holds_a_secret(walk: Walk) -> None:
    assert {"table", "session", "valkey"} <= {name.partition(" ")[0] for name in walk.stores}
    assert needles.hits(walk.secrets, walk.stores) == []


# A crash between the making of a secret and the answer


class Crash(Exception):
    """What no code expects."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every secret that is made from here on, as it is made."""
    texts: list[str] = []
    real = secret.generate

    def generate(kind: str, token_id: str) -> str:
        texts.append(real(kind, token_id))
        return texts[-1]

    monkeypatch.setattr(secret, "generate", generate)
    return texts


def _no_event(patch: pytest.MonkeyPatch) -> None:
    def save(event: Event, *arguments: Any, **options: Any) -> None:
        raise DatabaseError("disk full")

    patch.setattr(Event, "save", save)


def _no_digest(patch: pytest.MonkeyPatch) -> None:
    real = TokenSecret.save

    def save(row: TokenSecret, *arguments: Any, **options: Any) -> None:
        if row._state.adding:
            raise Crash(row)
        real(row, *arguments, **options)

    patch.setattr(TokenSecret, "save", save)


def _no_answer(patch: pytest.MonkeyPatch) -> None:
    def presented(*arguments: Any) -> None:
        raise Crash(arguments)

    patch.setattr("tokens.api.views.represent", presented)


CRASHES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], int]] = {
    "the event can't be written": (_no_event, 503),
    "the digest can't be written": (_no_digest, 500),
    "the answer can't be made": (_no_answer, 500),
}


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.parametrize("verb", ["issue", "rotate"])
def test_a_crash_after_a_secret_was_made_leaves_nothing_of_it(
    verb: str,
    crash: str,
    committed: Estate,
    made: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    client = factories.session_client(committed.ours.owner, raise_request_exception=False)
    break_it, status = CRASHES[crash]
    caplog.set_level(logging.DEBUG)
    issued = TokenSecret.objects.count()
    with transaction.atomic():  # so that what the crash leaves is undone
        with monkeypatch.context() as patch:
            break_it(patch)
            if verb == "issue":
                body = {
                    "kind": "fleet",
                    "owner": "acme-edge",
                    "name": uuid4().hex,
                    "scopes": ["machines:read"],
                }
                response = client.post("/api/v1/tokens/", body)
            else:
                response = client.post(f"/api/v1/tokens/{committed.ours.token.token.pk}/rotate/", {})
        if crash != "the answer can't be made":
            assert TokenSecret.objects.count() == issued, "nothing was changed"
        found = needles.everything()
        transaction.set_rollback(True)

    assert response.status_code == status, "the crash happened"
    assert len(made) == 1
    printed = capfd.readouterr()
    sinks = {"answer": response.content, "log": caplog.text.encode(), "stderr": printed.err.encode()}
    records = [repr(vars(record)).encode() for record in caplog.records]
    sinks |= {f"record {number}": text for number, text in enumerate(records)}
    assert needles.hits(made, {**sinks, **found}) == []
    assert caplog.records, "and somebody was told"


def test_no_exception_shows_a_secret(
    committed: Estate, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = Token.objects.get(pk=committed.ours.token.token.pk)
    organization = Organization.objects.get(pk=committed.ours.organization.pk)
    wish = Wish(scopes=parse_scopes(["machines:read"]))
    _no_event(monkeypatch)

    with pytest.raises(Unavailable) as of_rotation:
        lifecycle.rotate(token, by=factories.operator)
    with pytest.raises(Unavailable) as of_issue:
        issuance.issue(organization, owner=committed.ours.fleet, name="new", wish=wish, by=factories.operator)

    assert len(made) == 2
    chains = [*needles.exceptions(of_rotation.value), *needles.exceptions(of_issue.value)]
    shown = {str(number): text for number, text in enumerate(chains)}
    assert needles.hits(made, shown) == []


def test_what_holds_a_secret_does_not_show_or_pickle_it(committed: Estate) -> None:
    issued = committed.ours.token
    text = issued.secret.reveal()
    shown = f"{issued!r} {issued.secret!s} {issued.secret:>80} {[issued.secret]} {secret.parse(text)!r}"

    assert needles.hits([text], {"shown": shown.encode()}) == []
    assert issued.token.pk in shown


# The search finds what is there

PLANTED = "thf_0123456789abcdef_ABCDEFGHIJKLMNOPqrstuvwxyz012345aaaaaa"


@pytest.mark.parametrize("form", needles.forms(PLANTED))
def test_a_secret_that_was_left_behind_is_found_in_every_form(form: str) -> None:
    planted = b"before " + needles.forms(PLANTED)[form] + b" after"

    assert [hit for hit in needles.hits([PLANTED], {"sink": planted}) if form in hit]
    assert needles.hits([PLANTED], {"sink": b"before and after"}) == []


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "abcd"])
def test_a_secret_inside_an_encoded_text_is_found(before: str) -> None:
    text = f"{before}{PLANTED}".encode()

    assert needles.hits([PLANTED], {"sink": base64.b64encode(text)})
    assert needles.hits([PLANTED], {"sink": text.hex().encode()})


def _in_text(text: str) -> None:
    Token.objects.filter(name__startswith="token-").update(description=text[21:37])


def _in_bytes(text: str) -> None:
    TokenSecret.objects.update(digest=text.encode()[21:53])


def _in_json(text: str) -> None:
    Organization.objects.update(policy={"a": [{"b": text}]})


def _in_an_event(text: str) -> None:
    Event(**{**_event(), "data": {"path": text}}).save()


def _event() -> dict[str, Any]:
    event = Event.objects.all()[0]
    columns = {field.attname: getattr(event, field.attname) for field in Event._meta.concrete_fields}
    return {name: value for name, value in columns.items() if name not in {"id", "sequence"}}


def _in_a_session(text: str) -> None:
    store: Any = SessionStore()
    store["messages"] = [text, "a" * 5_000]  # long enough to be compressed
    store.save()


def _in_a_field_diff(text: str) -> None:
    entry = LogEntry.objects.log_create(
        Token.objects.earliest("created_at"), action=LogEntry.Action.UPDATE, changes={"name": ["", "x"]}
    )
    LogEntry.objects.filter(pk=entry.pk).update(changes={"name": ["", text]})


TABLES = [_in_text, _in_bytes, _in_json, _in_an_event, _in_a_session, _in_a_field_diff]


def test_a_secret_that_was_left_in_a_table_is_found(committed: Estate, attempt: Attempt) -> None:
    assert needles.hits([PLANTED], needles.everything()) == []

    for plant in TABLES:
        with attempt(plant.__name__):
            plant(PLANTED)
            assert needles.hits([PLANTED], needles.everything())

    assert needles.hits([PLANTED], needles.everything()) == [], "each was found where it had been left, alone"


def test_a_secret_that_was_left_in_the_file_of_the_database_is_found(committed: Estate) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL's files are the server's; its tables are read")
    organization = Organization.objects.filter(slug="globex")
    organization.update(name=PLANTED)
    organization.update(name="Globex")

    found = needles.hits([PLANTED], needles.database())

    assert [hit for hit in found if hit.startswith("file")], "in a page that is free again, or in the journal"


KEYS: dict[str, Callable[[Any, str], object]] = {
    "name": lambda client, text: client.set(text, "1"),
    "string": lambda client, text: client.set("canary", text),
    "hash": lambda client, text: client.hset("canary", "a", text),
    "field of a hash": lambda client, text: client.hset("canary", text, "a"),
    "list": lambda client, text: client.rpush("canary", "a", text),
    "set": lambda client, text: client.sadd("canary", text),
    "sorted set": lambda client, text: client.zadd("canary", {text: 1}),
    "stream": lambda client, text: client.xadd("canary", {"a": text}),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_secret_that_was_left_in_valkey_is_found(kind: str, committed: Estate) -> None:
    for url in (settings.REDIS.cache, settings.REDIS.state, settings.REDIS.broker):
        client: Any = Redis.from_url(url)
        KEYS[kind](client, PLANTED)

        assert needles.hits([PLANTED], needles.valkey())

        client.delete("canary", PLANTED)
        client.close()


def test_a_secret_that_was_left_in_an_exception_is_found() -> None:
    try:
        try:
            raise ValueError(PLANTED)
        except ValueError as cause:
            raise Crash("quiet") from cause
    except Crash as error:
        shown = dict(enumerate(needles.exceptions(error)))

    assert needles.hits([PLANTED], {str(number): text for number, text in shown.items()})
