"""Pages for who is not signed in: the link of an invitation, a forgotten password."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.password_validation import password_validators_help_text_html
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from config.edge.admin_site import Site
from config.edge.commands import CommandForm, attempt
from config.edge.refusals import Conflict, Missing
from fleets import invitations
from fleets.access import PersonAccess
from fleets.models import Invitation

site = cast(Site, admin.site)
asking_and_doing = require_http_methods(["GET", "HEAD", "POST"])


class NewPasswordForm(CommandForm):
    password = forms.CharField(
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=password_validators_help_text_html(),
    )
    again = forms.CharField(
        label="The same again",
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "password" in data and "again" in data and data["password"] != data["again"]:
            self.add_error("again", "The two passwords are not the same.")
        return data


@sensitive_post_parameters()
@asking_and_doing
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks for a password, which uses nothing up; POST accepts."""
    try:
        found = invitations.of_link(token)
        by = PersonAccess(found.user)
        form = NewPasswordForm(request.POST if request.method == "POST" else None, by=by, row=found)
        if request.method == "POST":
            went = attempt(form, lambda: _accept(found, form, by))
            if went.is_done:
                return redirect("admin:invitation_accepted")
    except (Missing, Taken):
        return dead_link(request)
    return page(
        request, "registration/invitation.html", title="Welcome to Tokenhouse", invitation=found, form=form
    )


class Taken(Exception):
    """Somebody else was faster with the same link."""


def _accept(found: Invitation, form: NewPasswordForm, by: PersonAccess) -> None:
    try:
        invitations.accept(found, password=form.cleaned_data["password"], by=by)
    except Conflict as error:
        raise Taken from error


@require_http_methods(["GET", "HEAD"])
def invitation_accepted(request: HttpRequest) -> HttpResponse:
    return page(request, "registration/password_is_set.html", title="Your password is set")


def dead_link(request: HttpRequest) -> HttpResponse:
    """One answer for every link that leads nowhere, whatever the reason is."""
    return page(request, "registration/dead_link.html", status=404, title="This link does not work")


def page(request: HttpRequest, template: str, *, status: int = 200, **content: Any) -> HttpResponse:
    request.current_app = site.name
    return TemplateResponse(request, template, {**site.each_context(request), **content}, status=status)


site.pages += [
    path("invitation/accepted/", invitation_accepted, name="invitation_accepted"),
    path("invitation/<str:token>/", invitation, name="invitation"),
]
