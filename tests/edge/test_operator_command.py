"""What commands of the operator print: nothing in it hides, moves the cursor, or looks like a line that it is not."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError

from config.edge.operator_command import OperatorCommand, as_line
from config.edge.refusals import Invalid

EVIL = "Repair\x1b[1A\x1b[2K\x9b8m\u202e\x00\udcff\t\r\x85\u2028."


class Echo(OperatorCommand):
    def act(self, **options: Any) -> None:
        if options["format"] == "fail":
            raise Invalid.field("reason", options["text"])
        self.answer({"text": options["text"]}, [f"reason  {options['text']}", "status  open"], options)
        self.say(options["text"])


def ran(text: str, form: str = "text") -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    Echo(stdout=out, stderr=err, no_color=True).handle(text=text, format=form)
    return out.getvalue(), err.getvalue()


def test_what_is_not_printable_is_written_out() -> None:
    shown = r"Repair\x1b[1A\x1b[2K\x9b8m\u202e\x00\udcff\t\r\x85\u2028."

    assert as_line(EVIL) == shown
    assert ran(EVIL) == (f"reason  {shown}\nstatus  open\n", f"{shown}\n")
    with pytest.raises(CommandError, match=r"Repair\\x1b\[1A\\x1b") as refused:
        ran(EVIL, "fail")
    assert str(refused.value).isprintable()


def test_a_further_line_of_a_text_looks_like_no_other_line() -> None:
    out, err = ran("Repair\nstatus  approved\n")

    assert out.splitlines() == [
        "reason  Repair",
        "            | status  approved",
        "            | ",
        "status  open",
    ]
    assert err.splitlines()[1:] == out.splitlines()[1:3]


def test_what_is_printable_is_printed_as_it_is() -> None:
    for text in ("Zoë & 東京 🚀 “x”", "a  b", "\\x1b"):
        assert ran(text) == (f"reason  {text}\nstatus  open\n", f"{text}\n")


@pytest.mark.parametrize("text", ["Repair\x1b[1A\u202e\x9b\nstatus  approved", "Zoë"])
def test_a_program_gets_exactly_what_is_kept(text: str) -> None:
    assert json.loads(ran(text, "json")[0]) == {"text": text}
