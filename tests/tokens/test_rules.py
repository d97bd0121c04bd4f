"""What an organization's policy means for tokens: where it is judged, and by whose role."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleets.organization_policy import DEFAULT, OrganizationPolicy, parsed, weakened
from fleets.scopes import Risk, Scope
from tokens.restrictions import is_open
from tokens.rules import REFUSING, Facts, earlier, violations

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PERSONAL = Facts("personal", Risk.HIGH, frozenset({"files:write"}), None, NOW, NOW + 90 * DAY)


def policy(**changes: Any) -> OrganizationPolicy:
    return parsed(changes, before=DEFAULT)


def networks(*texts: str) -> Any:
    return tuple(ip_network(text) for text in texts)


@pytest.mark.parametrize(
    ("rules", "facts", "codes"),
    [
        ({}, {"expires_at": None}, []),
        ({"allowed_kinds": {"member": ["fleet"]}}, {}, ["kind_not_allowed"]),
        ({"allowed_kinds": {"member": ["fleet"]}}, {"kind": "fleet"}, []),
        ({"allowed_kinds": {"member": ["personal"]}}, {}, []),
        ({"allowed_kinds": {"admin": []}}, {}, []),
        ({"scope_ceilings": {"member": ["files:read"]}}, {}, ["scope_above_ceiling"]),
        ({"scope_ceilings": {"member": ["files:read"]}}, {"kind": "group"}, []),
        ({"scope_ceilings": {"member": ["files:read", "files:write"]}}, {}, []),
        ({"scope_ceilings": {"admin": []}}, {}, []),
        ({"never_allowed": False}, {}, []),
        ({"never_allowed": False}, {"expires_at": None}, ["never_not_allowed"]),
        ({"maximum_lifetime_days": 90}, {}, []),
        ({"maximum_lifetime_days": 89}, {}, ["lifetime_too_long"]),
        ({"maximum_lifetime_days": 3650}, {"expires_at": None}, ["lifetime_too_long"]),
        ({"maximum_lifetime_days": 30, "never_allowed": False}, {"expires_at": None}, ["lifetime_too_long"]),
        ({"networks_required": {"high": True}}, {}, ["network_required"]),
        ({"networks_required": {"medium": True, "low": True}}, {}, []),
        ({"networks_required": {"high": True}}, {"networks": networks("10.0.0.0/8")}, []),
        ({"networks_required": {"high": True}}, {"networks": networks("0.0.0.0/0", "::/0")}, ["network_required"]),
        (
            {"allowed_kinds": {"member": []}, "scope_ceilings": {"member": []}, "maximum_lifetime_days": 1,
             "networks_required": {"high": True}},
            {},
            ["kind_not_allowed", "scope_above_ceiling", "lifetime_too_long", "network_required"],
        ),
    ],
)  # fmt: skip
def test_each_part_of_a_policy_finds_its_violation(
    rules: dict[str, Any], facts: dict[str, Any], codes: list[str]
) -> None:
    assert violations(replace(PERSONAL, **facts), policy(**rules), "member") == codes


def test_who_has_no_role_is_not_limited_by_roles() -> None:
    rules = policy(allowed_kinds={"member": []}, scope_ceilings={"member": []})

    assert violations(PERSONAL, rules, None) == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("0.0.0.0/0",), True),
        (("::/0",), True),
        (("10.0.0.0/8", "::/0"), True),
        (("0.0.0.0/1", "128.0.0.0/1"), True),
        (("10.0.0.0/8", "2001:db8::/32"), False),
        (("128.0.0.0/1",), False),
    ],
)
def test_all_addresses_are_no_limit_however_they_are_written(texts: tuple[str, ...], expected: bool) -> None:
    assert is_open(networks(*texts)) is expected


def test_no_networks_are_not_open_ones() -> None:
    assert is_open(None) is False


@pytest.mark.parametrize(
    ("expires_at", "approved_at", "maximum", "end"),
    [
        (None, NOW, None, None),
        (NOW + DAY, NOW, None, NOW + DAY),
        (NOW + DAY, NOW, 2 * DAY, NOW + DAY),
        (NOW + 3 * DAY, NOW, 2 * DAY, NOW + 2 * DAY),
        (None, NOW, 2 * DAY, NOW + 2 * DAY),
        (None, None, 2 * DAY, None),  # it waits for its approval: its life has not begun
        (NOW + 3 * DAY, None, 2 * DAY, NOW + 3 * DAY),
    ],
)
def test_a_token_ends_by_its_expiry_or_the_longest_life_whichever_is_first(
    expires_at: Any, approved_at: Any, maximum: Any, end: Any
) -> None:
    assert earlier(expires_at, approved_at, maximum) == end


some_scopes = st.frozensets(st.sampled_from([Scope.MACHINES_READ, Scope.MACHINES_OPERATE, Scope.FILES_WRITE]))
by_risk = st.fixed_dictionaries({risk.label: st.booleans() for risk in Risk})
limits = st.sampled_from([None, [], ["personal"], ["fleet", "personal"]])
ceilings = st.sampled_from([None, [], ["machines:read"], ["files:write", "machines:read"]])
raises = st.sampled_from([None, "medium", "high"])
some_parts = st.fixed_dictionaries(
    {},
    optional={
        "maximum_lifetime_days": st.sampled_from([None, 30, 90, 3650]),
        "never_allowed": st.booleans(),
        "networks_required": by_risk,
        "approvals_needed": st.fixed_dictionaries({risk.label: st.integers(0, 2) for risk in Risk}),
        "allowed_kinds": st.fixed_dictionaries({"member": limits}),
        "scope_ceilings": st.fixed_dictionaries({"member": ceilings}),
        "scope_risks": st.fixed_dictionaries({"machines:read": raises, "machines:operate": raises}),
    },
)
lives = st.sampled_from([None, NOW + 30 * DAY, NOW + 90 * DAY])


@example(
    parts={"never_allowed": False},
    changes={"maximum_lifetime_days": 3650},
    scopes=frozenset({Scope.MACHINES_READ}),
    kind="fleet",
    expires_at=None,
)
@example(
    parts={"networks_required": {"medium": True}},
    changes={"scope_risks": {"machines:operate": "high"}},
    scopes=frozenset({Scope.MACHINES_OPERATE}),
    kind="fleet",
    expires_at=NOW + 30 * DAY,
)
@given(some_parts, some_parts, some_scopes, st.sampled_from(["personal", "fleet"]), lives)
def test_no_policy_that_is_not_weaker_lets_a_token_do_what_it_was_refused(
    parts: dict[str, Any],
    changes: dict[str, Any],
    scopes: frozenset[Scope],
    kind: str,
    expires_at: datetime | None,
) -> None:
    def is_refused(rules: OrganizationPolicy) -> bool:
        facts = Facts(kind, rules.highest_risk(scopes), scopes, None, NOW, expires_at)
        return not REFUSING.isdisjoint(violations(facts, rules, "member"))

    def end(rules: OrganizationPolicy) -> datetime:
        return earlier(expires_at, NOW, rules.maximum_lifetime) or datetime.max.replace(tzinfo=UTC)

    before = policy(**parts)
    after = parsed(changes, before=before)
    if weakened(before, after):
        return

    assert is_refused(before) <= is_refused(after)
    assert end(before) >= end(after)
    needed = [rules.approvals_for(rules.highest_risk(scopes)) for rules in (before, after)]
    assert needed[0] <= needed[1]
    left = [
        scopes if most is None else scopes & most
        for most in (before.ceiling_of("member"), after.ceiling_of("member"))
    ]
    assert left[1] <= left[0]
