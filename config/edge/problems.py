"""Problem documents (RFC 9457) for every status on every path but the pages of the admin."""

import logging
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.template.response import TemplateResponse
from rest_framework import exceptions as drf
from rest_framework.response import Response

from config.edge import context
from config.edge.refusals import DomainError, FieldError, Unavailable

log = logging.getLogger("tokenhouse.edge")
MEDIA_TYPE = "application/problem+json"
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
        "type": f"/docs/problems#{code}",
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
    """The refusal that an exception from below amounts to; None where it is a defect."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, OperationalError | InterfaceError):
        return Unavailable("The database is busy or away; nothing was changed. Try again.")
    return None


def exception_handler(error: Exception, _drf_context: dict[str, Any]) -> Response | None:
    """REST framework's hook: every exception of a view as a problem document; a defect goes on to handler500."""
    refusal = translated(error)
    if refusal is not None:
        return _response(
            refusal.status, refusal.code, refusal.detail, refusal.errors, refusal.headers, refusal.members
        )
    if isinstance(error, drf.ValidationError):
        errors = tuple(_flattened(error.get_full_details()))
        code = (
            errors[0].code
            if len(errors) == 1 and errors[0].code in {"unknown_field", "read_only", "not_available"}
            else "invalid"
        )
        return _response(400, code, _summary(errors), errors)
    if isinstance(error, ModelValidationError):
        return _response(400, "invalid", "; ".join(error.messages))
    if isinstance(error, RequestDataTooBig):
        return _response(413, CODE_OF_STATUS[413], "A body may have at most 64 KiB.")
    if isinstance(error, SuspiciousOperation | MultiPartParserError):
        return _response(400, "invalid", "The request is malformed.")
    if isinstance(error, Http404):
        return _response(404, "not_found", "There is no such object.")
    if isinstance(error, PermissionDenied):
        return _response(403, "forbidden", "You may not do this.")
    if isinstance(error, drf.APIException):
        status = error.status_code
        headers = {}
        if authenticate := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = authenticate
        if isinstance(error, drf.NotAuthenticated):
            return _response(401, "credential_missing", "No credential was sent.", headers=headers)
        if isinstance(error, drf.PermissionDenied) and "CSRF" in str(error.detail):
            return _response(403, "csrf_failed", str(error.detail))
        return _response(status, CODE_OF_STATUS.get(status, "invalid"), str(error.detail), headers=headers)
    return None


def _response(
    status: int,
    code: str,
    detail: str,
    errors: tuple[FieldError, ...] = (),
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    return Response(
        document(status, code, detail, errors, members),
        status=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
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
        return _page_or_problem(request, 413, "A body may have at most 64 KiB.")
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
    if wants_html(request):
        response = _page_or_problem(request, refusal.status, refusal.detail)
        for name, value in refusal.headers.items():
            response[name] = value
        return response
    return problem_of(refusal)


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
