"""Gives the pages of the admin their caller: the signed-in person."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from config.edge.access import attach
from fleets.access import PersonAccess


class PersonAccessMiddleware:
    """Only the admin: the API decides by itself whose request it is."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith("/admin/") and request.user.is_authenticated:
            user = request.user
            attach(request, PersonAccess(user._wrapped if isinstance(user, SimpleLazyObject) else user))
        return self.get_response(request)
