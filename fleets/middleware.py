"""Gives the pages of the admin their caller: the signed-in person."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from config.edge.access import attach
from config.edge.problems import wants_html
from fleets import sessions
from fleets.access import PersonAccess, themselves


class PersonAccessMiddleware:
    """Only the admin: the API decides by itself whose request it is."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not wants_html(request) or not request.user.is_authenticated:
            return self.get_response(request)
        session = sessions.current(request)
        if session is None:
            sessions.forget(request)
            return self.get_response(request)
        attach(request, PersonAccess(themselves(request.user), session.pk, session.checked_at))
        response = self.get_response(request)
        sessions.follow(session, request)
        return response
