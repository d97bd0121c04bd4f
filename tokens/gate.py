"""The gate: another service's proxy asks whether this token may do this, there, now.

`GET|HEAD|POST /gate/verify?organization=<slug>&scope=<scope>&path=<path>[&deny=403]`. An organization that does not
exist answers exactly as one whose token this is not.
"""

from dataclasses import replace
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from config.edge import context
from config.edge.clock import now
from config.edge.parsing import is_plain_text
from config.edge.problems import problem_of
from config.edge.refusals import DomainError, InsufficientScope, Invalid
from config.edge.throttling import TooManyAttempts
from fleets import places
from fleets.models import Organization
from fleets.scopes import Scope
from tokens import credentials, verification
from tokens.credentials import Credential
from tokens.decision import Ask, Denial
from tokens.denials import record_denial
from tokens.verification import CredentialRefused, Proven, record_use

NOBODY = UUID(int=0)  # the organization of a door that does not exist: no token is of it
METHODS = ("GET", "HEAD", "POST")
LONGEST = 300  # characters of a parameter


class MethodRefused(DomainError):
    """A proxy asks with GET, HEAD or POST."""

    status = 405
    default_code = "method_not_allowed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers["Allow"] = ", ".join(METHODS)


@csrf_exempt
def verify(request: HttpRequest) -> HttpResponse:
    try:
        if request.method not in METHODS:
            raise MethodRefused("GET, HEAD or POST.")
        return _allowed(*_verified(request))
    except DomainError as refusal:
        if request.GET.get("deny") == "403" and 400 <= refusal.status < 500 and refusal.status != 401:
            refusal.status = 403
        response = problem_of(refusal)
        if isinstance(refusal, CredentialRefused | InsufficientScope | TooManyAttempts):
            response["X-Token-Denied"] = refusal.code
        return response


def _verified(request: HttpRequest) -> tuple[Proven, str]:
    """The token that may do what is asked, and the canonical path."""
    slug, scope, text = (_parameter(request, name) for name in ("organization", "scope", "path"))
    if scope not in set(Scope):
        raise Invalid.field("scope", "There is no such scope.", "unknown_scope")
    credential = credentials.extract(request.META)
    organization = Organization.objects.filter(slug=slug).first() if _has_form(credential) else None
    ask = Ask(
        scope=None,
        path=None,
        now=now(),
        address=context.current().address,
        organization_id=organization.pk if organization else NOBODY,
    )
    proven, verdict = verification.verify(credential, ask)
    if verdict.denial or proven is None or organization is None:
        raise verification.refusal_of(verdict)
    try:
        path = places.resolved(organization.pk, text)
    except Invalid:  # malformed, or of nothing that exists: nobody holds anything there
        path = ""
    if not path or scope not in proven.record.rights.at(path):
        asked = replace(ask, scope=scope, path=path or text)
        record_denial(proven, Denial.INSUFFICIENT_SCOPE, asked)
        raise InsufficientScope(scope, path or "this path")
    record_use(proven, scope=scope, path=path)
    return proven, path


def _allowed(proven: Proven, path: str) -> HttpResponse:
    token = proven.token
    response = HttpResponse(status=204)
    response["Cache-Control"] = "no-store"
    response["X-Token-Id"] = token.pk
    response["X-Token-Kind"] = token.kind
    response["X-Token-Owner"] = token.owner_label
    response["X-Token-Organization"] = token.organization.slug
    response["X-Token-Scopes"] = " ".join(sorted(proven.record.rights.at(path)))
    return response


def _parameter(request: HttpRequest, name: str) -> str:
    values = request.GET.getlist(name)
    if len(values) != 1 or not values[0] or len(values[0]) > LONGEST or not is_plain_text(values[0]):
        raise Invalid.field(name, "Give it once, as text of 1 to 300 characters.", "required")
    return values[0]


def _has_form(credential: Credential | Denial | None) -> bool:
    """Whether it could be a token's secret at all: what could not is refused without touching a store."""
    return isinstance(credential, Credential) and credential.parsed is not None
