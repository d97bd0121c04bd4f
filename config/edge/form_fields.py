"""Texts that people type into forms: what the API's `Text` refuses is refused here too, in the same words."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from config.edge.parsing import NOT_PRINTABLE, is_printable

LINE_END = re.compile(r"\r\n?")
REASON = 1000  # characters


class Line(forms.CharField):
    """One line."""

    is_multiline = False
    default_error_messages = {
        "control": NOT_PRINTABLE,
        "max_length": "Ensure this field has no more than %(limit_value)d characters.",
    }

    def to_python(self, value: Any) -> str:
        text = super().to_python(with_line_feeds(value)) or ""
        if not is_printable(text, multiline=self.is_multiline):
            raise ValidationError(self.error_messages["control"], code="control")
        return text


class Lines(Line):
    """Several lines, which browsers end with CR LF and everything else here with LF. `rows` is how many are shown."""

    is_multiline = True

    def __init__(self, *, rows: int = 2, attrs: dict[str, str] | None = None, **options: Any) -> None:
        widget = forms.Textarea(attrs={"rows": rows, **(attrs or {})})
        super().__init__(widget=widget, **options)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """A text that was kept with CR LF, and comes back as it was shown, is the same."""
        return super().has_changed(with_line_feeds(initial), data)


class MailAddress(Line, forms.EmailField):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 254, **options})


def reason_field(help_text: str, *, required: bool = False, **options: Any) -> Lines:
    """Why a verb is called, in the caller's words. `help_text` says who reads them."""
    return Lines(required=required, max_length=REASON, help_text=help_text, **options)


def with_line_feeds(value: Any) -> Any:
    return LINE_END.sub("\n", value) if isinstance(value, str) else value
