"""The OpenAPI description: complete, and without a warning."""

from typing import Any

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

TAKE_NOTHING = ("/resume/", "/resend/", "/rotate-secret/", "/test/", "/retry/")


@pytest.fixture(scope="module")
def described() -> tuple[Any, list[str]]:
    """The description, and what its generator warned of."""
    GENERATOR_STATS.reset()
    with GENERATOR_STATS.silence():
        generator: Any = SchemaGenerator
        schema = generator().get_schema(request=None, public=True)
    return schema, [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]


def test_it_is_valid_and_nothing_was_guessed(described: tuple[Any, list[str]]) -> None:
    schema, warnings = described

    validate: Any = validate_schema
    validate(schema)
    assert warnings == []


def test_every_operation_names_its_answer_and_its_body(described: tuple[Any, list[str]]) -> None:
    operations = {
        f"{method} {path}": operation
        for path, methods in described[0]["paths"].items()
        for method, operation in methods.items()
    }

    assert len(operations) == 130
    for name, operation in operations.items():
        answers = [answer for status, answer in operation["responses"].items() if status != "204"]
        assert all("content" in answer for answer in answers), name
        if name.split()[0] in {"post", "put", "patch"}:
            assert ("requestBody" in operation) != name.endswith(TAKE_NOTHING), name
        refusal = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert refusal == {"$ref": "#/components/schemas/Problem"}, name


def test_filters_limits_and_the_count_of_hidden_machines_are_described(
    described: tuple[Any, list[str]],
) -> None:
    machines = described[0]["paths"]["/api/v1/machines/"]["get"]
    events = described[0]["paths"]["/api/v1/audit/events/"]["get"]
    page = machines["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]

    named = {parameter["name"] for parameter in machines["parameters"]}
    assert named == {"organization", "fleet", "tag", "kind", "vmid", "name", "search", "limit", "cursor"}
    filters = ["actor", "action", "target", "outcome", "token", "request_id", "since", "until"]
    shared = ["organization", "limit", "cursor"]
    assert {parameter["name"] for parameter in events["parameters"]} == {*filters, *shared}
    assert "hidden" in described[0]["components"]["schemas"][page]["properties"]
