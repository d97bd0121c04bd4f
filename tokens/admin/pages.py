"""The list of tokens, the page of one, and a page for each of its verbs. A secret is in one answer only."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import F, Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.html import format_html, format_html_join

from config.edge.access import Access, access_of
from config.edge.commands import RowVerb, attempt
from config.edge.facts import Fact, Section
from config.edge.revealing_admin import RevealingAdmin, Revelation
from fleets.admin.scope import OrganizationFilter
from tokens import issuance, policy
from tokens.admin import waiting, words
from tokens.admin.choices import OwnerChoice, owner_choices
from tokens.admin.emergency import START, STOP, knowing_of_windows, notes_of
from tokens.admin.facts import facts_of, sections_of
from tokens.admin.filters import KindFilter, OwnerFilter, StatusFilter
from tokens.admin.forms import IssueForm
from tokens.admin.marks import end_mark, reach_mark, risk_badge, status_badge
from tokens.admin.security import SECURITY
from tokens.admin.verbs import DISABLE, EDIT, ENABLE, REVOKE, ROTATE
from tokens.hints import hints_of
from tokens.issuance import Issued
from tokens.kinds import OWNER_COLUMNS
from tokens.models import Token, TokenMachine


@admin.register(Token)
class TokenAdmin(RevealingAdmin):
    list_display_links = ("name",)
    list_filter = (StatusFilter, KindFilter, OwnerFilter, OrganizationFilter)
    search_fields = ("name",)  # what `get_search_results` looks at
    search_help_text = "Name, id, machine or owner"
    ordering = ("-created_at", "pk")
    sortable_by = ("name", "risk_shown", "expires_shown", "used_shown")
    place = 10
    about = "Issue, rotate, disable and revoke API tokens; see what each may do."
    nothing = "No token is here. Issue one with “New token”, or choose another filter."
    verbs: ClassVar[tuple[RowVerb, ...]] = (EDIT, SECURITY, ROTATE, DISABLE, ENABLE, START, STOP, REVOKE)
    in_rows: ClassVar[tuple[RowVerb, ...]] = (EDIT, DISABLE, ENABLE, REVOKE)
    secret_template = "tokens/secret.html"
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
        return (
            knowing_of_windows(rows)
            .select_related(
                "organization", "principal", "open_emergency", *OWNER_COLUMNS, "owner_fleet__organization"
            )
            .prefetch_related("scope_rows", "grants", Prefetch("machine_rows", machines))
        )

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
        return waiting.notes_of(row) + notes_of(row) + [words.HINTS[hint] for hint in hints_of(row)]

    def facts(self, row: Token, by: Access) -> list[Fact]:
        return facts_of(row) + waiting.facts_of(row, by)

    def sections(self, row: Token, by: Access) -> list[Section]:
        return sections_of(row, by)

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
            went = attempt(form, lambda: self.issued(request, form, chosen, by))
            if went.is_done:
                return self.answer_added(request, went.result, frame)
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
        self.claim(request, form.cleaned_data, by)
        return issuance.issue(
            choice.organization,
            owner=choice.owner,
            name=form.cleaned_data["name"],
            description=form.cleaned_data["description"],
            wish=form.wish(),
            expiry=form.expiry(),
            restrictions=form.restrictions(),
            reason=form.cleaned_data["reason"],
            by=by,
        )

    # Answers

    def answer(
        self, request: HttpRequest, verb: RowVerb, row: Any, result: Any, frame: dict[str, Any]
    ) -> HttpResponse:
        if isinstance(result, Token) and result.edit_waits:
            messages.info(request, waiting.message(result))
            return redirect(self.address_after(row, access_of(request)))
        return super().answer(request, verb, row, result, frame)

    def revealed(self, request: HttpRequest, result: Any) -> Revelation | None:
        if not isinstance(result, Issued):
            return None
        token = result.token
        beside = {
            "approval": waiting.address_of(token) if token.status == Token.Status.PENDING else "",
            "is_disabled": token.status == Token.Status.DISABLED,
            "previous_valid_until": result.previous_valid_until,
            "example": request.build_absolute_uri("/api/v1/whoami/"),
        }
        return Revelation(token, result.secret.reveal(), beside)

    # Columns

    @admin.display(description="status")
    def status_shown(self, row: Token) -> str:
        return status_badge(row)

    @admin.display(description="owner")
    def owner_shown(self, row: Token) -> str:
        return format_html('{} <span class="quiet">{}</span>', words.owner_of(row), words.kind_of(row))

    @admin.display(description="machines")
    def reach_shown(self, row: Token) -> str:
        return reach_mark(row)

    @admin.display(description="scopes")
    def scopes_shown(self, row: Token) -> str:
        return row.role or words.some(row.scopes)

    @admin.display(description="risk", ordering="risk")
    def risk_shown(self, row: Token) -> str:
        return risk_badge(row)

    @admin.display(description="expires", ordering=F("expires_at").asc(nulls_last=True))
    def expires_shown(self, row: Token) -> str:
        return end_mark(row)

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
