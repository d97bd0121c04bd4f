"""What surrounds every request: its context and ids, the limit on its body, headers that harden the answer."""

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from config.edge import context
from config.edge.address import client_address, is_trusted_proxy
from config.edge.context import CLIENT_REQUEST_ID, RequestContext
from config.edge.networks import parse_address
from config.edge.problems import (
    BODY_TOO_LARGE,
    CODE_OF_STATUS,
    DETAIL_OF_STATUS,
    MEDIA_TYPE,
    problem,
    wants_html,
)

log = logging.getLogger("tokenhouse.request")
Next = Callable[[HttpRequest], HttpResponseBase]
HEADERS = {
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}
GATE = "/gate/verify"  # reads no body, and a proxy sends it the headers of one that it keeps to itself
QUIET = {"/healthz", "/readyz"}


class RequestContextMiddleware:
    """Binds the request's context for the audit trail and the log, and names it in the answer. The outermost one."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        _believe_proxy_scheme(request)
        with context.bound(request_context(request)) as bound:
            response = told_as_problem(request, self.get_response(request))
            response["X-Request-ID"] = bound.request_id
            if bound.client_request_id:
                response["X-Client-Request-ID"] = bound.client_request_id
            for name, value in bound.headers.items():
                response[name] = value
            for name, value in HEADERS.items():
                response.setdefault(name, value)
            if not request.path.startswith("/static/"):
                response.setdefault("Cache-Control", "no-store")
            if request.path not in QUIET:
                milliseconds = round((time.perf_counter() - started) * 1000, 1)
                log.info(
                    "request",
                    extra={
                        "method": request.method,
                        "path": request.path[:300],
                        "status": response.status_code,
                        "milliseconds": milliseconds,
                        "address": bound.address,
                    },
                )
        return response


def told_as_problem(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """An error that something below answered in its own words, as a problem document with the same headers."""
    status = response.status_code
    is_told = status < 400 or wants_html(request) or response.get("Content-Type", "") == MEDIA_TYPE
    if is_told or response.streaming or status not in CODE_OF_STATUS:
        return response
    kept = {name: value for name, value in response.items() if name not in {"Content-Type", "Content-Length"}}
    return problem(
        status, CODE_OF_STATUS[status], DETAIL_OF_STATUS.get(status, "It can't be done."), headers=kept
    )


def request_context(request: HttpRequest) -> RequestContext:
    client_id = request.META.get("HTTP_X_REQUEST_ID", "")
    return RequestContext(
        client_request_id=client_id if CLIENT_REQUEST_ID.fullmatch(client_id) else None,
        address=client_address(request.META),
        user_agent=_storable(request.META.get("HTTP_USER_AGENT", ""))[:300],
        method=request.method or "",
        path=_storable(request.path)[:300],
    )


def _storable(text: str) -> str:
    """Text that every database keeps: control characters and lone surrogates are written out."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "replace").decode()
        for character in text[:1000]
    )


def _believe_proxy_scheme(request: HttpRequest) -> None:
    """X-Forwarded-Proto counts only from a trusted proxy."""
    peer = parse_address(request.META.get("REMOTE_ADDR") or "")
    if peer and request.META.get("HTTP_X_FORWARDED_PROTO") == "https" and is_trusted_proxy(peer):
        request.META["wsgi.url_scheme"] = "https"


class BodyLimitMiddleware:
    """Refuses a body that is too large, or of unknown length, before anything reads it."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.refusal(request) or self.get_response(request)

    def refusal(self, request: HttpRequest) -> HttpResponse | None:
        if request.path == GATE:
            return None
        length = request.META.get("CONTENT_LENGTH") or ""
        if request.META.get("HTTP_TRANSFER_ENCODING") and not length:
            return problem(411, "length_required", "Send the body with a Content-Length.")
        if length and not (length.isascii() and length.isdigit()):
            return problem(400, "invalid", "Content-Length is not a number.")
        if length and int(length[:20]) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return problem(413, "body_too_large", BODY_TOO_LARGE)
        if request.META.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
            return problem(415, "unsupported_media_type", "Compressed bodies are not read.")
        return None
