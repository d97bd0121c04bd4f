"""Problem documents (RFC 9457) for every status on every path but the pages of the admin."""

import logging
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.template.response import TemplateResponse
from rest_framework import exceptions as drf
from rest_framework.response import Response

from config.edge import context
from config.edge.refusals import (
    DomainError,
    FieldError,
    Invalid,
    Missing,
    NotAuthenticated,
    Refused,
    TooLarge,
    Unavailable,
)

log = logging.getLogger("tokenhouse.edge")
MEDIA_TYPE = "application/problem+json"
BODY_TOO_LARGE = f"A body may have at most {settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024} KiB."
TELLING = frozenset(
    {"unknown_field", "read_only", "not_available", "unknown_scope", "required"}
)  # codes that say it all
DETAIL_OF_STATUS = {
    400: "The request is malformed.",
    403: "You may not do this.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
}
CODE_OF_STATUS = {
    400: "invalid",
    401: "credential_missing",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    411: "length_required",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    500: "internal_error",
    503: "unavailable",
}


def document(
    status: int,
    code: str,
    detail: str,
    errors: tuple[FieldError, ...] = (),
    members: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The members of a problem document. `members` are extensions, such as the id of what exists already."""
    body: dict[str, Any] = {
        "type": "about:blank",  # the title is the status; `code` says more (RFC 9457, 4.2.1)
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": context.current().request_id,
    }
    if errors:
        body["errors"] = [
            {"field": error.field, "code": error.code, "detail": error.detail} for error in errors
        ]
    return {**body, **(members or {})}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: tuple[FieldError, ...] = (),
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> HttpResponse:
    response = JsonResponse(
        document(status, code, detail, errors, members), status=status, content_type=MEDIA_TYPE
    )
    response["Cache-Control"] = "no-store"
    for name, value in (headers or {}).items():
        response[name] = value
    return response


def problem_of(error: DomainError) -> HttpResponse:
    return problem(
        error.status,
        error.code,
        error.detail,
        errors=error.errors,
        headers=error.headers,
        members=error.members,
    )


def translated(error: BaseException) -> DomainError | None:
    """The refusal that an exception of the libraries below amounts to; None where it is a defect."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, drf.APIException):
        return _of_rest_framework(error)
    if isinstance(error, ModelValidationError):
        errors = _of_model(error)
        return Invalid(_summary(errors), errors=errors)
    for classes, meaning in MEANINGS:
        if isinstance(error, classes):
            return meaning()
    return None


MEANINGS: tuple[tuple[tuple[type[BaseException], ...], Callable[[], DomainError]], ...] = (
    (
        (OperationalError, InterfaceError),
        lambda: Unavailable("The database is busy or away; nothing was changed. Try again."),
    ),
    ((RequestDataTooBig,), lambda: TooLarge(BODY_TOO_LARGE)),
    ((SuspiciousOperation, MultiPartParserError), lambda: Invalid("The request is malformed.")),
    ((Http404,), lambda: Missing("There is no such object.")),
    ((PermissionDenied,), lambda: Refused("You may not do this.")),
)


def _of_model(error: ModelValidationError) -> tuple[FieldError, ...]:
    """What a model's full_clean() says, field by field."""
    by_field = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.error_list}
    return tuple(
        FieldError("" if field == NON_FIELD_ERRORS else field, str(one.code or "invalid"), message)
        for field, several in by_field.items()
        for one in several
        for message in one.messages
    )


def _of_rest_framework(error: drf.APIException) -> DomainError:
    if isinstance(error, drf.ValidationError):
        errors = tuple(_flattened(error.get_full_details()))
        codes = {error.code for error in errors}
        code = codes.pop() if len(codes) == 1 and codes <= TELLING else ""
        return Invalid(_summary(errors), code=code, errors=errors)
    if isinstance(error, drf.NotAuthenticated):
        refusal: DomainError = NotAuthenticated("No credential was sent.")
    elif isinstance(error, drf.PermissionDenied) and "CSRF" in str(error.detail):
        refusal = Refused(str(error.detail), code="csrf_failed")
    else:
        refusal = DomainError(str(error.detail), code=CODE_OF_STATUS.get(error.status_code, "invalid"))
        refusal.status = error.status_code
    if authenticate := getattr(error, "auth_header", None):
        refusal.headers["WWW-Authenticate"] = authenticate
    return refusal


def exception_handler(error: Exception, _drf_context: dict[str, Any]) -> Response | None:
    """REST framework's hook: every exception of a view as a problem document; a defect goes on to handler500."""
    refusal = translated(error)
    if refusal is None:
        return None
    return Response(
        document(refusal.status, refusal.code, refusal.detail, refusal.errors, refusal.members),
        status=refusal.status,
        headers={"Cache-Control": "no-store", **refusal.headers},
        content_type=MEDIA_TYPE,
    )


def _flattened(details: Any, field: str = "") -> list[FieldError]:
    """REST framework's nested error details as a flat list, nested fields dotted."""
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        return [FieldError(field, str(details["code"]), str(details["message"]))]
    if isinstance(details, dict):
        return [
            error
            for name, inner in details.items()
            for error in _flattened(
                inner, field if name == "non_field_errors" else f"{field}.{name}".lstrip(".")
            )
        ]
    if all(isinstance(inner, dict) and set(inner) == {"message", "code"} for inner in details):
        return [error for inner in details for error in _flattened(inner, field)]
    return [error for index, inner in enumerate(details) for error in _flattened(inner, f"{field}.{index}")]


def _summary(errors: tuple[FieldError, ...]) -> str:
    return " ".join(f"{error.field}: {error.detail}" if error.field else error.detail for error in errors)


def wants_html(request: HttpRequest) -> bool:
    """The admin answers people; everything else answers programs."""
    return request.path.startswith("/admin/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return _page_or_problem(request, 413, BODY_TOO_LARGE)
    return _page_or_problem(request, 400, "The request is malformed.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page_or_problem(request, 403, "You may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page_or_problem(request, 404, "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Django calls this inside its `except`: a database that is away is a 503, all else a defect."""
    error = sys.exc_info()[1]
    refusal = translated(error) if error else None
    if refusal is None:
        return _page_or_problem(request, 500, "Something went wrong here. The request id leads to the log.")
    return refused(request, refusal)


def refused(request: HttpRequest, error: DomainError) -> HttpResponse:
    """A refusal as who asked reads it: a page for people, a problem document for programs."""
    if not wants_html(request):
        return problem_of(error)
    response = _page_or_problem(request, error.status, error.detail)
    for name, value in error.headers.items():
        response[name] = value
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    detail = "The form's protection against forged requests did not match. Load the page again."
    if wants_html(request):
        return _page_or_problem(request, 403, detail)
    return problem(403, "csrf_failed", detail)


def _page_or_problem(request: HttpRequest, status: int, detail: str) -> HttpResponse:
    if not wants_html(request):
        return problem(status, CODE_OF_STATUS[status], detail)
    page = TemplateResponse(
        request,
        "problem.html",
        {
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "request_id": context.current().request_id,
        },
        status=status,
    )
    page.render()
    page["Cache-Control"] = "no-store"
    return page
