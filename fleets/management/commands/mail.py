"""`manage.py mail test ADDRESS`: whether the server behind EMAIL_URL takes mail."""

from argparse import ArgumentParser
from typing import Any

from config.edge.operator_command import OperatorCommand, add_format
from fleets import mail
from fleets.management.operator import as_operator


class Command(OperatorCommand):
    help = "Mail: sends a test to an address, now, and says whether the server took it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        test = commands.add_parser("test", help="send a test mail")
        test.add_argument("address", metavar="ADDRESS")
        add_format(test)

    def act(self, **options: Any) -> None:
        mail.test_now(to=options["address"], by=as_operator())
        took = f"The server took a mail to {options['address']}."
        self.answer({"sent": options["address"]}, [took], options)
