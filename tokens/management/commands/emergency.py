"""`manage.py emergency`: emergency access from the server's own command line, on behalf of a superuser."""

from typing import Any

from django.core.management.base import CommandParser

from config.edge.facts import written
from config.edge.operator_command import OneLineParser, OperatorCommand, add_format, said
from config.edge.parsing import is_plain_text
from config.edge.refusals import Missing
from fleets.management import named
from fleets.management.operator import as_operator
from tokens import emergency, receipts
from tokens.api.emergency import StartSerializer, StopSerializer, represent_window
from tokens.models import Token

Options = dict[str, Any]


class Command(OperatorCommand):
    help = "Lift the networks and access windows of a token in an emergency, for a superuser."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, parser_class=OneLineParser)
        start = verbs.add_parser("start", help="lift them for some hours, or until it is stopped")
        start.add_argument("--hours", type=int, required=True, metavar="N", help="whole hours, 1 to 8")
        stop = verbs.add_parser("stop", help="let them hold again, at once")
        for verb in (start, stop):
            verb.add_argument("token", metavar="TOKEN_ID")
            verb.add_argument(
                "--reason", required=verb is start, default="", help="kept in the audit trail, and mailed"
            )
            verb.add_argument(
                "--as", dest="user", required=True, metavar="SUPERUSER", help="who answers for it"
            )
            add_format(verb)

    def act(self, **options: Any) -> None:
        by = as_operator(named.person(options["user"]))
        token = _token(options["token"])
        if options["verb"] == "start":
            body = said(StartSerializer, hours=options["hours"], reason=options["reason"])
            window = emergency.start(token, **body, by=by)
            until = written(window.ends_at)
            text = f"The networks and access windows of {token.name} are lifted until {until}."
            self.answer(represent_window(window, 0), [text], options)
        else:
            ended = emergency.stop(token, **said(StopSerializer, reason=options["reason"]), by=by)
            shown = represent_window(ended, receipts.calls_of(ended).count()) if ended else None
            text = "Emergency access has ended." if ended else "There was none to stop."
            self.answer(shown, [text], options)
        self.say_how(on_behalf_of=options["user"])


def _token(key: str) -> Token:
    tokens = Token.objects.select_related("organization")
    found = tokens.filter(pk=key).first() if is_plain_text(key) else None
    if found is None:
        raise Missing(f"There is no token {key}.")
    return found
