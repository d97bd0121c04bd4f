"""REST framework's door: a request's token, and what its call may do."""

from uuid import UUID

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from config.edge import context
from config.edge.access import Actor, Rights
from config.edge.clock import now
from fleets.holdings import NOTHING
from fleets.models import User
from tokens import credentials, denials, verification
from tokens.decision import Ask, Denial, decide
from tokens.models import Token, TokenSecret
from tokens.verification import CredentialRefused, Proven


class TokenAccess:
    """A call by a token: acts as its principal, within ceiling, grants and the principal's rights."""

    is_browser_session = False
    is_fresh = False
    is_operator = False

    def __init__(self, proven: Proven) -> None:
        self.proven = proven
        self._is_recorded = False
        self._ended_by: Denial | None = None

    @property
    def actor(self) -> Actor:
        return self.proven.actor

    @property
    def on_behalf_of(self) -> Actor:
        return self.proven.on_behalf_of

    @property
    def user(self) -> User:
        return self.proven.token.principal

    @property
    def token_id(self) -> str:
        return self.proven.token.pk

    @property
    def behind(self) -> frozenset[UUID]:
        token = self.proven.token
        return frozenset(key for key in (token.principal_id, token.created_by_id) if key is not None)

    @property
    def generation(self) -> int:
        return self.proven.shown.generation

    def organization_ids(self) -> frozenset[UUID]:
        return frozenset({self.proven.token.organization_id})

    def rights(self, organization_id: UUID) -> Rights:
        """Nothing outside of the token's organization."""
        return self.proven.record.rights if organization_id == self.proven.token.organization_id else NOTHING

    def permits(self, scope: str, path: str, organization_id: UUID) -> bool:
        return scope in self.rights(organization_id).at(path)

    def may_ask(self, scope: str) -> bool:
        """Only what its ceiling holds, whatever its principal may do at the moment."""
        return scope in self.proven.token.scopes

    def refresh(self) -> None:
        """Inside a verb's transaction: what was ended meanwhile ends here, what was narrowed is narrower."""
        self.proven = verification.unmixed(self._read_again)
        verdict = decide(self.proven.record, _question())
        denial = verdict.denial or (None if self.proven.record.generations else Denial.TOKEN_INVALID)
        if denial:
            self._ended_by = denial
            raise CredentialRefused(denial)

    def _read_again(self) -> Proven:
        token = Token.objects.deciding().get(pk=self.token_id)
        shown = TokenSecret.objects.get(pk=self.proven.shown.pk)
        record = verification.compiled_record(token, shown)
        return Proven(token, shown, record, self.proven.bypassed)

    def note(self, scope: str, path: str, organization_id: UUID, *, allowed: bool) -> None:
        """One event a call: the first question that is allowed, or the one that is refused."""
        if allowed:
            self._record_use(scope, path)
            return
        denials.record_denial(self.proven, Denial.INSUFFICIENT_SCOPE, _question(scope, path))
        self._is_recorded = True

    def settle(self) -> None:
        """The end of a call: what is not in the trail yet. A token that ended while its verb ran was refused."""
        if self._ended_by:
            denials.record_denial(self.proven, self._ended_by, _question())
            return
        self._record_use(None, None)

    def _record_use(self, scope: str | None, path: str | None) -> None:
        if not self._is_recorded:
            verification.record_use(self.proven, scope=scope, path=path)
            self._is_recorded = True


def _question(scope: str | None = None, path: str | None = None) -> Ask:
    """What this call asks, from where it comes."""
    return Ask(scope=scope, path=path, now=now(), address=context.current().address)


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer`, `X-Auth-Token` or `PVEAPIToken=`: one of them. A bad one never becomes a cookie."""

    def authenticate(self, request: Request) -> tuple[User, TokenAccess] | None:
        credential = credentials.extract(request.META)
        if credential is None:
            return None
        proven, verdict = verification.verify(credential, _question())
        if verdict.denial or proven is None:
            raise verification.refusal_of(verdict)
        return proven.token.principal, TokenAccess(proven)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="tokenhouse"'
