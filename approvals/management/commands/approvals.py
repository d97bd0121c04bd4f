"""`manage.py approvals`: read and decide requests at the server's own command line, on behalf of somebody who may."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandParser

from approvals import decisions, requests
from approvals.api.serializers import Approval, ApprovalSerializer, Rejection, StandingRequest, Withdrawal
from approvals.models import ApprovalRequest
from approvals.standing import standings
from approvals.subjects import handler_of
from config.edge.access import Access
from config.edge.ids import parsed_uuid
from config.edge.operator_command import OneLineParser, OperatorCommand, add_format, said
from config.edge.refusals import Conflict, Missing
from fleets.management import named
from fleets.management.operator import as_operator

Options = dict[str, Any]
MOST_LISTED = 200
TOLD = (
    *("id", "organization", "kind", "status", "risk", "requested_by", "reason"),
    *("requested_at", "expires_at", "closed_at", "diff_digest"),
)


class Command(OperatorCommand):
    help = "List, show and decide requests for approval, on behalf of somebody who may decide."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, parser_class=OneLineParser)

        def verb(name: str, what: str, *, acts: bool = True) -> ArgumentParser:
            of_verb: ArgumentParser = verbs.add_parser(name, help=what, description=what)
            of_verb.add_argument(
                "--as", dest="person", metavar="USER", required=acts, help="on behalf of this person"
            )
            add_format(of_verb)
            return of_verb

        listing = verb("list", f"list requests, newest first, at most {MOST_LISTED}", acts=False)
        listing.add_argument("--organization", metavar="SLUG")
        listing.add_argument(
            "--status", choices=ApprovalRequest.Status.values, help="open where none is given"
        )
        verb("show", "show all of a request", acts=False).add_argument("id", metavar="ID")
        for name in ("approve", "reject"):
            deciding = verb(name, f"{name} what `show` showed")
            deciding.add_argument("id", metavar="ID")
            deciding.add_argument(
                "--digest", metavar="D", required=True, help="diff_digest of what was shown"
            )
            deciding.add_argument("--comment", default="", help="who asked reads it")
            if name == "approve":
                deciding.add_argument(
                    "--only", metavar="PART", action="append", help="approve less: this part, and no other"
                )
        withdrawing = verb("withdraw", "take a request back, on behalf of who asked")
        withdrawing.add_argument("id", metavar="ID")
        withdrawing.add_argument("--reason", default="")

    def act(self, **options: Any) -> None:
        by = as_operator(named.person(options["person"])) if options["person"] else as_operator()
        if options["verb"] == "list":
            self._list(by, options)
            return
        request = _request(options["id"])
        if options["verb"] == "show":
            self._show(request, by, options)
            return
        _called(request, by, options)
        self._show(_request(options["id"]), by, options)
        self.say_how(on_behalf_of=options["person"])

    def _list(self, by: Access, options: Options) -> None:
        rows = ApprovalRequest.objects.presented().with_status(options["status"] or "open").order_by("-pk")
        if options["organization"] is not None:
            rows = rows.filter(organization=named.organization(options["organization"]))
        found = list(rows[:MOST_LISTED])
        standing = standings(found, by)
        shown = [dict(ApprovalSerializer(StandingRequest(row, standing[row.pk])).data) for row in found]
        lines = [
            f"{each['id']}  {each['organization']}  {each['kind']}  {each['subject']['label']}  {each['risk']} risk  "
            f"by {each['requested_by']}  {each['granted']} of {each['needed']}  until {each['expires_at']}"
            for each in shown
        ]
        nothing = "No such request." if options["status"] else "Nothing waits."
        self.answer(shown, lines or [nothing], options)

    def _show(self, request: ApprovalRequest, by: Access, options: Options) -> None:
        standing = standings([request], by)[request.pk]
        shown = dict(ApprovalSerializer(StandingRequest(request, standing)).data)
        lines = [f"{name:14}{shown[name] if shown[name] not in (None, '') else '-'}" for name in TOLD]
        lines += [f"{'subject':14}{shown['subject']['label']}"]
        lines += [f"{'approvals':14}{shown['granted']} of {shown['needed']}"]
        lines += [f"{'change':14}{words}" for words in shown["diff_words"]]
        for each in shown["decisions"]:
            void = " (void)" if each["voided_at"] else ""
            lines.append(f"{'decision':14}{each['user']}: {each['verdict']}{void} {each['comment']}".rstrip())
        self.answer(shown, lines, options)


def _called(request: ApprovalRequest, by: Access, options: Options) -> None:
    if options["verb"] == "withdraw":
        requests.withdraw(request, **said(Withdrawal, reason=options["reason"]), by=by)
        return
    words = {"comment": options["comment"], "diff_digest": options["digest"]}
    if options["verb"] == "reject":
        values = said(Rejection, **words)
        decisions.reject(request, digest=values.pop("diff_digest"), **values, by=by)
        return
    values = said(Approval, **words)
    narrowed = _narrowed(request, options["only"]) if options["only"] else None
    decisions.approve(request, digest=values.pop("diff_digest"), narrowed=narrowed, **values, by=by)


def _narrowed(request: ApprovalRequest, parts: list[str]) -> dict[str, Any]:
    offer = handler_of(request).offers(request)
    if offer is None:
        raise Conflict("Nothing of it can be left out: approve or reject it.")
    return offer.keeping(parts)


def _request(key: str) -> ApprovalRequest:
    pk = parsed_uuid(key)
    found = ApprovalRequest.objects.presented().filter(pk=pk).first() if pk else None
    if found is None:
        raise Missing(f"There is no request {key}.")
    return found
