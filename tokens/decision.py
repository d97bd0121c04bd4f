"""The decision: what a known token is told when it asks, a pure fold over named checks in a fixed order.

Finding the record, proving the secret, and every effect of an answer belong to verification.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import UUID

from tokens.restrictions import UNRESTRICTED, Restrictions, admits_address, admits_moment

if TYPE_CHECKING:
    from config.edge.access import Rights


class Status(StrEnum):
    """What is stored. An expiry is a fact in time, so it is derived, never stored."""

    PENDING = "pending"
    ACTIVE = "active"
    DISABLED = "disabled"
    REJECTED = "rejected"
    REVOKED = "revoked"


class DerivedStatus(StrEnum):
    """What is true now, highest precedence first."""

    REVOKED = "revoked"
    REJECTED = "rejected"
    PENDING = "pending"
    EXPIRED = "expired"
    DISABLED = "disabled"
    ACTIVE = "active"


class Denial(StrEnum):
    """Why a call is refused, in the order of the decision; the first that applies is the answer."""

    CREDENTIAL_MISSING = "credential_missing"
    MULTIPLE_CREDENTIALS = "multiple_credentials"
    TOKEN_INVALID = "token_invalid"
    TOKEN_REVOKED = "token_revoked"
    TOKEN_REJECTED = "token_rejected"
    TOKEN_PENDING = "token_pending"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_DISABLED = "token_disabled"
    OWNER_INACTIVE = "owner_inactive"
    POLICY_REFUSED = "policy_refused"
    NETWORK_NOT_ALLOWED = "network_not_allowed"
    OUTSIDE_ACCESS_WINDOW = "outside_access_window"
    RATE_LIMITED = "rate_limited"
    INSUFFICIENT_SCOPE = "insufficient_scope"


STATUS_OF_DENIAL: dict[Denial, int] = {
    Denial.CREDENTIAL_MISSING: HTTPStatus.UNAUTHORIZED,
    Denial.MULTIPLE_CREDENTIALS: HTTPStatus.BAD_REQUEST,
    Denial.TOKEN_INVALID: HTTPStatus.UNAUTHORIZED,
    Denial.TOKEN_REVOKED: HTTPStatus.UNAUTHORIZED,
    Denial.TOKEN_REJECTED: HTTPStatus.UNAUTHORIZED,
    Denial.TOKEN_PENDING: HTTPStatus.UNAUTHORIZED,
    Denial.TOKEN_EXPIRED: HTTPStatus.UNAUTHORIZED,
    Denial.TOKEN_DISABLED: HTTPStatus.UNAUTHORIZED,
    Denial.OWNER_INACTIVE: HTTPStatus.UNAUTHORIZED,
    Denial.POLICY_REFUSED: HTTPStatus.UNAUTHORIZED,
    Denial.NETWORK_NOT_ALLOWED: HTTPStatus.FORBIDDEN,
    Denial.OUTSIDE_ACCESS_WINDOW: HTTPStatus.FORBIDDEN,
    Denial.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Denial.INSUFFICIENT_SCOPE: HTTPStatus.FORBIDDEN,
}


@dataclass(frozen=True, slots=True)
class Generation:
    """One secret of a token; `valid_until` None is the newest, an instant ends an overlap."""

    number: int
    digest: bytes = field(repr=False)
    pepper_id: int
    valid_until: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        return self.valid_until is None or now < self.valid_until


@dataclass(frozen=True, slots=True)
class EmergencyWindow:
    """While it is open, and it alone, a token's networks and access windows are lifted. Nothing else ever is."""

    id: UUID
    starts_at: datetime
    ends_at: datetime

    def is_open(self, now: datetime) -> bool:
        return self.starts_at <= now < self.ends_at


@dataclass(frozen=True, slots=True)
class Record:
    """A token compiled for deciding: immutable, and all that a decision or a secret's proof reads."""

    token_id: str
    organization_id: UUID
    status: Status
    expires_at: datetime | None
    owner_active: bool
    rights: "Rights"
    generations: tuple[Generation, ...] = ()
    expired_at: datetime | None = None  # recorded: from then on no clock revives it
    restrictions: Restrictions = UNRESTRICTED
    emergency: EmergencyWindow | None = None
    policy_refused: bool = False  # by its organization's policy, for another reason than its age


@dataclass(frozen=True, slots=True)
class Ask:
    """One call's question. The path is canonical; no path asks for the scope anywhere; no scope asks
    only who calls. The organization is the one that the door serves, None where it serves them all."""

    scope: str | None
    path: str | None
    now: datetime
    address: str | None = None
    organization_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer: no denial is a yes; else the denial and the name of the check that gave it, for the trail.

    `bypassed` names the checks that would have denied, but for the record's emergency window.
    """

    denial: Denial | None = None
    check: str | None = None
    bypassed: tuple[str, ...] = ()
    retry_after: int | None = None  # seconds until the rate admits a call

    @property
    def is_allowed(self) -> bool:
        return self.denial is None


Check = Callable[[Record, Ask], Denial | None]


def decide(record: Record, ask: Ask) -> Verdict:
    """The first denial in the order of CHECKS, else yes. The rate is no check of these: asking it is an effect."""
    is_emergency = record.emergency is not None and record.emergency.is_open(ask.now)
    bypassed: tuple[str, ...] = ()
    for check in CHECKS:
        denial = check(record, ask)
        if denial is None:
            continue
        if not (is_emergency and check in LIFTED):
            return Verdict(denial, check.__name__, bypassed)
        bypassed += (check.__name__,)
    return Verdict(bypassed=bypassed) if bypassed else ALLOWED


def derive_status(
    stored: Status, expires_at: datetime | None, now: datetime, expired_at: datetime | None = None
) -> DerivedStatus:
    """The status that is true now; valid while now < expires_at. What was recorded as expired no clock revives."""
    derived = _DERIVED[stored]
    if derived not in _EXPIRING:
        return derived
    has_passed = expires_at is not None and now >= expires_at
    return DerivedStatus.EXPIRED if expired_at is not None or has_passed else derived


def organization(record: Record, ask: Ask) -> Denial | None:
    """At a door that serves another organization, the token is unknown."""
    if ask.organization_id is None or ask.organization_id == record.organization_id:
        return None
    return Denial.TOKEN_INVALID


def status(record: Record, ask: Ask) -> Denial | None:
    return _DENIAL_OF_STATUS[derive_status(record.status, record.expires_at, ask.now, record.expired_at)]


def owner(record: Record, ask: Ask) -> Denial | None:
    return None if record.owner_active else Denial.OWNER_INACTIVE


def organization_policy(record: Record, ask: Ask) -> Denial | None:
    return Denial.POLICY_REFUSED if record.policy_refused else None


def network(record: Record, ask: Ask) -> Denial | None:
    """Where a list is set, an address that nobody knows is not in it."""
    return None if admits_address(record.restrictions, ask.address) else Denial.NETWORK_NOT_ALLOWED


def window(record: Record, ask: Ask) -> Denial | None:
    return None if admits_moment(record.restrictions, ask.now) else Denial.OUTSIDE_ACCESS_WINDOW


def scope_and_path(record: Record, ask: Ask) -> Denial | None:
    """The scope must be effective at exactly the asked path, or on some path where none is asked."""
    if ask.scope is None:
        return None
    held = record.rights.anywhere if ask.path is None else record.rights.at(ask.path)
    return None if ask.scope in held else Denial.INSUFFICIENT_SCOPE


CHECKS: tuple[Check, ...] = (
    organization,
    status,
    owner,
    organization_policy,
    network,
    window,
    scope_and_path,
)
LIFTED = frozenset({network, window})  # by an open emergency window
ALLOWED = Verdict()

_DERIVED = {stored: DerivedStatus(stored) for stored in Status}
_EXPIRING = frozenset({DerivedStatus.DISABLED, DerivedStatus.ACTIVE})
_DENIAL_OF_STATUS: dict[DerivedStatus, Denial | None] = {
    DerivedStatus.REVOKED: Denial.TOKEN_REVOKED,
    DerivedStatus.REJECTED: Denial.TOKEN_REJECTED,
    DerivedStatus.PENDING: Denial.TOKEN_PENDING,
    DerivedStatus.EXPIRED: Denial.TOKEN_EXPIRED,
    DerivedStatus.DISABLED: Denial.TOKEN_DISABLED,
    DerivedStatus.ACTIVE: None,
}
