"""The page that asks for the password again, and leads back to what needed it."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from config.edge.access import access_of
from config.edge.admin_site import Site
from config.edge.commands import CommandForm, attempt
from fleets.access import PersonAccess
from fleets.reauthentication import reauthenticate

site = cast(Site, admin.site)
TITLE = "Is it still you?"


class CheckForm(CommandForm):
    password = forms.CharField(
        label="Your password",
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def check(request: HttpRequest) -> HttpResponse:
    """GET asks, POST checks and leads to `next`, a page of ours."""
    by = access_of(request)
    assert isinstance(by, PersonAccess)  # the admin has no other callers
    after, status = _place_after(request), 200
    form = CheckForm(request.POST if request.method == "POST" else None, by=by)
    if request.method == "POST":
        went = attempt(form, lambda: reauthenticate(by.user, password=form.cleaned_data["password"], by=by))
        if went.is_done:
            return redirect(after)
        status = went.status
    request.current_app = site.name
    content: dict[str, Any] = {
        **site.each_context(request),
        "title": TITLE,
        "section": {"name": site.index_title, "address": reverse("admin:index")},
        "says": "What comes next is grave enough to ask for your password again.",
        "form": form,
        "button": "Go on",
        "back": reverse("admin:index"),
    }
    return TemplateResponse(request, "admin/command.html", content, status=status)


def _place_after(request: HttpRequest) -> str:
    """A path of the admin, never another host's; home where none is asked for."""
    home = reverse("admin:index")
    asked = request.GET.get("next", "")
    is_ours = (
        asked.startswith(home)
        and asked.isprintable()
        and url_has_allowed_host_and_scheme(asked, allowed_hosts=None)
    )
    return asked if is_ours else home


site.pages.append(path("check/", site.admin_view(check), name="check"))
