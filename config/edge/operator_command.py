"""What the commands on the server share: they act as the operator, in a request context, and fail in one line."""

import getpass
import json
import os
import socket
from argparse import ArgumentParser
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError
from rest_framework.exceptions import APIException
from rest_framework.serializers import Serializer

from config.edge import context, misplaced
from config.edge.context import RequestContext, bound
from config.edge.problems import translated
from config.edge.refusals import DomainError

CONTINUED = "\n            | "


class OneLineParser(CommandParser):
    """Says what is wrong with the arguments without repeating all of them."""

    def error(self, message: str) -> NoReturn:
        if not self.called_from_command_line:
            raise CommandError(f"Error: {message}")
        self.exit(2, f"{self.prog}: {_one_line(message)}\n")


class OperatorCommand(BaseCommand):
    """A command of whoever holds the host. Subclasses implement `act`."""

    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.__class__ = OneLineParser  # Django names its own class there
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with bound(
                RequestContext(method="COMMAND", path=f"manage.py {type(self).__module__.split('.')[-1]}")
            ):
                for name, value in options.items():
                    misplaced.require_none(value, name.replace("_", "-"))
                self.act(**options)
        except DatabaseError as error:
            raise CommandError(_one_line(f"The database can't be used: {error}")) from error
        except (DomainError, APIException, ValidationError, ValueError, OSError) as error:
            refusal = translated(error)
            raise CommandError(_one_line(_explained(refusal) if refusal else str(error))) from error

    def act(self, **options: Any) -> None:
        raise NotImplementedError

    def say(self, text: str) -> None:
        """A remark for the person at the terminal: stdout holds the result alone."""
        self.stderr.write(as_line(text))

    def answer(self, data: Any, lines: list[str], options: dict[str, Any]) -> None:
        """The result: one JSON document for programs, `lines` for people, none of which a text can forge."""
        is_json = options["format"] == "json"
        written = "\n".join(map(as_line, lines))
        self.stdout.write(json.dumps(data, cls=DjangoJSONEncoder, ensure_ascii=False) if is_json else written)

    def say_how(self, *, on_behalf_of: str = "", without_approval: bool = False) -> None:
        """As whom it was done, and whether a running Tokenhouse knows of it yet."""
        behalf = f", on behalf of {on_behalf_of}" if on_behalf_of else ""
        approval = ", without approval" if without_approval else ""
        self.say(f"Done as the operator, {operator_label()}{behalf}{approval}.")
        if not context.current().effective_everywhere:
            self.say("Other processes could not be told yet: a running Tokenhouse repeats it until they are.")


def said(command: type[Serializer[Any]], **data: Any) -> dict[str, Any]:
    """Arguments read as the body of the same command of the API is; ValidationError where it refuses them."""
    serializer = command(data=data)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values


def as_line(text: str) -> str:
    """For a terminal: what is not printable is written out, as \\x1b, and a text's further lines are marked as such."""
    return CONTINUED.join(map(_written_out, text.split("\n")))


def _written_out(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def operator_label() -> str:
    """<OS user>@<host>"""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as containers have them
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def add_format(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=["text", "json"], default="text", help="json: one document on stdout"
    )


def _explained(error: DomainError) -> str:
    """What is wrong, each with the field that it is about, where there is one."""
    wrong = (f"{each.field}: {each.detail}" if each.field else each.detail for each in error.errors)
    return "; ".join(wrong) or error.detail


def _one_line(text: str) -> str:
    return as_line(" ".join(text.split()))
