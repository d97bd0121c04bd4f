"""Verifies a credential: finds the record, proves the secret, decides, and leaves the use in the audit trail.

Always from the database: a bounded number of queries a call, one event, the last use at most once a minute.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from django.conf import settings
from django.db import transaction

from audit.actions import Action
from audit.trail import record
from config.edge import context, rate, throttling
from config.edge.access import Actor
from config.edge.clock import now
from config.edge.refusals import DomainError, Unavailable
from config.edge.throttling import Guard, TooManyAttempts
from fleets import holdings
from fleets.authority import TokenRights
from fleets.organization_policy import policy_of
from tokens import denials, peppers, rules, secret
from tokens.credentials import Credential
from tokens.decision import (
    STATUS_OF_DENIAL,
    Ask,
    Denial,
    EmergencyWindow,
    Generation,
    Record,
    Status,
    Verdict,
    decide,
)
from tokens.models import Token, TokenSecret
from tokens.rights import ceiling_of, rows_of

LAST_USE_EVERY = timedelta(minutes=1)
READS = 5  # of a record that is changed again and again while it is read
UNPROVEN = frozenset({Denial.MULTIPLE_CREDENTIALS, Denial.TOKEN_INVALID})  # steps 1 and 2
DETAIL = {
    Denial.CREDENTIAL_MISSING: "No credential was sent.",
    Denial.MULTIPLE_CREDENTIALS: "Send one credential, in one header.",
    Denial.TOKEN_INVALID: "This is not a token that works here.",
    Denial.TOKEN_REVOKED: "This token was revoked.",
    Denial.TOKEN_REJECTED: "This token was never approved.",
    Denial.TOKEN_PENDING: "This token waits for approval.",
    Denial.TOKEN_EXPIRED: "This token has expired.",
    Denial.TOKEN_DISABLED: "This token is disabled.",
    Denial.OWNER_INACTIVE: "The owner of this token is not active.",
    Denial.POLICY_REFUSED: "The policy of its organization does not allow this token.",
    Denial.NETWORK_NOT_ALLOWED: "This token may not be used from this network.",
    Denial.OUTSIDE_ACCESS_WINDOW: "This token may not be used at this time.",
    Denial.RATE_LIMITED: "This token was used too often. Try again later.",
    Denial.INSUFFICIENT_SCOPE: "This token does not hold the scope there.",
}


class CredentialRefused(DomainError):
    """A credential that does not count, as the problem document says it (RFC 6750, 3)."""

    def __init__(self, denial: Denial, *, retry_after: int | None = None) -> None:
        super().__init__(DETAIL[denial], code=denial.value)
        self.denial = denial
        self.status = int(STATUS_OF_DENIAL[denial])
        if self.status == 401:
            error = (
                ""
                if denial is Denial.CREDENTIAL_MISSING
                else f', error="invalid_token", error_description="{denial}"'
            )
            self.headers["WWW-Authenticate"] = f'Bearer realm="tokenhouse"{error}'
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)


@dataclass(frozen=True)
class Proven:
    """A token whose secret was shown: its row, the generation that was shown, the compiled record, and what this
    call needed an emergency window for."""

    token: Token
    shown: TokenSecret
    record: Record
    bypassed: tuple[str, ...] = ()

    @property
    def actor(self) -> Actor:
        return self.token.as_actor()

    @property
    def on_behalf_of(self) -> Actor:
        return self.token.principal.as_actor()


Found = TypeVar("Found", bound=Proven | None)


def verify(credential: Credential | Denial | None, ask: Ask) -> tuple[Proven | None, Verdict]:
    """Steps 1 to 6 of the decision, and 7 where the ask names a scope. What is refused of a known token is recorded;
    what is allowed is not yet: `record_use` does that, once, when the call's question is known.
    """
    if credential is None:
        return None, Verdict(Denial.CREDENTIAL_MISSING)
    if isinstance(credential, Denial):
        return None, Verdict(credential)
    proven = prove(credential)
    if proven is None:
        return None, Verdict(Denial.TOKEN_INVALID)
    verdict = _named_otherwise(credential, proven) or _rotated_away(proven) or decide(proven.record, ask)
    verdict = _counted(proven.record, verdict)
    proven = replace(proven, bypassed=verdict.bypassed)
    if verdict.denial:
        denials.record_denial(proven, verdict.denial, ask, check=verdict.check)
    return proven, verdict


def refusal_of(verdict: Verdict) -> DomainError:
    """What a call is told that may not go on. What is no token's credential is counted by address: who sends too many
    learns nothing more. A status, which only the right secret learns, is never hidden."""
    if verdict.denial in UNPROVEN:
        wait = throttling.attempt(Guard.CREDENTIALS)
        if wait is not None and STATUS_OF_DENIAL[verdict.denial] == HTTPStatus.UNAUTHORIZED:
            return TooManyAttempts(wait)
    return CredentialRefused(verdict.denial or Denial.TOKEN_INVALID, retry_after=verdict.retry_after)


def _counted(record: Record, verdict: Verdict) -> Verdict:
    """Count the call, if it came as far as its rate. A full window overrides what the scope would say: who is told
    which scopes are missing has used up a call. The rest of the answer says how many there are left."""
    limit = record.restrictions.rate
    if limit is None or verdict.denial not in (None, Denial.INSUFFICIENT_SCOPE):
        return verdict
    usage = rate.consume(f"token:{record.token_id}", limit.count, limit.seconds)
    context.current().headers.update(rate.headers("token", usage, limit.seconds))
    if usage.allowed:
        return verdict
    return replace(verdict, denial=Denial.RATE_LIMITED, check="rate", retry_after=usage.retry_after)


def prove(credential: Credential) -> Proven | None:
    """The token whose secret this is, or was. A malformed one touches no store; unknown and wrong are the same None,
    and the same work: one query, one digest.
    """
    return unmixed(partial(_read, credential.parsed)) if credential.parsed else None


def unmixed(read: Callable[[], Found]) -> Found:
    """What `read` finds in several queries, as it stood at one moment: scopes from before a change beside grants from
    after it may allow what neither allowed. Read again where a version was raised meanwhile.
    """
    for _ in range(READS):
        proven = read()
        if proven is None or _is_current(proven.token):
            return proven
    raise Unavailable("This token is being changed. Try again.")


def _read(parsed: secret.ParsedSecret) -> Proven | None:
    rows = list(TokenSecret.objects.filter(token_id=parsed.token_id).order_by("-generation")[:20])
    shown = _shown(parsed.text, rows)
    if shown is None:
        return None
    token = Token.objects.deciding().get(pk=parsed.token_id)
    return Proven(token, shown, compiled_record(token, shown))


def _is_current(token: Token) -> bool:
    versions = {
        "version": token.version,
        "principal__version": token.principal.version,
        "organization__version": token.organization.version,
    }
    return Token.objects.filter(pk=token.pk, **versions).exists()


def compiled_record(token: Token, shown: TokenSecret) -> Record:
    """The token as plain values. The generation that was shown is in it only while it is live."""
    principal = holdings.principal_of(token.principal, token.organization_id)
    laid_down = policy_of(token.organization)
    ceiling = rules.kept(ceiling_of(token), token, laid_down)
    generation = Generation(shown.generation, bytes(shown.digest), shown.pepper_id, shown.valid_until)
    return Record(
        token_id=token.pk,
        organization_id=token.organization_id,
        status=Status(token.status),
        expires_at=rules.effective_expiry(token, laid_down),
        expired_at=token.expired_at,
        owner_active=principal.is_active,
        policy_refused=rules.refuses(token, laid_down),
        rights=TokenRights(ceiling, rows_of(token, ceiling), principal.rights),
        generations=(generation,) if generation.is_live(now()) else (),
        restrictions=token.restrictions,
        emergency=_emergency_of(token),
    )


def _emergency_of(token: Token) -> EmergencyWindow | None:
    window = token.open_emergency
    if window is None or window.ended_at is not None:
        return None
    return EmergencyWindow(window.pk, window.starts_at, window.ends_at)


def record_use(proven: Proven, *, scope: str | None, path: str | None) -> None:
    """The one event of an allowed call, and the last use where the one that is kept is a minute old."""
    with transaction.atomic():
        record(Action.TOKEN_USED, by=proven, target=proven.token, data=denials.asked(proven, scope, path))
        _touch(proven)


def _rotated_away(proven: Proven) -> Verdict | None:
    """A secret that was replaced is as good as any other text; that it was tried stands in the token's trail."""
    if proven.record.generations or proven.token.is_ended:
        return None
    return Verdict(Denial.TOKEN_INVALID, "rotated_away")


def _named_otherwise(credential: Credential, proven: Proven) -> Verdict | None:
    """The PVE carrier names a principal and a token: both must be this token's, compared without case."""
    if credential.principal is None or credential.name is None:
        return None
    names = (credential.principal.casefold(), credential.name.casefold())
    if names == (proven.token.principal.username.casefold(), proven.token.name.casefold()):
        return None
    return Verdict(Denial.TOKEN_INVALID, "named_otherwise")


def _shown(text: str, rows: list[TokenSecret]) -> TokenSecret | None:
    """The generation that the text is. One digest for each pepper, for a token that does not exist too."""
    numbers = {row.pepper_id for row in rows} or {max(settings.PEPPERS)}
    digests = {number: secret.digest(text, peppers.pepper(number)) for number in numbers}
    matching = [row for row in rows if hmac.compare_digest(digests[row.pepper_id], bytes(row.digest))]
    return matching[0] if matching else None


def _touch(proven: Proven) -> None:
    at, address = now(), context.current().address
    for row in (proven.token, proven.shown):
        if _is_due(row.last_used_at, at):
            type(row)._default_manager.filter(pk=row.pk).update(last_used_at=at, last_used_address=address)
            row.last_used_at, row.last_used_address = at, address


def _is_due(last: datetime | None, at: datetime) -> bool:
    return last is None or at - last >= LAST_USE_EVERY
