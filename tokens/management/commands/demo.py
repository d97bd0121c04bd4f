"""`manage.py demo`: fills an empty database with the demo organization and prints one JSON line."""

import json
import os
import secrets
from typing import Any

from django.core.management.base import CommandParser

from config.edge.operator_command import OperatorCommand
from fleets.management.operator import as_operator
from tokens.demo.filling import Filled, fill, open_empty


class Command(OperatorCommand):
    help = "Fill an empty database with a believable organization. The password is read from ADMIN_PASSWORD."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--username", default="admin", help="the superuser to make, owner of the organization"
        )
        parser.add_argument(
            "--empty", action="store_true", help="one organization with its owner, nothing else"
        )

    def act(self, **options: Any) -> None:
        given = os.environ.get("ADMIN_PASSWORD", "")
        password = given or secrets.token_urlsafe(12)
        make = open_empty if options["empty"] else fill
        filled = make(username=options["username"], password=password, by=as_operator())
        self.stdout.write(json.dumps(_described(filled) | ({} if given else {"password": password})))


def _described(filled: Filled) -> dict[str, str | None]:
    described = {
        "organization": filled.organization.slug,
        "username": filled.user.username,
        "fleet": filled.fleet.slug if filled.fleet else None,
    }
    return described | ({"token": filled.secret.reveal()} if filled.secret else {})
