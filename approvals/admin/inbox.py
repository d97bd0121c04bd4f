"""The inbox of what waits for approval, and the page of one request: all that a decision needs, then the buttons."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.timesince import timesince, timeuntil

from approvals import policy
from approvals.admin.filters import StandingFilter
from approvals.admin.verbs import APPROVE, APPROVE_LESS, REJECT, WITHDRAW, standing
from approvals.models import ApprovalRequest
from approvals.standing import standings
from approvals.subjects import handler_of
from config.edge import throttling
from config.edge.access import Access, access_of
from config.edge.clock import now
from config.edge.commands import RowVerb
from config.edge.facts import Cell, Fact, Section
from config.edge.scoped_admin import ScopedAdmin
from config.edge.throttling import Guard, guarded
from fleets.admin.scope import OrganizationFilter

OF_ONE = "<str:object_id>/"  # in the address of each page about one request
MOST_SHOWN = 90  # characters of a reason in the list


@admin.register(ApprovalRequest)
class ApprovalRequestAdmin(ScopedAdmin):
    list_display = ("what", "who", "why", "risk_shown", "age", "time_left", "votes")
    list_filter = (StandingFilter, OrganizationFilter)
    ordering = ("-pk",)
    sortable_by = ()
    place = 20
    heading = "Approvals"
    about = "What waits until somebody else agrees to it, and what was decided."
    nothing = "Nothing waits for approval here. What was decided is under “Settled”."
    verbs = (APPROVE, APPROVE_LESS, REJECT, WITHDRAW)
    page_template = "approvals/request.html"

    def visible(self, by: Access) -> QuerySet[ApprovalRequest]:
        return policy.visible_to(by, ApprovalRequest.objects.all())

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.shown(super().get_queryset(request))

    def shown(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        requests: Any = rows
        return requests.presented()  # type: ignore[no-any-return]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Its rows know how they stand, which is asked once for all of them."""
        changelist = super().get_changelist_instance(request)
        rows = list(changelist.result_list)
        known = standings(rows, access_of(request))
        for row in rows:
            row.standing = known[row.pk]
        changelist.result_list = rows
        return changelist

    # The page of one request

    def get_urls(self) -> list[URLPattern]:
        """Mails link to them. Who is not signed in, or is not shown one, tries only so many, so that nobody finds out
        which there are."""
        urls = super().get_urls()
        of_strangers = guarded(Guard.LINKS, "GET", "HEAD", "POST", counts=self.is_stranger)
        for url in urls:
            if OF_ONE in str(url.pattern):
                url.callback = of_strangers(url.callback)
        return urls

    def is_stranger(self, request: HttpRequest) -> bool:
        return not self.admin_site.has_permission(request)

    def row(self, request: HttpRequest, object_id: str) -> Any:
        try:
            return super().row(request, object_id)
        except Http404:
            throttling.require(Guard.LINKS)
            raise

    def facts(self, row: ApprovalRequest, by: Access) -> list[Fact]:
        stands = standing(row, by)
        return [
            Fact("Status", status_mark(row)),
            Fact("What", row),
            Fact("Organization", row.organization),
            Fact("Asked by", asked_by(row)),
            Fact("Why", row.reason),
            Fact("Risk", risk_badge(row)),
            Fact("Asked", row.opened_at),
            Fact("Can be decided until", row.expires_at),
            Fact("Approvals", f"{stands.granted} of {row.needed}"),
            Fact("Settled", row.closed_at),
            Fact("Digest", row.diff_digest),
        ]

    def notes(self, row: ApprovalRequest, by: Access) -> list[str]:
        if not row.is_waiting:
            return []
        stands = standing(row, by)
        is_asker = by.user is not None and by.user.pk == row.requested_by_id
        notes = []
        if is_asker and not stands.may_decide:
            notes.append("You asked for this, so somebody else decides.")
        elif stands.own_request and not stands.may_decide:
            notes.append("You are behind this, or know a secret that it is about, so somebody else decides.")
        if stands.may_withdraw and not is_asker:
            notes.append(
                "A technical user asked for this, about a token that you manage. Withdraw it, or let others decide."
            )
        return notes

    def sections(self, row: ApprovalRequest, by: Access) -> list[Section]:
        return [changes_of(row), decisions_of(row)]

    def answer(
        self, request: HttpRequest, verb: RowVerb, row: Any, result: Any, frame: dict[str, Any]
    ) -> HttpResponse:
        """Of an approval what came of it: done, or still waiting for others."""
        if verb.done:
            return super().answer(request, verb, row, result, frame)
        is_done = not result.is_open
        self.tell(
            request,
            "Approved: it holds from now on." if is_done else "Your approval counts; others are needed.",
        )
        return redirect(self.address_after(row, access_of(request)))

    # Columns

    @admin.display(description="what")
    def what(self, row: ApprovalRequest) -> str:
        return format_html(
            '{} <span class="quiet">{}</span>{}',
            row.subject_label,
            row.kind_in_words,
            "" if row.is_waiting else format_html(" {}", status_mark(row)),
        )

    @admin.display(description="asked by")
    def who(self, row: ApprovalRequest) -> str:
        return str(row.requested_by)

    @admin.display(description="why")
    def why(self, row: ApprovalRequest) -> str:
        return row.reason if len(row.reason) <= MOST_SHOWN else f"{row.reason[:MOST_SHOWN]}…"

    @admin.display(description="risk")
    def risk_shown(self, row: ApprovalRequest) -> str:
        return risk_badge(row)

    @admin.display(description="asked")
    def age(self, row: ApprovalRequest) -> str:
        return f"{timesince(row.opened_at, now(), depth=1)} ago"

    @admin.display(description="time left")
    def time_left(self, row: ApprovalRequest) -> str:
        return timeuntil(row.expires_at, now(), depth=2) if row.is_waiting else "–"

    @admin.display(description="approvals")
    def votes(self, row: Any) -> str:
        return f"{row.standing.granted} of {row.needed}"


def status_mark(row: ApprovalRequest) -> str:
    return format_html('<span class="status request-{}">{}</span>', row.derived_status, row.derived_status)


def risk_badge(row: ApprovalRequest) -> str:
    risk = row.get_risk_display()
    return format_html('<span class="badge risk-{}">{}</span>', risk, risk)


def asked_by(row: ApprovalRequest) -> str:
    by_token = f", by token {row.requested_by_token}" if row.requested_by_token else ""
    return f"{row.requested_by} ({row.requested_by.username}{by_token})"


def changes_of(row: ApprovalRequest) -> Section:
    """All of the diff, as its subject words it; without a column of what was where all of it is new."""
    told = handler_of(row).rows(row)
    if any(before for _, before, _ in told):
        rows = [[Cell(what), Cell(before), Cell(after)] for what, before, after in told]
        return Section("Before and after", ("What", "Before", "After"), rows, "Nothing changes.")
    return Section("All of it", ("What", "It is"), [[Cell(what), Cell(after)] for what, _, after in told], "")


def decisions_of(row: ApprovalRequest) -> Section:
    rows = [
        [
            Cell(str(vote.user)),
            Cell(f"{vote.verdict} (void)" if vote.voided_at else vote.verdict),
            Cell(vote.comment),
            Cell(vote.decided_at),
        ]
        for vote in row.decisions.all()
    ]
    return Section("Decisions", ("Who", "Decision", "Comment", "When"), rows, "Nobody has decided yet.")
