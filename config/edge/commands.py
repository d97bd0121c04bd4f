"""Verbs as pages offer them: a form, a sentence that says what will happen, a button; refusals become its errors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from config.edge import misplaced
from config.edge.access import Access
from config.edge.form_fields import reason_field
from config.edge.idempotency import Replayed
from config.edge.refusals import DomainError, Invalid


class CommandForm(forms.Form):
    """The form of one verb. `by` is who asks and `row` what it is about: choices offer only what both allow."""

    renames: dict[str, str] = {}  # where a refusal calls a field otherwise than the form does

    def __init__(self, *args: Any, by: Access, row: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by, self.row = by, row

    def full_clean(self) -> None:
        """A field that holds a secret is emptied before anything reads or shows it."""
        sent, holding = self.data, []
        if isinstance(sent, QueryDict):
            holding = [name for name in self.fields if misplaced.holds_secret(sent.getlist(name))]
            self.data = sent = sent.copy()
            for name in holding:
                sent[name] = ""
        super().full_clean()
        for name in holding:
            self.errors.pop(name, None)
            self.add_error(name, misplaced.DETAIL)

    def place(self, refusal: DomainError) -> None:
        """Show a refusal at the fields that it is about."""
        for error in refusal.errors:
            self._place(error.field, error.detail)
        if not refusal.errors:
            self.add_error(None, refusal.detail)

    def place_validation(self, error: ValidationError) -> None:
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, texts in error.message_dict.items():
            for text in texts:
                self._place(name, text)

    def _place(self, name: str, text: str) -> None:
        name = self.renames.get(name, name)
        self.add_error(name if name in self.fields else None, text)


def offer(form: forms.Form, name: str, choices: Sequence[tuple[str, str]]) -> None:
    """Set the choices of a field; the only one is chosen already, but where several can be: there it is a decision."""
    field = form.fields[name]
    assert isinstance(field, forms.ChoiceField)
    field.choices = choices
    if len(choices) == 1 and not isinstance(field, forms.MultipleChoiceField):
        field.initial = choices[0][0]


class ReasonForm(CommandForm):
    """Of a verb that wants to know no more than why."""

    reason = reason_field("Kept in the audit trail.")


@dataclass
class Attempt:
    """How a sent form went: what its verb gave, or the status under which the form is shown again."""

    result: Any = None
    is_done: bool = False
    status: int = 200


def attempt(form: CommandForm, call: Callable[[], Any]) -> Attempt:
    """Call a verb with a form that was sent; what it refuses becomes an error of the form."""
    if not form.is_valid():
        return Attempt()
    try:
        return Attempt(call(), is_done=True)
    except Replayed:  # not this form's mistake: it was sent before
        raise
    except ValidationError as error:
        form.place_validation(error)
        return Attempt()
    except Invalid as refusal:
        form.place(refusal)
        return Attempt()
    except DomainError as refusal:
        if refusal.status >= 500:
            raise
        form.place(refusal)
        return Attempt(status=refusal.status)


def always(row: Any) -> bool:
    return True


@dataclass(frozen=True)
class RowVerb:
    """A verb as the admin offers it about a row: a button where it may and can be done, and a page that asks.

    `says` is what will happen, in words; `done` what is said afterwards.
    """

    name: str
    label: str
    may: Callable[[Access, Any], bool]
    call: Callable[[Any, dict[str, Any], Access], Any]
    says: Callable[[Any], str]
    done: str
    fits: Callable[[Any], bool] = always
    form: type[CommandForm] = CommandForm
    button: str = ""  # of the page that asks, where it says something else than the label
    template: str = "admin/command.html"
    is_grave: bool = False
    needs_fresh_check: bool = False  # the password is asked for again where that was longer ago
    is_bound: bool = True  # to what the page showed; False: it only takes away, or says itself what was seen


@dataclass(frozen=True)
class Adding:
    """The verb that makes a row: `call(cleaned data, by)` gives it, or what reveals its secret."""

    label: str
    may: Callable[[Access], bool]
    form: type[CommandForm]
    call: Callable[[dict[str, Any], Access], Any]
    says: str
    done: str


@dataclass(frozen=True)
class Button:
    label: str
    address: str
    is_grave: bool = False
