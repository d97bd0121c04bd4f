"""Strict JSON: what has two readings, or none that can be stored, is refused."""

from typing import Any

import pytest
from rest_framework.exceptions import ParseError
from rest_framework.test import APIClient

from config.edge.parsing import loads
from config.edge.refusals import DomainError

FAILING = pytest.mark.urls("tests.edge.urls_that_fail")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("{}", {}),
        (' {"a": [1, 2.5, null, true, "ä\\n"]} ', {"a": [1, 2.5, None, True, "ä\n"]}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        ('{"a": {"a": {"a": 1}}}', {"a": {"a": {"a": 1}}}),
        (f'{{"a": {"[" * 18}{"]" * 18}}}', None),
    ],
)
def test_plain_json_is_read(text: str, value: Any) -> None:
    assert value is None or loads(text.encode()) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"nonsense",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1} {"b": 2}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": 01}',
        b'{"a": +1}',
    ],
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ParseError):
        loads(raw)


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        ("[]", "not_an_object", None),
        ('"a"', "not_an_object", None),
        ("null", "not_an_object", None),
        ('{"a": 1, "a": 1}', "invalid", "a"),
        ('{"b": {"a": 1, "a": 2}}', "invalid", "a"),
        ('{"a": "\\u0000"}', "invalid", "a"),
        ('{"a": {"b": ["x", "\\ud800"]}}', "invalid", "a.b.1"),
        ('{"\\u0000": 1}', "invalid", "\x00"),
        ('{"\\udfff": 1}', "invalid", "\\udfff"),
        ('{"a": NaN}', "not_a_number", None),
        ('{"a": -Infinity}', "not_a_number", None),
        ('{"a": 1e999}', "not_a_number", None),
        (f'{{"a": {"9" * 4301}}}', "not_a_number", None),
        (f'{{"a": {"[" * 30}{"]" * 30}}}', "too_deep", None),
    ],
)
def test_what_has_two_readings_or_none_is_refused(text: str, code: str, field: str | None) -> None:
    with pytest.raises(DomainError) as refusal:
        loads(text.encode())

    assert refusal.value.code == code
    assert [error.field for error in refusal.value.errors] == ([field] if field else [])


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_depth_beyond_all_use_is_refused_and_not_a_crash(depth: int) -> None:
    with pytest.raises((ParseError, DomainError)):
        loads(b'{"a": ' + b"[" * depth + b"]" * depth + b"}")


@FAILING
@pytest.mark.parametrize(
    ("size", "status"), [(64 * 1024, 200), (64 * 1024 + 1, 413), (10 * 1024 * 1024, 413)]
)
def test_a_body_has_at_most_64_kib(size: int, status: int) -> None:
    body = '{"a": "' + "x" * (size - 9) + '"}'
    assert len(body) == size

    response = APIClient().post("/api/v1/any/", body, content_type="application/json")

    assert response.status_code == status
    if status == 413:
        assert response.json()["code"] == "body_too_large"


@FAILING
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"CONTENT_LENGTH": "many"}, 400),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "٣"}, 400),
        ({"CONTENT_LENGTH": "9" * 40}, 413),
        ({"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}, 411),
        ({"HTTP_CONTENT_ENCODING": "gzip"}, 415),
        ({"HTTP_CONTENT_ENCODING": "identity"}, 200),
    ],
)
def test_a_body_whose_length_is_no_number_unknown_or_compressed_is_not_read(
    headers: dict[str, str], status: int
) -> None:
    extra: dict[str, Any] = headers

    assert (
        APIClient().post("/api/v1/any/", "{}", content_type="application/json", **extra).status_code == status
    )


@FAILING
@pytest.mark.parametrize(
    "media_type", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/json", ""]
)
def test_only_json_is_read(media_type: str) -> None:
    response = APIClient().generic("POST", "/api/v1/any/", '{"a": 1}', content_type=media_type)

    assert response.status_code == 415
