"""`manage.py token`: tokens at the server's own command line, as the operator: without approval, with an event."""

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandParser

from config.edge.clock import now
from config.edge.operator_command import OneLineParser, OperatorCommand, add_format
from config.edge.refusals import Invalid
from fleets import places
from fleets.management.operator import as_operator
from fleets.models import User
from tokens import expiry, issuance, lifecycle, revocation
from tokens.api.serializers import (
    EditSerializer,
    IssueSerializer,
    ReasonSerializer,
    RotateSerializer,
    instant,
    represent,
)
from tokens.issuance import Issued, Wish
from tokens.management import named, text
from tokens.models import EXTENDED, Token
from tokens.permissions import permissions_of

OWNER = f"a username, or {named.PREFIXES}"
COLUMNS = ("organization", "owner", "name", "status", "risk", "expires_at", "last_used_at", "id")
MOVES = {
    "disable": ("refuse a token until it is enabled", lifecycle.disable),
    "enable": ("let a disabled token work again", lifecycle.enable),
    "revoke": ("end a token for ever", lifecycle.revoke),
    "delete": ("the same as revoke: it ends for ever; the row is kept for the audit trail", lifecycle.revoke),
}
NO_EXTENDED = "none"
OF_A_LIST = {"list", "revoke-all"}
Options = dict[str, Any]


class Command(OperatorCommand):
    help = "Issue and manage tokens as the operator of this host, without approval."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, parser_class=OneLineParser)

        def verb(name: str, what: str) -> ArgumentParser:
            of_verb: ArgumentParser = verbs.add_parser(name, help=what, description=what)
            of_verb.add_argument("--organization", metavar="SLUG", help="where the owner has several")
            add_format(of_verb)
            if name != "list":
                of_verb.add_argument("owner", metavar="OWNER", help=OWNER)
            if name not in OF_A_LIST:
                of_verb.add_argument("name", metavar="NAME")
            return of_verb

        add = verb("add", "issue a token and print its secret, once")
        _add_settings(add)
        add.add_argument(
            "--privsep",
            choices=["0", "1"],
            help="0: may all that its owner may; 1 without a scope, role or machine: nothing until it is granted",
        )
        modify = verb("modify", "change a token; what is not named stays")
        _add_settings(modify)
        modify.add_argument("--name", dest="new_name", metavar="NAME", help="another name")
        rotate = verb("rotate", "give a token a new secret and print it, once")
        rotate.add_argument("--overlap", help="how long the old secret stays valid, such as 24h; at most 7d")
        for name, (what, _) in MOVES.items():
            verb(name, what).add_argument("--reason", default="")
        revoke_all = verb("revoke-all", "end all the tokens of an owner for ever")
        revoke_all.add_argument("--reason", required=True, help="kept with the event of each")
        verb("info", "show a token")
        permissions = verb("permissions", "show what a token may do at a path, and by which entry")
        permissions.add_argument("--path", help="the owner's root where none is given")
        listing = verb("list", "list an owner's tokens, or everybody's")
        listing.add_argument("owner", nargs="?", metavar="OWNER", help=OWNER)
        listing.add_argument("--all", action="store_true", help="revoked and rejected ones too")

    def act(self, **options: Any) -> None:
        acts: dict[str, Callable[[Options], None]] = {
            "add": self._add,
            "list": self._list,
            "info": self._info,
            "modify": self._modify,
            "rotate": self._rotate,
            "revoke-all": self._revoke_all,
            "permissions": self._permissions,
        }
        acts.get(options["verb"], self._move)(options)

    def _add(self, options: Options) -> None:
        owner, organization = named.owner_of_new(options["owner"], options["organization"])
        said = _settings(options) | {"name": options["name"]}
        if options["expire"] is not None:
            is_lifetime = options["expire"] in expiry.LIFETIMES
            said["expires_in" if is_lifetime else "expires_at"] = options["expire"]
        body = IssueSerializer(data=said)
        body.is_valid(raise_exception=True)
        data = body.validated_data
        separated = options["privsep"] != "0"
        wish = body.wish(privilege_separation=separated)
        if separated and not body.says_access():
            wish = Wish(grants=())
        issued = issuance.issue(
            organization,
            owner=owner,
            name=data["name"],
            description=data.get("description", ""),
            wish=wish,
            expiry=body.expiry(),
            rotate_every=data.get("rotate_every"),
            reason=data.get("reason", ""),
            by=as_operator(owner if isinstance(owner, User) else None),
        )
        self._reveal(issued, options)
        if wish.grants == ():
            self.say("It can do nothing until it is granted something.")

    def _list(self, options: Options) -> None:
        tokens = named.tokens_of(options["owner"], options["organization"])
        rows = [represent(token) for token in (tokens if options["all"] else tokens.not_ended())]
        self.answer(rows, text.table(rows, COLUMNS) if rows else ["No tokens."], options)

    def _info(self, options: Options) -> None:
        self._show(_token(options), options)

    def _modify(self, options: Options) -> None:
        token = _token(options)
        said = _settings(options)
        if options["new_name"] is not None:
            said["name"] = options["new_name"]
        if options["expire"] is not None:
            said["expires_at"] = _end(options["expire"])
        if said.get("rotate_every") == "never":
            said["rotate_every"] = None
        if not said.keys() - {"reason"}:
            raise Invalid("Say what shall be different; --help lists what can be.")
        body = EditSerializer(data=said)
        body.is_valid(raise_exception=True)
        reason = body.validated_data.get("reason", "")
        lifecycle.edit(token, change=body.edit(), reason=reason, by=as_operator(token.owner_user))
        self._done(token, options)

    def _rotate(self, options: Options) -> None:
        token = _token(options)
        body = RotateSerializer(data={} if options["overlap"] is None else {"overlap": options["overlap"]})
        body.is_valid(raise_exception=True)
        issued = lifecycle.rotate(token, **body.validated_data, by=as_operator(token.owner_user))
        self._reveal(issued, options, previous_valid_until=instant(issued.previous_valid_until))

    def _move(self, options: Options) -> None:
        token = _token(options)
        body = ReasonSerializer(data={"reason": options["reason"]})
        body.is_valid(raise_exception=True)
        _, verb = MOVES[options["verb"]]
        verb(token, reason=body.validated_data["reason"], by=as_operator(token.owner_user))
        self._done(token, options)
        if verb is lifecycle.revoke:
            self.say("It has ended for ever: nothing brings it back, and its name is not used again.")

    def _revoke_all(self, options: Options) -> None:
        owner, organization = named.owner_of_new(options["owner"], options["organization"])
        body = ReasonSerializer(data={"reason": options["reason"]})
        body.is_valid(raise_exception=True)
        by = as_operator(owner if isinstance(owner, User) else None)
        batch = revocation.revoke_all(organization, owner=owner, reason=body.validated_data["reason"], by=by)
        done = {"revoked": batch.revoked, "batch": str(batch.id)}
        self.answer(done, text.facts(done), options)
        self.say_how(without_approval=True)

    def _permissions(self, options: Options) -> None:
        token = _token(options)
        asked = options["path"]
        path = token.default_path if asked is None else places.resolved(token.organization_id, asked)
        found = permissions_of(token, path)
        self.answer(found, text.facts(found), options)

    def _reveal(self, issued: Issued, options: Options, **more: Any) -> None:
        """The only output with a secret."""
        shown = represent(_fresh(issued.token)) | {"secret": issued.secret.reveal()} | more
        self.answer(shown, text.facts(shown), options)
        self.say_how(without_approval=True)
        self.say("The secret is shown this once.")

    def _done(self, token: Token, options: Options) -> None:
        self._show(_fresh(token), options)
        self.say_how(without_approval=True)

    def _show(self, token: Token, options: Options) -> None:
        shown = represent(token)
        self.answer(shown, text.facts(shown), options)


def _add_settings(parser: ArgumentParser) -> None:
    parser.add_argument("--scope", action="append", dest="scopes", metavar="SCOPE", help="may be repeated")
    parser.add_argument("--role", help="a role's scopes instead")
    parser.add_argument("--machines", nargs="+", metavar="ID|all", help="ids of machines, or all")
    parser.add_argument(
        "--extended",
        action="append",
        choices=[*EXTENDED, NO_EXTENDED],
        help=f"with the role Admin on all machines; may be repeated; {NO_EXTENDED} takes them away",
    )
    parser.add_argument(
        "--expire", metavar="DATE|never", help="2030-12-31 (00:00 UTC), an instant, 90d or never"
    )
    parser.add_argument("--description")
    parser.add_argument(
        "--rotate-every", metavar="DAYS", help="how often its secret should be new, such as 90d"
    )
    parser.add_argument("--reason", help="kept with the event")


def _settings(options: Options) -> dict[str, Any]:
    """What was said of a token's settings, as a request's body would."""
    names = ("scopes", "role", "machines", "extended", "description", "rotate_every", "reason")
    said = {name: options[name] for name in names if options[name] is not None}
    if said.get("machines") == ["all"]:
        said["machines"] = "all"
    if said.get("extended") == [NO_EXTENDED]:
        said["extended"] = []
    return said


def _end(text: str) -> str | None:
    """An expiry as the API takes it; a lifetime counts from now."""
    if text not in expiry.LIFETIMES:
        return text
    lifetime = expiry.LIFETIMES[text]
    return None if lifetime is None else (now() + lifetime).isoformat()


def _token(options: Options) -> Token:
    return named.token(options["owner"], options["name"], options["organization"])


def _fresh(token: Token) -> Token:
    return Token.objects.presented().get(pk=token.pk)
