"""What a policy may say, what of it is stored, and which changes of it make it weaker."""

from typing import Any

import pytest

from audit.trail import differences
from config.edge.refusals import Invalid
from fleets.api.policy_schema import PARTS
from fleets.models import Organization
from fleets.organization_policy import (
    DEFAULT,
    KINDS,
    OrganizationPolicy,
    parsed,
    policy_of,
    weakened,
)
from fleets.scopes import BUILT_IN_RISK, Risk, Scope, parse_scopes
from tokens.kinds import Kind


def changed(changes: dict[str, Any], before: OrganizationPolicy = DEFAULT) -> OrganizationPolicy:
    return parsed(changes, before=before)


def each(field: str, *values: Any) -> list[tuple[str, Any]]:
    return [(field, value) for value in values]


def test_the_default_lays_down_nothing_but_a_lifetime() -> None:
    assert (DEFAULT.default_lifetime.days, DEFAULT.maximum_lifetime, DEFAULT.unused_limit) == (90, None, None)
    assert (DEFAULT.never_allowed, DEFAULT.self_approval) == (True, False)
    assert [DEFAULT.approvals_for(risk) for risk in Risk] == [0, 0, 0]
    assert not any(DEFAULT.needs_network(risk) for risk in Risk)
    assert (DEFAULT.kinds_of("member"), DEFAULT.ceiling_of("member")) == (None, None)
    assert DEFAULT.request_lifetime.total_seconds() == 72 * 3600


def test_the_description_names_every_part_and_no_other() -> None:
    assert set(PARTS) == set(DEFAULT.as_json())
    assert set(KINDS) == set(Kind.values)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lifetime", 1),
        *each("default_lifetime_days", 0, 3651, True, 1.5, "30", None, []),
        *each("maximum_lifetime_days", 0, 3651, False, "30", {}),
        *each("unused_limit_days", 0, 3651, -1, "1"),
        *each("request_hours", 0, 721, None, 1.0),
        *each("narrowing_allowed", None, 0, "true"),
        *each("self_approval", None, 1, []),
        *each("never_allowed", None, "no"),
        *each("deciders", [], ["admin"], ["owner", "owner"], "owner", None, [["owner"]]),
        *each("approvals_needed", 1, None, [], [0, 0, 1]),
        *each("approvals_needed.high", -1, 6, None, True, "1", 1.0),
        ("approvals_needed.dire", 1),
        *each("networks_required", True, None),
        *each("networks_required.high", None, 1, "true"),
        ("networks_required.dire", True),
        *each("allowed_kinds", ["personal"], None),
        ("allowed_kinds.member", ["robot"]),
        ("allowed_kinds.member", "personal"),
        ("allowed_kinds.member", ["fleet", "fleet"]),
        ("allowed_kinds.member", [1]),
        ("allowed_kinds.member", {}),
        ("allowed_kinds.king", None),
        ("scope_ceilings.member", ["machines:*"]),
        ("scope_ceilings.member", "machines:read"),
        ("scope_ceilings.member", [None]),
        ("scope_ceilings.king", []),
        *each("scope_risks", None, ["machines:read"], "high"),
        *each("scope_risks.machines:read", 2, True, "HIGH", "dire", [], {}),
        ("scope_risks.machines:operate", "low"),
        ("scope_risks.commands:execute", "medium"),
        *each("scope_risks.machines:*", "high", None),
        ("scope_risks.root", "high"),
    ],
)
def test_what_a_part_can_not_be_is_named(field: str, value: Any) -> None:
    name, _, key = field.partition(".")

    with pytest.raises(Invalid) as refusal:
        changed({name: {key: value} if key else value})

    assert [error.field for error in refusal.value.errors] == [f"policy.{field}"]


def test_of_maps_only_the_named_keys_change() -> None:
    before = changed({"approvals_needed": {"high": 2}, "allowed_kinds": {"member": ["personal"]}})

    after = changed({"approvals_needed": {"medium": 1}, "allowed_kinds": {"auditor": []}}, before)

    assert after.approvals_needed == (0, 1, 2)
    assert [after.kinds_of(role) for role in ("member", "auditor", "owner")] == [{"personal"}, set(), None]
    assert changed({"allowed_kinds": {"member": None}}, after).kinds_of("member") is None


def test_what_is_written_reads_back_the_same() -> None:
    policy = changed(
        {
            "approvals_needed": {"low": 1, "high": 5},
            "deciders": ["owner"],
            "networks_required": {"high": True},
            "allowed_kinds": {"member": ["fleet", "personal"]},
            "scope_ceilings": {"member": ["machines:read"], "auditor": []},
            "scope_risks": {"machines:operate": "high", "introspect": "medium"},
            "maximum_lifetime_days": 30,
            "unused_limit_days": 45,
            "never_allowed": False,
        }
    )

    assert policy_of(Organization(policy=policy.as_json())) == policy
    assert changed(policy.as_json()) == policy


@pytest.mark.parametrize(
    ("stored", "differs"),
    [
        ({}, {}),
        ({"default_lifetime_days": 30}, {"default_lifetime_days": 30}),
        (
            {"approvals_needed": {"high": 1}},
            {"approvals_needed": {"low": 0, "medium": 0, "high": 1}},
        ),
        (
            {"scope_ceilings": {"member": []}},
            {"scope_ceilings": {**DEFAULT.as_json()["scope_ceilings"], "member": []}},
        ),
        ({"of_a_later_version": 7}, {}),
        (
            {"scope_risks": {"machines:read": "high", "of:a_later_version": "high"}},
            {"scope_risks": {**DEFAULT.as_json()["scope_risks"], "machines:read": "high"}},
        ),
    ],
)
def test_what_is_not_stored_is_the_default(stored: dict[str, Any], differs: dict[str, Any]) -> None:
    assert policy_of(Organization(policy=stored)).as_json() == DEFAULT.as_json() | differs


def test_a_scope_is_never_less_risky_than_it_is_built_in() -> None:
    with pytest.raises(Invalid) as refusal:
        changed({"scope_risks": {"files:read": "low"}})

    assert [(error.field, error.code) for error in refusal.value.errors] == [
        ("policy.scope_risks.files:read", "below_built_in")
    ]
    assert "files:read is medium" in refusal.value.errors[0].detail
    stored = policy_of(Organization(policy={"scope_risks": {"files:read": "low"}}))
    assert [DEFAULT.risk_of(scope) for scope in Scope] == [BUILT_IN_RISK[scope] for scope in Scope]
    assert stored.risk_of(Scope.FILES_READ) is Risk.MEDIUM


def test_of_a_scope_that_is_raised_the_risk_is_higher_and_of_no_other() -> None:
    policy = changed({"scope_risks": {"machines:read": "medium", "files:read": "high"}})

    raised = {scope for scope in Scope if policy.risk_of(scope) is not BUILT_IN_RISK[scope]}
    assert raised == {Scope.MACHINES_READ, Scope.FILES_READ}
    assert (policy.risk_of(Scope.MACHINES_READ), policy.risk_of(Scope.FILES_READ)) == (Risk.MEDIUM, Risk.HIGH)
    assert changed({"scope_risks": {"machines:read": None}}, policy).risk_of(Scope.MACHINES_READ) is Risk.LOW


def test_the_built_in_risk_is_no_raise() -> None:
    same = {"scope_risks": {str(scope): BUILT_IN_RISK[scope].label for scope in Scope}}

    assert changed(same) == DEFAULT
    assert changed(same, changed({"scope_risks": {"machines:read": "high"}})) == DEFAULT


@pytest.mark.parametrize(
    ("names", "risk"),
    [
        ([], Risk.LOW),
        (["machines:read", "introspect"], Risk.LOW),
        (["machines:read", "tokens:read"], Risk.MEDIUM),
        (["machines:read", "tokens:read", "files:write"], Risk.HIGH),
    ],
)
def test_the_risk_of_several_scopes_is_their_highest(names: list[str], risk: Risk) -> None:
    assert DEFAULT.highest_risk(parse_scopes(names)) is risk


def test_a_raised_scope_counts_among_several() -> None:
    policy = changed({"scope_risks": {"introspect": "high"}})

    assert policy.highest_risk(parse_scopes(["machines:read", "introspect"])) is Risk.HIGH
    assert policy.highest_risk(parse_scopes(["machines:read"])) is Risk.LOW


@pytest.mark.parametrize("scope", list(Scope))
def test_the_description_allows_of_a_scope_what_is_read_and_no_less(scope: Scope) -> None:
    described = PARTS["scope_risks"]["properties"][scope]["enum"]

    readable = []
    for risk in (*(risk.label for risk in Risk), None):
        try:
            changed({"scope_risks": {str(scope): risk}})
        except Invalid:
            continue
        readable.append(risk)
    assert readable == described


def test_the_default_lifetime_is_never_longer_than_the_longest() -> None:
    assert changed({"maximum_lifetime_days": 30}).default_lifetime.days == 30
    assert changed({"maximum_lifetime_days": 365}).default_lifetime.days == 90


ROLES = {"member": ["personal", "fleet"]}
SCOPES = {"member": ["machines:read", "machines:operate"]}


@pytest.mark.parametrize(
    ("stricter", "weaker", "words"),
    [
        (
            {"approvals_needed": {"high": 2}},
            {"approvals_needed": {"high": 1}},
            "high risk needs 1 approval, not 2",
        ),
        (
            {"approvals_needed": {"low": 1}},
            {"approvals_needed": {"low": 0}},
            "low risk needs no approvals, not 1",
        ),
        (
            {"networks_required": {"high": True}},
            {"networks_required": {"high": False}},
            "high risk needs no network limit",
        ),
        (
            {"scope_risks": {"machines:operate": "high"}},
            {"scope_risks": {"machines:operate": None}},
            "the risk of machines:operate is medium, not high",
        ),
        (
            {"scope_risks": {"machines:read": "high"}},
            {"scope_risks": {"machines:read": "medium"}},
            "the risk of machines:read is medium, not high",
        ),
        ({"deciders": ["owner"]}, {"deciders": ["owner", "approver"]}, "approver may decide too"),
        ({"self_approval": False}, {"self_approval": True}, "people may approve their own requests"),
        ({"never_allowed": False}, {"never_allowed": True}, "tokens may be without an end"),
        (
            {"maximum_lifetime_days": 30},
            {"maximum_lifetime_days": 31},
            "tokens may live for 31 days, not for 30 days",
        ),
        (
            {"maximum_lifetime_days": 30},
            {"maximum_lifetime_days": None},
            "tokens may live without limit, not for 30 days",
        ),
        (
            {"unused_limit_days": 30},
            {"unused_limit_days": 90},
            "tokens may be unused for 90 days, not for 30 days",
        ),
        (
            {"unused_limit_days": 30},
            {"unused_limit_days": None},
            "tokens may be unused without limit, not for 30 days",
        ),
        (
            {"allowed_kinds": ROLES},
            {"allowed_kinds": {"member": [*ROLES["member"], "group"]}},
            "members may issue group",
        ),
        ({"allowed_kinds": ROLES}, {"allowed_kinds": {"member": None}}, "members may issue anything"),
        (
            {"scope_ceilings": SCOPES},
            {"scope_ceilings": {"member": [*SCOPES["member"], "files:read"]}},
            "personal tokens of members may hold files:read",
        ),
        (
            {"scope_ceilings": SCOPES},
            {"scope_ceilings": {"member": None}},
            "personal tokens of members may hold anything",
        ),
    ],
)
def test_a_change_is_weaker_in_one_direction_only(
    stricter: dict[str, Any], weaker: dict[str, Any], words: str
) -> None:
    before = changed(stricter)
    after = changed(weaker, before)

    assert weakened(before, after) == [words]
    assert weakened(before, before) == []
    assert weakened(after, before) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"deciders": ["owner"]}, {"deciders": ["approver"]}),
        ({"never_allowed": False}, {"never_allowed": False, "maximum_lifetime_days": 3650}),
        (
            {"networks_required": {"medium": True}},
            {"networks_required": {"medium": True}, "scope_risks": {"machines:operate": "high"}},
        ),
        ({"allowed_kinds": {"member": ["personal"]}}, {"allowed_kinds": {"member": ["group"]}}),
        ({"scope_ceilings": {"admin": ["files:read"]}}, {"scope_ceilings": {"admin": ["files:write"]}}),
    ],
)
def test_one_thing_for_another_is_weaker_both_ways(one: dict[str, Any], other: dict[str, Any]) -> None:
    before, after = changed(one), changed(other)

    assert len(weakened(before, after)) == len(weakened(after, before)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"default_lifetime_days": 3650},
        {"request_hours": 720},
        {"narrowing_allowed": False},
        {"deciders": ["approver"]},
        {"approvals_needed": {"low": 1, "medium": 1, "high": 1}},
        {"networks_required": {"low": True}},
        {"maximum_lifetime_days": 3650},
        {"never_allowed": False},
        {"unused_limit_days": 3650},
        {"allowed_kinds": {"member": []}},
        {"scope_ceilings": {"owner": ["machines:read"]}},
        {"scope_risks": {"machines:read": "high"}},
    ],
)
def test_what_holds_nobody_back_less_is_not_weaker(changes: dict[str, Any]) -> None:
    assert weakened(DEFAULT, changed(changes)) == []


def test_what_differs_is_told_part_by_part() -> None:
    after = changed({"approvals_needed": {"high": 1}, "deciders": ["owner"], "request_hours": 72})

    assert differences(DEFAULT.as_json(), after.as_json()) == {
        "approvals_needed": [{"low": 0, "medium": 0, "high": 0}, {"low": 0, "medium": 0, "high": 1}],
        "deciders": [["approver", "owner"], ["owner"]],
    }
    assert differences(after.as_json(), after.as_json()) == {}
