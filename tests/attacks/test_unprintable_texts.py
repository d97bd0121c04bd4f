"""What a terminal obeys, or what turns the direction of reading, is in no text that a page of the admin keeps.

Forms come from the admin's registry, so that none that is new is forgotten. They refuse what the API refuses, in the
words of its `Text`.
"""

from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.test import Client
from rest_framework.exceptions import ValidationError

from config.edge.form_fields import Line, Lines, MailAddress
from config.edge.scoped_admin import ScopedAdmin
from config.edge.serializers import Text
from fleets.admin import reauthentication, ways_in
from tests.attacks.clients import browser
from tests.attacks.estate import Estate, as_stored, request_for, who_adds
from tests.attacks.tables import nothing_changes
from tests.attacks.test_stale_pages import MEANWHILE, PAGES, address, as_opened, person_for

pytestmark = pytest.mark.django_db
UNPRINTABLE = {
    "ESC": "a\x1b[8mb",
    "NUL": "a\x00b",
    "CSI of one byte": "a\x9b8mb",
    "right to left": "a\u202eb",
    "isolated": "a\u2066b",
    "zero width": "a\u200bb",
    "line separator": "a\u2028b",
    "backspace": "a\bb",
}
LINE_ENDS = {"LF": "a\nb", "CR LF": "a\r\nb", "CR": "a\rb"}
PASSWORDS = {"password", "again"}


def texts_of(form: forms.BaseForm) -> dict[str, forms.CharField]:
    """The fields into which anything can be typed, or sent where they are hidden."""
    return {name: field for name, field in form.fields.items() if isinstance(field, forms.CharField)}


def refused_by_the_api(text: str, *, like: forms.CharField) -> str:
    """In which words the API refuses it in a text such as the field takes."""
    with pytest.raises(ValidationError) as refused:
        Text(multiline=isinstance(like, Lines), max_length=like.max_length or 0).run_validation(text)
    [detail] = refused.value.detail
    return str(detail)


def too_long(field: forms.CharField) -> str:
    assert field.max_length is not None, "a text without a maximum"
    return "x" * (field.max_length + 1)


def attack(client: Client, here: str) -> None:
    """Send each text in all fields of the form at once: each of them refuses it."""
    opened = client.get(here)
    fields, wrong = texts_of(opened.context["form"]), []
    lines = [name for name, field in fields.items() if not isinstance(field, Lines)]
    attacks = {what: dict.fromkeys(fields, text) for what, text in UNPRINTABLE.items()}
    attacks |= {what: dict.fromkeys(lines, text) for what, text in LINE_ENDS.items()}
    attacks["too long"] = {name: too_long(field) for name, field in fields.items()}
    with nothing_changes():
        for what, texts in attacks.items():
            if not texts:
                continue
            answer = client.post(here, {**as_opened(opened), **texts})
            errors = answer.context["form"].errors if answer.status_code == 200 else {}
            for name, text in texts.items():
                said = list(errors.get(name, []))
                if refused_by_the_api(text, like=fields[name]) not in said:
                    wrong.append(f"{name}, {what}: {answer.status_code} {said}")
    assert wrong == []
    assert [name for name, field in fields.items() if not isinstance(field, Line)] == []


@pytest.mark.parametrize(
    ("label", "verb"),
    [(label, verb) for label, verb in PAGES if label in MEANWHILE],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_no_field_of_a_form_about_a_row_takes_what_is_not_printable(
    label: str, verb: Any, estate: Estate
) -> None:
    attack(person_for(estate, verb), address(label, verb, as_stored(MEANWHILE[label].row(estate.ours))))


ADDING = sorted(
    f"{model._meta.label_lower.replace('.', '/')}/add/"
    for model, page in admin.site._registry.items()
    if isinstance(page, ScopedAdmin) and page.adding
)


@pytest.mark.parametrize("where", [*ADDING, "tokens/token/add/?for=acme/fleet:acme-edge"])
def test_no_field_of_a_form_that_makes_something_takes_what_is_not_printable(
    where: str, estate: Estate
) -> None:
    attack(browser(who_adds(where, estate)), f"/admin/{where}")


@pytest.mark.parametrize("name", ["approve", "approve-less", "reject", "withdraw"])
def test_no_field_of_a_decision_takes_what_is_not_printable(name: str, estate: Estate) -> None:
    request, person = request_for(name, estate)

    attack(browser(person), f"/admin/approvals/approvalrequest/{request.pk}/{name}/")


def test_only_passwords_are_taken_as_they_are_typed() -> None:
    """Of the forms that are on no page of a row."""
    for form in (ways_in.NewPasswordForm, ways_in.ForgottenForm, reauthentication.CheckForm):
        fields = form.base_fields
        assert {name for name, field in fields.items() if not isinstance(field, Line)} <= PASSWORDS


def test_a_forgotten_password_is_asked_for_by_a_printable_address(client: Client, db: None) -> None:
    for text in UNPRINTABLE.values():
        answer = client.post("/admin/password-reset/", {"address": f'"{text}"@example.org'})

        assert answer.context["form"].errors.keys() == {"address"}


@pytest.mark.parametrize("text", [*UNPRINTABLE.values(), *LINE_ENDS.values()])
def test_a_mail_address_quotes_nothing_that_is_not_printable(text: str) -> None:
    with pytest.raises(forms.ValidationError) as refused:
        MailAddress().clean(f'"{text}"@example.org')

    assert refused.value.messages == [refused_by_the_api(text, like=MailAddress())]


def test_what_is_printable_is_kept_as_it_was_typed() -> None:
    for text in ("Zoë & 東京 🚀 <b>", "a  b", "\\x1b"):
        assert Line().clean(text) == Lines().clean(text) == Text().run_validation(text) == text
    for text, kept in (
        ("a\r\nb", "a\nb"),
        ("a\rb", "a\nb"),
        ("\ta\n\n\tb\r\n", "a\n\n\tb"),
        ("a\n\rb", "a\n\nb"),
    ):
        assert Lines().clean(text) == kept == Text(multiline=True).run_validation(kept)
