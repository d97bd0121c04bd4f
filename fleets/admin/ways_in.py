"""Pages for who is not signed in: the link of an invitation, a forgotten password."""

from collections.abc import Callable
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
from config.edge.form_fields import MailAddress
from config.edge.refusals import Conflict, Missing
from config.edge.throttling import Guard, guarded
from fleets import invitations, passwords
from fleets.access import PersonAccess
from fleets.personal_trail import Stranger

site = cast(Site, admin.site)
TOO_LATE = Conflict.status  # somebody else was faster with the same link
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


class ForgottenForm(forms.Form):
    address = MailAddress(label="Your mail address", widget=forms.EmailInput(attrs={"autocomplete": "email"}))


@sensitive_post_parameters()
@asking_and_doing
@guarded(Guard.LINKS, "GET", "HEAD", "POST")
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks for a password, which uses nothing up; POST accepts."""
    try:
        found = invitations.of_link(token)
    except Missing:
        return dead_link(request)
    by = PersonAccess(found.user)
    return choosing(
        request,
        by,
        lambda password: invitations.accept(found, password=password, by=by),
        "registration/invitation.html",
        title="Welcome to Tokenhouse",
        invitation=found,
    )


@asking_and_doing
@guarded(Guard.LINKS, "POST")
def forgotten(request: HttpRequest) -> HttpResponse:
    """Asks for a mail address; what it answers does not tell whether anybody has it."""
    form = ForgottenForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        is_taken = passwords.request_reset(form.cleaned_data["address"], by=Stranger())
        if is_taken:
            return page(request, "registration/password_reset_sent.html", title="Look into your mail")
        return page(request, "registration/too_often.html", title="Too many requests", status=429)
    return page(request, "registration/password_reset.html", title="Forgotten password", form=form)


@sensitive_post_parameters()
@asking_and_doing
@guarded(Guard.LINKS, "GET", "HEAD", "POST")
def reset(request: HttpRequest, token: str) -> HttpResponse:
    """As an invitation: GET asks, POST sets the password."""
    try:
        user = passwords.of_link(token)
    except Missing:
        return dead_link(request)
    by = PersonAccess(user)
    return choosing(
        request,
        by,
        lambda password: passwords.reset(user, password=password, by=by),
        "registration/new_password.html",
        title="New password",
        person=user,
    )


def choosing(
    request: HttpRequest, by: PersonAccess, choose: Callable[[str], None], template: str, **content: Any
) -> HttpResponse:
    """The form for a new password, shown or sent. Nobody is signed in by it."""
    form = NewPasswordForm(request.POST if request.method == "POST" else None, by=by)
    if request.method == "POST":
        went = attempt(form, lambda: choose(form.cleaned_data["password"]))
        if went.is_done:
            return redirect("admin:password_is_set")
        if went.status == TOO_LATE:
            return dead_link(request)
    return page(request, template, form=form, **content)


@require_http_methods(["GET", "HEAD"])
def password_is_set(request: HttpRequest) -> HttpResponse:
    return page(request, "registration/password_is_set.html", title="Your password is set")


def dead_link(request: HttpRequest) -> HttpResponse:
    """One answer for every link that leads nowhere, whatever the reason is."""
    return page(request, "registration/dead_link.html", status=404, title="This link does not work")


def page(request: HttpRequest, template: str, *, status: int = 200, **content: Any) -> HttpResponse:
    request.current_app = site.name
    return TemplateResponse(request, template, {**site.each_context(request), **content}, status=status)


site.pages += [
    path("invitation/<str:token>/", invitation, name="invitation"),
    path("password-reset/", forgotten, name="password_reset"),
    path("password-reset/<str:token>/", reset, name="password_reset_link"),
    path("password-is-set/", password_is_set, name="password_is_set"),
]
