"""`manage.py acl`: who and which token may do what where, at the server's own command line, as the operator."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from config.edge.operator_command import OneLineParser, OperatorCommand, add_format, said
from config.edge.refusals import Invalid, Missing
from fleets import entries, places
from fleets.api.rule_serializers import EntrySerializer
from fleets.management.operator import as_operator
from fleets.models import AclEntry, Organization
from tokens import grants
from tokens.api.serializers import ReasonSerializer, represent_grant
from tokens.management import named, text
from tokens.models import Grant, Token
from tokens.wishes import GrantWish

COLUMNS = ("organization", "path", "role", "propagate", "user", "group", "token")
TOKEN = "a token's own row: OWNER!NAME, such as ada!backup or fleet:edge!ci"
Options = dict[str, Any]


class Command(OperatorCommand):
    help = "Give users, groups and tokens roles at paths as the operator of this host, without approval."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, parser_class=OneLineParser)

        def verb(name: str, what: str) -> ArgumentParser:
            of_verb: ArgumentParser = verbs.add_parser(name, help=what, description=what)
            of_verb.add_argument("--organization", metavar="SLUG", help="where there are several")
            add_format(of_verb)
            subject = of_verb.add_mutually_exclusive_group(required=name == "modify")
            subject.add_argument("--token", metavar="OWNER!NAME", help=TOKEN)
            subject.add_argument("--user", metavar="USERNAME", help="a person or technical user")
            subject.add_argument("--group", metavar="SLUG", help="a group")
            return of_verb

        modify = verb("modify", "give a role at a path, or take away what is given there")
        modify.add_argument("path", metavar="PATH")
        modify.add_argument("--role", help="takes the place of what is given there already")
        modify.add_argument("--propagate", choices=["0", "1"], default="1", help="1: below the path too")
        modify.add_argument(
            "--delete",
            action="store_true",
            help="take away what is given exactly there; with --role, only if it is that",
        )
        modify.add_argument("--reason", default="", help="kept with the event of a token")
        listing = verb("list", "list what is given, everywhere or exactly at a path")
        listing.add_argument("path", nargs="?", metavar="PATH")

    def act(self, **options: Any) -> None:
        if options["verb"] == "list":
            self._list(options)
            return
        if options["role"] is None and not options["delete"]:
            raise Invalid("Say --role ROLE, or --delete.")
        done = _of_token(options) if options["token"] is not None else _of_subject(options)
        self.answer(done, text.facts(done), options)
        self.say_how(without_approval=True)

    def _list(self, options: Options) -> None:
        rows = [row for place in _places(options) for row in _rows(place, options)]
        self.answer(rows, text.table(rows, COLUMNS) if rows else ["Nothing is given."], options)


def _of_token(options: Options) -> dict[str, Any]:
    """Change a token's own row at the path; what it says then, or said."""
    token = named.token_written(options["token"], options["organization"])
    by, reason = as_operator(token.owner_user), said(ReasonSerializer, reason=options["reason"])["reason"]
    if not options["delete"]:
        row = GrantWish(options["path"], options["role"], options["propagate"] == "1")
        given = grants.give(token, row=row, replaces=True, reason=reason, by=by)
        return _shown_row(given, token)
    path = places.canonical(token.organization_id, options["path"])
    row_there = next((grant for grant in token.grants.all() if grant.path == path), None)
    if row_there is None or options["role"] not in (None, row_there.role):
        raise Missing(f"{options['token']} has no such row at {path}.")
    grants.take(token, number=row_there.number, reason=reason, by=by)
    return _shown_row(row_there, token)


def _of_subject(options: Options) -> dict[str, Any]:
    """Change the entry of a user or group at the path; what it says then, or said."""
    subject, organization = _subject(options)
    by = as_operator(subject.get("user"))
    path = places.canonical(organization.pk, options["path"])
    entry = AclEntry.objects.filter(organization=organization, path=path, **subject).first()
    given = {"role": options["role"], "propagate": options["propagate"] == "1"}
    if options["delete"]:
        if entry is None or options["role"] not in (None, entry.role):
            raise Missing(f"Nothing such is given to {options['user'] or options['group']} at {path}.")
        shown = dict(EntrySerializer(entry).data)
        entries.remove_entry(entry, by=by)
        return shown
    if entry is None:
        entry = entries.set_entry(organization, path=path, **given, **subject, by=by)
    else:
        entries.change_entry(entry, changes=given, by=by)
    return dict(EntrySerializer(entry).data)


def _subject(options: Options) -> tuple[dict[str, Any], Organization]:
    if options["user"] is not None:
        user, organization = named.user(options["user"], options["organization"])
        return {"user": user}, organization
    group, organization = named.group(options["group"], options["organization"])
    return {"group": group}, organization


def _places(options: Options) -> list[Organization]:
    """The organizations of which something is asked."""
    if options["token"] is not None:
        return [named.token_written(options["token"], options["organization"]).organization]
    if options["user"] is not None or options["group"] is not None:
        return [_subject(options)[1]]
    return named.organizations(options["organization"])


def _rows(organization: Organization, options: Options) -> list[dict[str, Any]]:
    """The entries, then the tokens' own rows."""
    at = {} if options["path"] is None else {"path": places.canonical(organization.pk, options["path"])}
    shown = [] if options["token"] is not None else _entries(organization, options).filter(**at)
    found = [{**dict(EntrySerializer(entry).data), "token": None} for entry in shown]
    if options["user"] is not None or options["group"] is not None:
        return found
    rows = Grant.objects.filter(token__organization=organization, **at).order_by("path", "token", "number")
    if options["token"] is not None:
        rows = rows.filter(token=named.token_written(options["token"], organization.slug))
    return found + [_shown_row(row, row.token) for row in _with_tokens(rows)]


def _entries(organization: Organization, options: Options) -> QuerySet[AclEntry]:
    rows = AclEntry.objects.select_related("organization", "user", "group").filter(organization=organization)
    if options["user"] is not None or options["group"] is not None:
        rows = rows.filter(**_subject(options)[0])
    return rows.order_by("path", "pk")


def _with_tokens(rows: QuerySet[Grant]) -> list[Grant]:
    tokens = {token.pk: token for token in Token.objects.presented().filter(grants__in=rows).distinct()}
    found = list(rows)
    for row in found:
        row.token = tokens[row.token_id]
    return found


def _shown_row(row: Grant, token: Token) -> dict[str, Any]:
    place = {"organization": token.organization.slug, "user": None, "group": None}
    return {**represent_grant(row), **place, "token": f"{token.owner_label}!{token.name}"}
