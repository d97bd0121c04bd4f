"""Gives the pages of the admin their caller: the signed-in person."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from config.edge.access import attach
from fleets.access import PersonAccess, themselves


class PersonAccessMiddleware:
    """Only the admin: the API decides by itself whose request it is."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith("/admin/") and request.user.is_authenticated:
            attach(request, PersonAccess(themselves(request.user)))
        return self.get_response(request)
