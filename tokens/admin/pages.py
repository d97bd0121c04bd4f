"""The list of tokens, the page of one, and a page for each of its verbs. A secret is in one answer only."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import F, Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern
from django.utils.html import format_html, format_html_join

from audit.admin import may_read
from audit.models import Event
from config.edge import context, once
from config.edge.access import Access, access_of
from config.edge.clock import now
from config.edge.idempotency import Replayed
from config.edge.scoped_admin import NOT_EVERYWHERE, Cell, Fact, RowVerb, ScopedAdmin, Section, attempt
from fleets.admin.scope import OrganizationFilter, linked
from fleets.models import Fleet
from fleets.scopes import Scope
from tokens import issuance, lifecycle, policy
from tokens.admin import words
from tokens.admin.forms import (
    EditForm,
    IssueForm,
    OwnerChoice,
    ReasonForm,
    RevokeForm,
    RotateForm,
    owner_choices,
    reach_of,
)
from tokens.decision import DerivedStatus
from tokens.hints import hints_of
from tokens.issuance import Issued
from tokens.models import Grant, Token, TokenMachine

NEWEST = 20  # events that a token's page shows
ENDED = "ended"


class StatusFilter(admin.SimpleListFilter):
    """All is what has not ended; the four below add up to it."""

    title = "status"
    parameter_name = "status"
    living = (DerivedStatus.ACTIVE, DerivedStatus.PENDING, DerivedStatus.DISABLED, DerivedStatus.EXPIRED)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((str(status), str(status).capitalize()) for status in self.living), (ENDED, "Ended")]

    def choices(self, changelist: Any) -> Any:
        for choice in super().choices(changelist):
            yield {**choice, "is_quiet": choice["display"] == "Ended"}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        tokens: Any = queryset
        chosen = self.value()
        if chosen == ENDED:
            return tokens.ended()  # type: ignore[no-any-return]
        if chosen in set(self.living):
            return tokens.with_status(chosen, now())  # type: ignore[no-any-return]
        return tokens.not_ended()  # type: ignore[no-any-return]


class KindFilter(admin.SimpleListFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(Token.Kind.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


def may_issue_again(by: Access, token: Token) -> bool:
    """A new secret is for who could issue this same token."""
    return policy.may_issue_for(by, token.owner, token.organization)


def is_living(token: Token) -> bool:
    return not token.is_ended


EDIT = RowVerb(
    "edit",
    "Edit",
    policy.may_manage,
    lambda row, data, by: lifecycle.edit(row, change=data["change"], reason=data["reason"], by=by),
    lambda _: (
        "Narrowing holds at once. Letting it do more needs the right to issue it, and perhaps a reason."
    ),
    "The token is changed.",
    fits=is_living,
    form=EditForm,
    template="tokens/form.html",
)
ROTATE = RowVerb(
    "rotate",
    "Rotate secret",
    may_issue_again,
    lambda row, data, by: lifecycle.rotate(row, overlap=data["overlap"], by=by),
    lambda row: (
        f"Gives {row.name} a new secret, which the next page shows once. Id, settings and expiry stay."
    ),
    "",
    fits=lambda row: row.derived_status in {DerivedStatus.ACTIVE, DerivedStatus.DISABLED},
    form=RotateForm,
)  # its answer is the page with the secret
DISABLE = RowVerb(
    "disable",
    "Disable",
    policy.may_manage,
    lambda row, data, by: lifecycle.disable(row, reason=data["reason"], by=by),
    lambda row: (
        f"Every call with {row.name} is refused from now on, with each of its secrets, until you enable it."
    ),
    "The token is disabled: it is refused from now on.",
    fits=lambda row: row.status == Token.Status.ACTIVE,
    form=ReasonForm,
)
ENABLE = RowVerb(
    "enable",
    "Enable",
    policy.may_manage,
    lambda row, data, by: lifecycle.enable(row, reason=data["reason"], by=by),
    lambda row: f"{row.name} works again at once, with the secrets it had.",
    "The token is enabled.",
    fits=lambda row: row.status == Token.Status.DISABLED,
    form=ReasonForm,
)
REVOKE = RowVerb(
    "revoke",
    "Revoke",
    policy.may_manage,
    lambda row, data, by: lifecycle.revoke(row, reason=data["reason"], by=by),
    lambda row: (
        f"Ends {row.name} for ever: its secrets stop working at once, and nothing brings it back. "
        "Its name is not used again. To stop it only for a while, disable it."
    ),
    "The token is revoked.",
    fits=is_living,
    form=RevokeForm,
    is_grave=True,
)


@admin.register(Token)
class TokenAdmin(ScopedAdmin):
    list_display_links = ("name",)
    list_filter = (StatusFilter, KindFilter, OrganizationFilter)
    search_fields = ("name",)  # what `get_search_results` looks at
    search_help_text = "Name, id, machine or owner"
    ordering = ("-created_at", "pk")
    sortable_by = ("name", "risk_shown", "expires_shown", "used_shown")
    place = 10
    about = "Issue, rotate, disable and revoke API tokens; see what each may do."
    nothing = "No token is here. Issue one with “New token”, or choose another filter."
    verbs: ClassVar[tuple[RowVerb, ...]] = (EDIT, ROTATE, DISABLE, ENABLE, REVOKE)
    in_rows: ClassVar[tuple[RowVerb, ...]] = (EDIT, DISABLE, ENABLE, REVOKE)
    page_template = "tokens/token.html"
    adding_label = "New token"

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        return (
            "status_shown",
            "name",
            "owner_shown",
            "reach_shown",
            "scopes_shown",
            "risk_shown",
            "expires_shown",
            "used_shown",
            self.row_buttons(access_of(request)),
        )

    def get_urls(self) -> list[URLPattern]:
        return [self._url("add/", self.add_view, "add"), *super().get_urls()]

    # What is seen

    def visible(self, by: Access) -> QuerySet[Token]:
        return policy.visible_to(by, Token.objects.all())

    def get_queryset(self, request: HttpRequest) -> QuerySet[Token]:
        return self.shown(super().get_queryset(request))

    def shown(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        machines = TokenMachine.objects.select_related("machine__fleet")
        return rows.select_related(
            "organization", "principal", "owner_user", "owner_fleet__organization"
        ).prefetch_related("scope_rows", "grants", Prefetch("machine_rows", machines))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        tokens: Any = queryset
        text = search_term.strip()
        return (tokens.matching(text) if text else tokens), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The page itself says for whom one may issue, or that it is for nobody."""
        return True

    # The page of one token

    def notes(self, row: Token, by: Access) -> list[str]:
        return [words.HINTS.get(hint, hint) for hint in hints_of(row)]

    def facts(self, row: Token, by: Access) -> list[Fact]:
        owner = linked(row.owner) if isinstance(row.owner, Fleet) else Cell(row.owner)
        used = f"{row.last_used_at:%Y-%m-%d %H:%M} UTC" if row.last_used_at else "never"
        return [
            Fact("Status", status_badge(row)),
            Fact("Token ID", row.pk),
            Fact("Kind", row.kind),
            Fact("Owner", owner.text, owner.link),
            Fact("Organization", row.organization),
            Fact("Acts as", row.principal.username),
            Fact("Description", row.description),
            Fact("Risk", risk_badge(row)),
            Fact("Role", row.role),
            Fact("Machines", reach_of(row)),
            Fact("Expires", self.expires_shown(row)),
            Fact("Last used", f"{used} from {row.last_used_address}" if row.last_used_address else used),
            Fact("Secret starts with", row.secret_hint),
            Fact("Secret last rotated", row.rotated_at),
            Fact("Rotation due", row.rotation_due_at),
            Fact("Created", f"{row.created_at:%Y-%m-%d %H:%M} UTC by {row.created_by_name}"),
            Fact("Approved", row.approved_at),
        ]

    def sections(self, row: Token, by: Access) -> list[Section]:
        scopes = [Scope(name) for name in row.scopes]
        held = [
            [Cell(scope), Cell(badge("risk", scope.risk.label)), Cell(scope.description)] for scope in scopes
        ]
        sections = [Section("Scopes", ("Scope", "Risk", "Lets it"), held, "It holds no scope.")]
        if not row.is_ended:
            sections += [self.grants_of(row), self.secrets_of(row)]
        if may_read(by, row.organization_id):
            sections.append(self.events_of(row))
        return sections

    def grants_of(self, row: Token) -> Section:
        machines = {machine_row.machine.path: machine_row for machine_row in row.machine_rows.all()}
        rows = []
        for grant in row.grants.all():
            named = machines.get(grant.path)
            gone = " (deregistered)" if named and named.machine.deregistered_at else ""
            what = f"{grant.path} — {named.name}{gone}" if named else grant.path
            rows.append([Cell(what), Cell(grant.role or "all its scopes"), Cell(how_far(grant))])
        nothing = (
            "Nothing is granted to it: it can do nothing."
            if row.privilege_separation
            else "It has no rows of its own: it may use its scopes wherever its owner may."
        )
        return Section("Where it may use them", ("Path", "What", "How far"), rows, nothing)

    def secrets_of(self, row: Token) -> Section:
        rows = [
            [
                Cell(f"No. {secret.generation}"),
                Cell(secret.created_at),
                Cell(secret.valid_until or "until the next rotation"),
                Cell(secret.last_used_at or "never"),
            ]
            for secret in row.secrets.live(now()).order_by("-generation")
        ]
        headers = ("Secret", "Made", "Valid until", "Last used")
        return Section("Living secrets", headers, rows, "None works any more.")

    def events_of(self, row: Token) -> Section:
        events = Event.objects.about_token(row.pk).filter(organization_id=row.organization_id)[:NEWEST]
        rows = [
            [
                Cell(f"{event.at:%Y-%m-%d %H:%M:%S}", linked(event).link),
                Cell(event.action),
                Cell(event.outcome),
                Cell(event.actor_label),
                Cell(event.reason),
            ]
            for event in events
        ]
        headers = ("When (UTC)", "Action", "Outcome", "Who", "Reason")
        return Section("Latest events", headers, rows, "Nothing was recorded yet.")

    # Issuing

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """First for whom, then what; the answer to the form shows the secret."""
        by = access_of(request)
        choices = owner_choices(by)
        wanted = request.GET.get("for")
        chosen = next((choice for choice in choices if choice.key == wanted), None)
        if wanted is None and len(choices) == 1:
            chosen = choices[0]
        if chosen is None:
            if wanted is not None or request.method == "POST":
                raise Http404
            return self.page(request, "tokens/owner.html", title="New token", choices=choices)
        form = IssueForm(
            request.POST if request.method == "POST" else None,
            by=by,
            organization=chosen.organization,
            owner=chosen.owner,
        )
        frame = self.frame(request)
        status = 200
        if request.method == "POST":
            try:
                went = attempt(form, lambda: self.issued(request, form, chosen, by))
            except Replayed:
                return self.already(request, by, frame)
            if went.is_done:
                return self.reveal(request, went.result, frame)
            status = went.status
        return self.page(
            request,
            "tokens/form.html",
            status=status,
            frame=frame,
            title="New token",
            choice=chosen,
            has_other_choices=len(choices) > 1,
            form=form,
            says="",
            button="Create token",
            back=self.address("changelist"),
        )

    def issued(self, request: HttpRequest, form: IssueForm, choice: OwnerChoice, by: Access) -> Issued:
        once.claimed(request, by)
        return issuance.issue(
            choice.organization,
            owner=choice.owner,
            name=form.cleaned_data["name"],
            description=form.cleaned_data["description"],
            wish=form.wish(),
            expiry=form.expiry(),
            reason=form.cleaned_data["reason"],
            by=by,
        )

    # Secrets

    def verb_view(self, verb: RowVerb, request: HttpRequest, object_id: str) -> HttpResponse:
        try:
            return super().verb_view(verb, request, object_id)
        except Replayed:
            return self.already(request, access_of(request), self.frame(request))

    def called(self, request: HttpRequest, verb: RowVerb, row: Any, data: dict[str, Any], by: Access) -> Any:
        if once.FIELD in data:
            once.claimed(request, by)
        return super().called(request, verb, row, data, by)

    def answer(
        self, request: HttpRequest, verb: RowVerb, row: Any, result: Any, frame: dict[str, Any]
    ) -> HttpResponse:
        if isinstance(result, Issued):
            return self.reveal(request, result, frame)
        return super().answer(request, verb, row, result, frame)

    def reveal(self, request: HttpRequest, issued: Issued, frame: dict[str, Any]) -> HttpResponse:
        """The one page with a secret: the answer to the POST that made it, kept by nobody."""
        token = issued.token
        page = {
            "title": f"Secret of {token.name}",
            "row": token,
            "is_pending": token.status == Token.Status.PENDING,
            "is_disabled": token.status == Token.Status.DISABLED,
            "secret": issued.secret.reveal(),
            "previous_valid_until": issued.previous_valid_until,
            "example": request.build_absolute_uri("/api/v1/whoami/"),
            "late": "" if context.current().effective_everywhere else NOT_EVERYWHERE,
            "address": self.address("change", token),
        }
        text = render_to_string("tokens/secret.html", {**frame, **page}, request)
        return HttpResponse(text, headers={"Cache-Control": "no-store"})

    def already(self, request: HttpRequest, by: Access, frame: dict[str, Any]) -> HttpResponse:
        """A form that was sent again: what it did is done, and its secret is not shown a second time."""
        earlier = once.claimed(request, by).earlier()
        row = self.visible(by).filter(pk=earlier.resource).first() if earlier else None
        return self.page(
            request,
            "tokens/already.html",
            status=409,
            frame=frame,
            title="Done already",
            row=row,
            address=self.address("change", row) if row else self.address("changelist"),
        )

    # Columns

    @admin.display(description="status")
    def status_shown(self, row: Token) -> str:
        return status_badge(row)

    @admin.display(description="owner")
    def owner_shown(self, row: Token) -> str:
        name = row.owner.name if isinstance(row.owner, Fleet) else str(row.owner)
        return format_html('{} <span class="quiet">{}</span>', name, row.kind)

    @admin.display(description="machines")
    def reach_shown(self, row: Token) -> str:
        return reach_of(row)

    @admin.display(description="scopes")
    def scopes_shown(self, row: Token) -> str:
        return row.role or words.some(row.scopes)

    @admin.display(description="risk", ordering="risk")
    def risk_shown(self, row: Token) -> str:
        return risk_badge(row)

    @admin.display(description="expires", ordering=F("expires_at").asc(nulls_last=True))
    def expires_shown(self, row: Token) -> str:
        note = words.expiry_note(row)
        suffix = f" ({note})" if note else ""
        return format_html(
            '<span class="expiry {}">{}{}</span>', words.expiry_class(row), words.expiry_of(row), suffix
        )

    @admin.display(description="last used", ordering=F("last_used_at").desc(nulls_last=True))
    def used_shown(self, row: Token) -> str:
        return words.last_used(row)

    def row_buttons(self, by: Access) -> Callable[[Token], str]:
        @admin.display(description="")
        def row_buttons(row: Token) -> str:
            offered = [verb for verb in self.in_rows if verb.fits(row) and verb.may(by, row)]
            links = (
                (self.address(verb.name, row), "is-grave" if verb.is_grave else "", verb.label, row.name)
                for verb in offered
            )
            return format_html_join(
                " ",
                '<a href="{}" class="row-button {}">{}<span class="visually-hidden"> {}</span></a>',
                links,
            )

        return row_buttons


def badge(family: str, word: str) -> str:
    return format_html('<span class="badge {}-{}">{}</span>', family, word, word)


def status_badge(token: Token) -> str:
    status = words.status_of(token)
    why = f" {words.REASONS.get(token.status_reason, token.status_reason)}" if token.status_reason else ""
    return format_html('<span class="status status-{}">{}{}</span>', status, status, why)


def risk_badge(token: Token) -> str:
    return badge("risk", words.risk_of(token))


def how_far(grant: Grant) -> str:
    return "and below" if grant.propagate else "only there"
