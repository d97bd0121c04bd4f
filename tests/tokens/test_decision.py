"""The decision: its order, its boundaries, and that nothing but a pass of every check is a yes."""

import itertools
from dataclasses import FrozenInstanceError, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokens import decision
from tokens.decision import (
    CHECKS,
    STATUS_OF_DENIAL,
    Ask,
    Denial,
    DerivedStatus,
    EmergencyWindow,
    Generation,
    Record,
    Status,
    Verdict,
    decide,
    derive_status,
)
from tokens.restrictions import Restrictions, parse_networks, parse_windows

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
HERE = UUID(int=1)
ELSEWHERE = UUID(int=2)


@dataclass(frozen=True)
class TableRights:
    """Rights written down path by path."""

    table: dict[str, frozenset[str]] = field(default_factory=dict)

    def at(self, path: str) -> frozenset[str]:
        return self.table.get(path, frozenset())

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(self.table)

    @property
    def anywhere(self) -> frozenset[str]:
        return frozenset().union(*self.table.values())


READS_EDGE = TableRights({"/fleets/edge": frozenset({"machines:read"})})
RECORD = Record(
    token_id="Ab3dEf6hIj9lMn2p",
    organization_id=HERE,
    status=Status.ACTIVE,
    expires_at=NOW + timedelta(days=1),
    owner_active=True,
    rights=READS_EDGE,
)
ASK = Ask(scope="machines:read", path="/fleets/edge", now=NOW, address="192.0.2.7", organization_id=HERE)

OFFICE = Restrictions(networks=parse_networks(["198.51.100.0/24"]))
NIGHTS = Restrictions(windows=parse_windows([{"days": ["wed"], "start": "22:00", "end": "06:00"}]))
OFFICE_AT_NIGHT = replace(OFFICE, windows=NIGHTS.windows)
EMERGENCY = EmergencyWindow(UUID(int=9), NOW, NOW + timedelta(hours=1))

# One way to fail each check, in the order of the decision.
FAILURES: list[tuple[str, dict[str, object], Denial]] = [
    ("organization", {"organization_id": ELSEWHERE}, Denial.TOKEN_INVALID),
    ("status", {"status": Status.DISABLED}, Denial.TOKEN_DISABLED),
    ("owner", {"owner_active": False}, Denial.OWNER_INACTIVE),
    ("organization_policy", {"policy_refused": True}, Denial.POLICY_REFUSED),
    ("network", {"restrictions": OFFICE}, Denial.NETWORK_NOT_ALLOWED),
    ("window", {"restrictions": NIGHTS}, Denial.OUTSIDE_ACCESS_WINDOW),
    ("scope_and_path", {"rights": TableRights()}, Denial.INSUFFICIENT_SCOPE),
]


def test_a_live_token_with_the_right_is_allowed() -> None:
    verdict = decide(RECORD, ASK)

    assert verdict == Verdict(None, None)
    assert verdict.is_allowed


@pytest.mark.parametrize(("check", "changes", "denial"), FAILURES)
def test_each_check_alone_denies_and_is_named(check: str, changes: dict[str, object], denial: Denial) -> None:
    verdict = decide(replace(RECORD, **changes), ASK)  # type: ignore[arg-type]

    assert verdict == Verdict(denial, check)
    assert not verdict.is_allowed


@pytest.mark.parametrize("failing", [c for n in range(2, 8) for c in itertools.combinations(FAILURES, n)])
def test_of_several_failures_the_first_in_order_is_the_answer(
    failing: tuple[tuple[str, dict[str, object], Denial], ...],
) -> None:
    changes = {name: value for _, change, _ in failing for name, value in change.items()}
    if {"network", "window"} <= {check for check, _, _ in failing}:
        changes["restrictions"] = OFFICE_AT_NIGHT

    verdict = decide(replace(RECORD, **changes), ASK)  # type: ignore[arg-type]

    check, _, denial = failing[0]
    assert verdict == Verdict(denial, check)


def test_the_checks_stand_in_the_order_of_the_decision() -> None:
    assert [check.__name__ for check in CHECKS] == [check for check, _, _ in FAILURES]


def test_each_check_can_be_asked_on_its_own() -> None:
    record = replace(RECORD, status=Status.REVOKED, owner_active=False, rights=TableRights())

    assert [check(record, ASK) for check in CHECKS] == [
        None,
        Denial.TOKEN_REVOKED,
        Denial.OWNER_INACTIVE,
        None,
        None,
        None,
        Denial.INSUFFICIENT_SCOPE,
    ]


@pytest.mark.parametrize(
    ("stored", "before_expiry", "after_expiry"),
    [
        (Status.REVOKED, DerivedStatus.REVOKED, DerivedStatus.REVOKED),
        (Status.REJECTED, DerivedStatus.REJECTED, DerivedStatus.REJECTED),
        (Status.PENDING, DerivedStatus.PENDING, DerivedStatus.PENDING),
        (Status.DISABLED, DerivedStatus.DISABLED, DerivedStatus.EXPIRED),
        (Status.ACTIVE, DerivedStatus.ACTIVE, DerivedStatus.EXPIRED),
    ],
)
def test_the_derived_status_keeps_the_precedence(
    stored: Status, before_expiry: DerivedStatus, after_expiry: DerivedStatus
) -> None:
    assert derive_status(stored, None, NOW) is before_expiry
    assert derive_status(stored, NOW + INSTANT, NOW) is before_expiry
    assert derive_status(stored, NOW, NOW) is after_expiry
    assert derive_status(stored, NOW - INSTANT, NOW) is after_expiry


@pytest.mark.parametrize("stored", Status)
def test_what_was_recorded_as_expired_no_clock_revives(stored: Status) -> None:
    later = NOW + timedelta(days=1)
    for expires_at in (NOW, later, None):
        recorded = derive_status(stored, expires_at, NOW - timedelta(days=9), expired_at=NOW)

        assert recorded is derive_status(stored, NOW, NOW)

    record = replace(RECORD, expires_at=later, expired_at=NOW)
    assert decide(record, ASK) == Verdict(Denial.TOKEN_EXPIRED, "status")
    assert decide(replace(record, expired_at=None), ASK).is_allowed


def test_every_stored_status_derives_from_the_text_of_its_column_too() -> None:
    for stored in Status:
        assert derive_status(stored.value, None, NOW) == stored.value  # type: ignore[arg-type]


def test_a_status_that_nobody_knows_is_never_a_yes() -> None:
    with pytest.raises(KeyError):
        decide(replace(RECORD, status="unknown"), ASK)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stored", "expires_at", "denial"),
    [
        (Status.REVOKED, None, Denial.TOKEN_REVOKED),
        (Status.REJECTED, None, Denial.TOKEN_REJECTED),
        (Status.PENDING, None, Denial.TOKEN_PENDING),
        (Status.DISABLED, None, Denial.TOKEN_DISABLED),
        (Status.ACTIVE, NOW, Denial.TOKEN_EXPIRED),
        (Status.ACTIVE, NOW + INSTANT, None),
        (Status.ACTIVE, None, None),
    ],
)
def test_each_status_gives_its_own_denial(
    stored: Status, expires_at: datetime | None, denial: Denial | None
) -> None:
    assert decide(replace(RECORD, status=stored, expires_at=expires_at), ASK).denial is denial


def test_a_token_is_valid_until_the_instant_of_its_expiry_and_not_at_it() -> None:
    record = replace(RECORD, expires_at=NOW)

    assert decide(record, replace(ASK, now=NOW - INSTANT)).is_allowed
    assert decide(record, replace(ASK, now=NOW)).denial is Denial.TOKEN_EXPIRED


@pytest.mark.parametrize(
    ("scope", "path", "allowed"),
    [
        ("machines:read", "/fleets/edge", True),
        ("machines:read", None, True),  # somewhere
        ("machines:read", "/", False),
        ("machines:read", "/fleets/core", False),
        ("machines:read", "/fleets/edge/machines/1", False),  # the rights answer for each path themselves
        ("machines:write", "/fleets/edge", False),
        ("machines:write", None, False),
        ("machines:rea", "/fleets/edge", False),
        ("machines:readx", "/fleets/edge", False),
        ("Machines:Read", "/fleets/edge", False),
        ("machines:*", "/fleets/edge", False),
        ("*", "/fleets/edge", False),
        ("", "/fleets/edge", False),
        ("", None, False),
        ("machines:read", "", False),
    ],
)
def test_the_very_scope_must_be_held_at_the_very_path(scope: str, path: str | None, allowed: bool) -> None:
    verdict = decide(RECORD, replace(ASK, scope=scope, path=path))

    assert verdict == (Verdict() if allowed else Verdict(Denial.INSUFFICIENT_SCOPE, "scope_and_path"))


@pytest.mark.parametrize("path", [None, "/", "/fleets/edge"])
def test_a_call_that_asks_for_no_scope_needs_no_right(path: str | None) -> None:
    record = replace(RECORD, rights=TableRights())

    assert decide(record, replace(ASK, scope=None, path=path)).is_allowed
    assert (
        decide(replace(record, status=Status.REVOKED), replace(ASK, scope=None)).denial
        is Denial.TOKEN_REVOKED
    )


def test_at_the_door_of_another_organization_the_token_is_unknown_whatever_its_state() -> None:
    for status in Status:
        verdict = decide(replace(RECORD, status=status), replace(ASK, organization_id=ELSEWHERE))

        assert verdict == Verdict(Denial.TOKEN_INVALID, "organization")


def test_a_door_that_serves_every_organization_serves_this_token_too() -> None:
    assert decide(RECORD, replace(ASK, organization_id=None)).is_allowed


@given(
    status=st.sampled_from(Status),
    expires_at=st.none() | st.sampled_from([NOW - INSTANT, NOW, NOW + INSTANT]),
    owner_active=st.booleans(),
    held=st.sets(st.sampled_from(["machines:read", "machines:write"])),
    scope=st.none() | st.sampled_from(["machines:read", "machines:write"]),
    door=st.sampled_from([None, HERE, ELSEWHERE]),
)
def test_a_yes_means_that_nothing_at_all_speaks_against_it(
    status: Status,
    expires_at: datetime | None,
    owner_active: bool,
    held: set[str],
    scope: str | None,
    door: UUID | None,
) -> None:
    rights = TableRights({"/fleets/edge": frozenset(held)})
    record = replace(RECORD, status=status, expires_at=expires_at, owner_active=owner_active, rights=rights)

    verdict = decide(record, replace(ASK, scope=scope, organization_id=door))

    assert verdict.is_allowed == (
        door in (None, HERE)
        and status is Status.ACTIVE
        and expires_at in (None, NOW + INSTANT)
        and owner_active
        and (scope is None or scope in held)
    )


def test_deciding_reads_the_rights_only_where_they_are_asked_for() -> None:
    class Untouchable(TableRights):
        def at(self, path: str) -> frozenset[str]:
            raise AssertionError("read")

    record = replace(RECORD, rights=Untouchable())

    assert decide(record, replace(ASK, scope=None)).is_allowed
    assert decide(replace(record, status=Status.REVOKED), ASK).denial is Denial.TOKEN_REVOKED


@pytest.mark.parametrize("address", ["198.51.100.7", "::ffff:198.51.100.7"])
def test_a_call_from_an_allowed_network_within_a_window_is_allowed(address: str) -> None:
    record = replace(RECORD, restrictions=OFFICE_AT_NIGHT)
    at_night = NOW.replace(hour=23)

    assert decide(record, replace(ASK, address=address, now=at_night)) == Verdict()
    for elsewhere in ("198.51.101.7", "::ffff:198.51.101.7", None, ""):
        denied = decide(record, replace(ASK, address=elsewhere, now=at_night))
        assert denied == Verdict(Denial.NETWORK_NOT_ALLOWED, "network")


def test_an_open_emergency_window_lifts_network_and_window_and_says_which() -> None:
    def bypassed(restrictions: Restrictions) -> tuple[str, ...]:
        verdict = decide(replace(RECORD, restrictions=restrictions, emergency=EMERGENCY), ASK)
        assert verdict.is_allowed
        return verdict.bypassed

    assert bypassed(OFFICE_AT_NIGHT) == ("network", "window")
    assert bypassed(OFFICE) == ("network",)
    assert bypassed(NIGHTS) == ("window",)
    assert bypassed(Restrictions()) == ()


@pytest.mark.parametrize(("check", "changes", "denial"), FAILURES)
def test_an_emergency_window_lifts_nothing_else(
    check: str, changes: dict[str, object], denial: Denial
) -> None:
    record = replace(RECORD, restrictions=OFFICE_AT_NIGHT, emergency=EMERGENCY)

    verdict = decide(replace(record, **changes), ASK)  # type: ignore[arg-type]

    assert verdict.is_allowed if check in ("network", "window") else verdict.denial is denial


def test_a_denial_after_a_bypass_still_says_what_was_bypassed() -> None:
    record = replace(RECORD, restrictions=OFFICE, emergency=EMERGENCY, rights=TableRights())

    assert decide(record, ASK) == Verdict(Denial.INSUFFICIENT_SCOPE, "scope_and_path", ("network",))


@pytest.mark.parametrize(
    ("moment", "open_then"),
    [
        (NOW - INSTANT, False),
        (NOW, True),
        (EMERGENCY.ends_at - INSTANT, True),
        (EMERGENCY.ends_at, False),
        (EMERGENCY.ends_at + INSTANT, False),
    ],
)
def test_an_emergency_window_is_open_from_its_start_until_its_end_and_not_at_it(
    moment: datetime, open_then: bool
) -> None:
    record = replace(RECORD, restrictions=OFFICE, emergency=EMERGENCY)

    assert decide(record, replace(ASK, now=moment)).is_allowed is open_then


def test_every_denial_has_its_http_status() -> None:
    assert {denial.value: int(status) for denial, status in STATUS_OF_DENIAL.items()} == {
        "credential_missing": 401,
        "multiple_credentials": 400,
        "token_invalid": 401,
        "token_revoked": 401,
        "token_rejected": 401,
        "token_pending": 401,
        "token_expired": 401,
        "token_disabled": 401,
        "owner_inactive": 401,
        "policy_refused": 401,
        "network_not_allowed": 403,
        "outside_access_window": 403,
        "rate_limited": 429,
        "insufficient_scope": 403,
    }
    assert set(STATUS_OF_DENIAL) == set(Denial)


def test_only_an_active_token_passes_the_status_check() -> None:
    answers = decision._DENIAL_OF_STATUS

    assert [status for status in DerivedStatus if answers[status] is None] == [DerivedStatus.ACTIVE]


@pytest.mark.parametrize(
    ("valid_until", "live"), [(None, True), (NOW + INSTANT, True), (NOW, False), (NOW - INSTANT, False)]
)
def test_an_older_generation_lives_until_the_end_of_its_overlap(
    valid_until: datetime | None, live: bool
) -> None:
    assert Generation(1, b"digest", 1, valid_until).is_live(NOW) is live


def test_a_generation_never_shows_its_digest() -> None:
    assert "digest" not in repr(Generation(1, b"digest", 1))


@pytest.mark.parametrize(
    ("value", "name"), [(RECORD, "status"), (RECORD, "rights"), (ASK, "now"), (Verdict(), "denial")]
)
def test_records_questions_and_answers_are_immutable(value: object, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, None)
