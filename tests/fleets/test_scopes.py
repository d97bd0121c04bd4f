"""The catalogue of scopes: names, risks, areas, exact parsing."""

import pytest

from fleets.scopes import (
    ALL_SCOPES,
    AREA,
    BUILT_IN_RISK,
    DESCRIPTION,
    PERSONAL_ONLY,
    Scope,
    parse_scopes,
)

RISKS = {
    "machines:read": "low",
    "machines:operate": "medium",
    "machines:write": "medium",
    "machines:configure": "high",
    "machines:create": "high",
    "snapshots:read": "low",
    "snapshots:write": "medium",
    "templates:manage": "medium",
    "networks:manage": "medium",
    "images:manage": "medium",
    "commands:execute": "high",
    "files:read": "medium",
    "files:write": "high",
    "schedules:manage": "medium",
    "agent:invoke": "high",
    "permissions:manage": "high",
    "tokens:read": "medium",
    "tokens:manage": "high",
    "approvals:decide": "high",
    "audit:read": "medium",
    "introspect": "low",
}


def test_the_catalogue_has_exactly_these_scopes_with_these_risks() -> None:
    assert {str(scope): BUILT_IN_RISK[scope].label for scope in Scope} == RISKS


def test_every_scope_says_what_it_allows_in_one_line() -> None:
    assert set(DESCRIPTION) == ALL_SCOPES
    assert [scope for scope in Scope if not scope.description or "\n" in scope.description] == []
    assert len(set(DESCRIPTION.values())) == len(ALL_SCOPES)


def test_the_area_of_a_scope_is_what_stands_before_the_colon() -> None:
    assert Scope.MACHINES_READ.area == "machines"
    assert Scope.INTROSPECT.area == "introspect"
    assert set(AREA.values()) == {name.split(":")[0] for name in RISKS}


def test_a_scope_equals_its_name_in_sets_of_plain_text() -> None:
    assert frozenset({"machines:read"}) == frozenset({Scope.MACHINES_READ})


def test_only_personal_tokens_may_decide_on_approvals() -> None:
    assert {Scope.APPROVALS_DECIDE} == PERSONAL_ONLY


def test_names_are_parsed_to_scopes_and_repeated_names_count_once() -> None:
    parsed = parse_scopes(["machines:read", "introspect", "machines:read"])

    assert parsed == {Scope.MACHINES_READ, Scope.INTROSPECT}
    assert parse_scopes([]) == frozenset()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "machines",
        "machines:",
        "machines:*",
        ":read",
        "Machines:read",
        "MACHINES_READ",
        " machines:read",
        "machines:read ",
        "machines:read\n",
        "machines:read,machines:write",
        "machines.read",
        "mach\u0131nes:read",
        "machines\uff1aread",
        "machines:read\x00",
        "admin",
    ],
)
def test_a_name_that_is_not_exactly_a_scope_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError) as refusal:
        parse_scopes(["machines:read", name])

    assert repr(name) in str(refusal.value)


def test_a_very_long_unknown_name_is_not_repeated_whole() -> None:
    with pytest.raises(ValueError) as refusal:
        parse_scopes(["x" * 10_000])

    assert len(str(refusal.value)) < 120
