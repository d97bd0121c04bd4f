"""If-Match: strong comparison of entity tags."""

import pytest
from django.test import RequestFactory
from rest_framework.request import Request

from config.edge.conditional import etag, require_match
from config.edge.refusals import Invalid, StaleVersion


class Row:
    version = 7


def asked(value: str | None) -> Request:
    return Request(RequestFactory().get("/", headers={} if value is None else {"if-match": value}))


@pytest.mark.parametrize("value", [None, "*", " * ", '"7"', '"1", "7"', '"7" , W/"8"'])
def test_a_version_that_is_named_passes(value: str | None) -> None:
    assert etag(Row()) == '"7"'
    require_match(asked(value), Row())


@pytest.mark.parametrize("value", ['"6"', '"1", "2"', 'W/"7"', '"07"', '""', '"77"'])
def test_a_version_that_is_not_named_is_stale(value: str) -> None:
    with pytest.raises(StaleVersion):
        require_match(asked(value), Row())


@pytest.mark.parametrize("value", ["7", '"7', "", '"7",', "W/7", '"a"b"', "*, *"])
def test_what_is_no_entity_tag_is_400(value: str) -> None:
    with pytest.raises(Invalid) as refusal:
        require_match(asked(value), Row())

    assert refusal.value.code == "bad_if_match"
