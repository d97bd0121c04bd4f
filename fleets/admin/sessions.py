"""Where one is signed in, and the end of it."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods

from config.edge.access import access_of
from config.edge.admin_site import Site
from config.edge.ids import parsed_uuid
from config.edge.refusals import IllegalMove
from fleets import sessions
from fleets.access import PersonAccess

site = cast(Site, admin.site)
HEADING = "Your sessions"


@require_http_methods(["GET", "HEAD"])
def listed(request: HttpRequest) -> HttpResponse:
    by = _person(request)
    rows = list(sessions.of_person(by.user))
    here = next((row for row in rows if row.pk == by.session_id), None)
    others = [row for row in rows if row is not here]
    return _page(request, "registration/sessions.html", title=HEADING, here=here, others=others)


@require_http_methods(["GET", "HEAD", "POST"])
def end(request: HttpRequest) -> HttpResponse:
    """GET asks, POST ends the one that `session` names."""
    by = _person(request)
    given = request.POST if request.method == "POST" else request.GET
    if "session" not in given:
        return redirect("admin:sessions")
    key = parsed_uuid(given["session"])
    row = sessions.of_person(by.user).filter(pk=key).first() if key else None
    if row is None:
        raise Http404
    if request.method == "POST":
        try:
            sessions.end(by.user, session=row, by=by)
        except IllegalMove:  # from elsewhere, meanwhile
            pass
        messages.success(request, "The session has ended.")
        return redirect("admin:sessions")
    says = (
        f"Ends the session from {row.address or 'an unknown address'}. Whoever uses it is asked to sign in."
    )
    form = OfSession(initial={"session": row.pk})
    return _page(
        request, "admin/command.html", title="End session", says=says, form=form, button="End session"
    )


@require_http_methods(["GET", "HEAD", "POST"])
def end_others(request: HttpRequest) -> HttpResponse:
    by = _person(request)
    if request.method == "POST":
        count = sessions.end_others(by.user, by=by)
        messages.success(request, f"{count} other session{'' if count == 1 else 's'} ended.")
        return redirect("admin:sessions")
    says = "Ends every session of yours but this one. If you did not start one of them, change your password too."
    title = "End all other sessions"
    return _page(request, "admin/command.html", title=title, says=says, form=forms.Form(), button=title)


class OfSession(forms.Form):
    session = forms.UUIDField(widget=forms.HiddenInput)


def _person(request: HttpRequest) -> PersonAccess:
    by = access_of(request)
    assert isinstance(by, PersonAccess)  # the admin has no other callers
    return by


def _page(request: HttpRequest, template: str, **content: Any) -> HttpResponse:
    request.current_app = site.name
    address = reverse("admin:sessions")
    around = {**site.each_context(request), "section": {"name": HEADING, "address": address}, "back": address}
    return TemplateResponse(request, template, {**around, **content})


site.pages += [
    path("sessions/", site.admin_view(listed), name="sessions"),
    path("sessions/end/", site.admin_view(end), name="session_end"),
    path("sessions/end-others/", site.admin_view(end_others), name="sessions_end_others"),
]
