"""Addresses behind which something fails, inside and outside of REST framework."""

from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.response import Response

from config import urls
from config.edge.refusals import Conflict, InsufficientScope, StaleVersion, Unavailable
from config.edge.views import EdgeView
from config.urls import handler400, handler403, handler404, handler500  # noqa: F401

FAILURES: dict[str, tuple[Exception, int, str]] = {
    "defect": (RuntimeError("the password is hunter2"), 500, "internal_error"),
    "database-away": (OperationalError("connection refused on 10.9.8.7"), 503, "unavailable"),
    "connection-lost": (InterfaceError("connection already closed"), 503, "unavailable"),
    "unavailable": (Unavailable("Busy.", retry_after=7), 503, "unavailable"),
    "not-found": (Http404("secret detail"), 404, "not_found"),
    "forbidden": (PermissionDenied("secret detail"), 403, "forbidden"),
    "suspicious": (SuspiciousOperation("secret detail"), 400, "invalid"),
}
OF_THE_API: dict[str, tuple[Exception, int, str]] = FAILURES | {
    "conflict": (Conflict("Taken.", code="name_taken", id="7"), 409, "name_taken"),
    "scope": (InsufficientScope("machines:read", "/"), 403, "insufficient_scope"),
    "stale": (StaleVersion("Changed."), 412, "precondition_failed"),
    "throttled": (drf.Throttled(wait=3), 429, "rate_limited"),
    "media-type": (drf.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
}


class Fails(EdgeView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request, failure: str) -> Response:
        raise OF_THE_API[failure][0]

    def post(self, request: Request, failure: str) -> Response:
        return Response({"got": request.data})


def fails(_request: HttpRequest, failure: str, **_: Any) -> HttpResponse:
    raise FAILURES[failure][0]


urlpatterns = [
    path("api/v1/<failure>/", Fails.as_view()),
    path("plain/<failure>", fails),
    path("admin/<failure>", fails),
    *urls.urlpatterns,
]
