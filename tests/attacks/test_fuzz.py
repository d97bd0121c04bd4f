"""Junk for every operation of the OpenAPI description, from callers who may do everything.

A few requests each in `make test`, thousands in `make soak`. Whatever is sent, nothing answers with a 5xx.
"""

import json
import os
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.edge.description import described
from fleets.authority import ROLE_SCOPES
from fleets.scopes import Scope
from tests.attacks.clients import bearer_client, session_client
from tests.attacks.estate import Estate

pytestmark = pytest.mark.django_db


def operations() -> list[tuple[str, str]]:
    return [(method, path) for path, item in described()["paths"].items() for method in item]


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = described()["paths"][path][method]
    return found


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = described()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


# What is sent: mostly what looks right, sometimes what never does

NASTY = [
    *(
        "",
        " ",
        "\x00",
        "\ud800",
        "\u202e",
        "\u2028",
        "a" * 300,
        "a" * 70_000,
        "../..",
        "%00",
        "{{7*7}}",
        "' OR 1=1--",
    ),
    *(
        "null",
        "true",
        "-1",
        "0",
        "1e309",
        "9" * 30,
        "NaN",
        "all",
        "never",
        "2030-01-01",
        "0001-01-01T00:00:00+23:59",
    ),
    *(
        "/",
        "//",
        "/fleets/acme-edge",
        "/fleets/none",
        "/vms/100",
        "/vms/00",
        "/a/../b",
        "acme",
        "globex",
        "fleet:",
    ),
    *("acme-edge", "fleet:acme-edge", "globex-edge", "acme-owner", "globex-owner", "group:x", "machines:*"),
]
junk_text = st.text(st.characters(codec=None), max_size=30) | st.sampled_from(NASTY)
words = st.sampled_from(
    [*(scope.value for scope in Scope), *map(str, ROLE_SCOPES), "owner", "start", "personal"]
)
texts = words | junk_text
numbers = st.integers() | st.floats() | st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**25])
junk = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


def values(schema: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of the schema's kind, within its limits or not."""
    schema = resolved(schema)
    for name in ("oneOf", "anyOf", "allOf"):
        if name in schema:
            return st.one_of([values(each, depth) for each in schema[name]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "array" and depth < 4:
        return st.lists(values(schema.get("items", {}), depth + 1), max_size=3)
    if kind == "object" and depth < 4:
        return bodies(schema, depth + 1)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        "integer": st.integers(),
        "number": st.floats(),
        "boolean": st.booleans(),
        "string": st.uuids().map(str) if schema.get("format") == "uuid" else texts,
    }
    return plain.get(kind, junk)


def bodies(schema: dict[str, Any], depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    fields = {
        name: st.one_of(values(inner, depth), values(inner, depth), junk)
        for name, inner in resolved(schema).get("properties", {}).items()
    }
    return st.fixed_dictionaries({}, optional={**fields, "unknown": junk} if depth == 0 else fields)


content_types = st.just("application/json") | st.sampled_from(
    ["", "text/plain", "*/*", "multipart/form-data", "x"]
)
header_text = st.text(st.characters(max_codepoint=255), max_size=30) | st.sampled_from(
    ['"1"', "*", "a" * 300]
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "HTTP_IF_MATCH": header_text,
        "HTTP_IDEMPOTENCY_KEY": header_text,
        "HTTP_ACCEPT": header_text,
        "HTTP_X_REQUEST_ID": header_text,
        "HTTP_USER_AGENT": header_text,
        "HTTP_COOKIE": header_text,  # WSGI's text is Latin-1, here and above
        "HTTP_CONTENT_ENCODING": st.just("gzip"),
    },
)


def request_of(
    data: st.DataObject, method: str, path: str, estate: Estate
) -> tuple[str, bytes, str, dict[str, str]]:
    """An address, a body, its content type and further headers."""
    described = operation(method, path)
    ours = estate.ours
    known = [
        str(row.pk)
        for row in (
            *(ours.machine, ours.fleet, ours.group, ours.member, ours.token.token, ours.event),
            *(ours.template, ours.network, ours.image, ours.application, ours.technical_user, ours.approval),
        )
    ]
    ids = st.sampled_from(known) | st.uuids().map(str) | junk_text
    address, query = path, {}
    for parameter in described.get("parameters", []):
        name = parameter["name"]
        if parameter["in"] == "path":
            text = data.draw(ids, label=name)
            address = address.replace(f"{{{name}}}", quote(text, safe="", errors="surrogatepass"))
        elif data.draw(st.integers(0, 3)) == 0:
            query[name] = str(data.draw(values(parameter.get("schema", {})) | texts, label=name))
    if data.draw(st.integers(0, 9)) == 0:
        query[data.draw(junk_text)] = data.draw(junk_text)
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    body = b""
    if content:
        raw = st.binary(max_size=100) | junk.map(_json)
        body = data.draw(st.one_of(*[bodies(content["schema"]).map(_json)] * 9, raw), label="body")
    text = f"{address}?{urlencode(query, errors='surrogatepass')}" if query else address
    more = data.draw(headers) if data.draw(st.integers(0, 3)) == 0 else {}
    return text, body, data.draw(content_types) if body else "", more


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def attack(data: st.DataObject, method: str, path: str, estate: Estate) -> None:
    address, body, content_type, more = request_of(data, method, path, estate)
    by_token = data.draw(st.booleans(), label="by a token")

    with transaction.atomic():
        client = bearer_client(estate.ours.personal) if by_token else session_client(estate.superuser)
        response = client.generic(method.upper(), address, body, content_type, **more)  # type: ignore[arg-type]
        transaction.set_rollback(True)

    assert response.status_code < 500, response.content[:1000]
    assert response["X-Request-ID"]
    if response.status_code >= 400:
        assert response["Content-Type"] == "application/problem+json"
        document = response.json()
        assert document["status"] == response.status_code
        assert document["request_id"] == response["X-Request-ID"]
        assert document["code"]


MANY = 20 * int(os.environ.get("SOAK_ROUNDS", "50"))  # requests an operation: 1,000 in a whole soak

every_operation = pytest.mark.parametrize(
    ("method", "path"), operations(), ids=lambda value: value.removeprefix("/api/v1/")
)
without_fixture_check = [
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
]


@every_operation
@given(data=st.data())
@settings(max_examples=6, database=None, suppress_health_check=without_fixture_check)
def test_a_little_junk_is_answered(data: st.DataObject, method: str, path: str, estate: Estate) -> None:
    attack(data, method, path, estate)


@pytest.mark.soak
@pytest.mark.timeout(900)
@every_operation
@given(data=st.data())
@settings(max_examples=MANY, database=None, suppress_health_check=without_fixture_check)
def test_much_junk_is_answered(data: st.DataObject, method: str, path: str, estate: Estate) -> None:
    attack(data, method, path, estate)


def test_every_operation_is_described_and_so_attacked() -> None:
    assert len(operations()) > 40
    assert all(method in {"get", "post", "put", "patch", "delete"} for method, _ in operations())
