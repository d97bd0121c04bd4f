"""The base of every admin page about rows of organizations: only what the caller may see, changed only by verbs.

Lists are Django's own. Instead of its forms for rows there is a page of facts, and one page for each verb, which says
what will happen and does it on POST. Nothing is deleted, nothing edited in a list, no history kept beside the trail.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import cached_property
from django.utils.text import capfirst

from config.edge import context
from config.edge.access import Access, access_of
from config.edge.commands import Adding, Button, CommandForm, RowVerb, attempt
from config.edge.facts import Fact, Section
from config.edge.misplaced import holds_secret
from config.edge.parsing import is_plain_text
from config.edge.refusals import Refused
from config.edge.remembering import forget
from config.edge.rows import sole

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    AnyPaginator = Paginator[Any]
else:
    ModelAdmin = admin.ModelAdmin
    AnyPaginator = Paginator

COUNTED = 10_000  # rows; a list that is longer is not counted to its end
CHANGED_MEANWHILE = "It was changed meanwhile, so nothing of what you sent was done. Here is what holds now."
NOT_EVERYWHERE = "Done. Not every server could be told yet; that is tried again until it holds everywhere."


class CountedPaginator(AnyPaginator):
    """Counts no further than anybody pages."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:COUNTED].count())


@dataclass(frozen=True)
class Asked:
    """A verb about a row, who asks for it, and the page's form and frame."""

    verb: RowVerb
    row: Any
    by: Access
    form: CommandForm
    frame: dict[str, Any]

    @property
    def version(self) -> str:
        """What the page holds of the row, hidden, to be sent with the form; empty where it need not be."""
        return str(getattr(self.row, "version", "")) if self.verb.is_bound else ""

    def is_stale(self, request: HttpRequest) -> bool:
        """Whether the form was not filled from the row as it is."""
        return bool(self.version) and request.POST.get("version") != self.version


class ScopedAdmin(ModelAdmin):
    """A subclass says which rows are `visible`, what the page of one shows, and which verbs there are."""

    actions = None
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CountedPaginator
    place: ClassVar[int] = 50
    heading: ClassVar[str] = ""  # where the model's plural says it badly
    about: ClassVar[str] = ""
    nothing: ClassVar[str] = "There is nothing here yet."
    is_section: ClassVar[bool] = True  # False: reached from other pages only
    adding: ClassVar[Adding | None] = None
    verbs: ClassVar[tuple[RowVerb, ...]] = ()
    page_template: ClassVar[str] = "admin/row.html"

    # What a subclass says

    def visible(self, by: Access) -> QuerySet[Any]:
        """The rows that the caller may see; the others do not exist."""
        raise NotImplementedError

    def is_offered(self, by: Access) -> bool:
        """Whether this is a page for the caller at all."""
        return True

    def shown(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The rows with what their page needs, in a fixed number of queries."""
        return rows

    def facts(self, row: Any, by: Access) -> list[Fact]:
        raise NotImplementedError

    def sections(self, row: Any, by: Access) -> list[Section]:
        return []

    def notes(self, row: Any, by: Access) -> list[str]:
        """Sentences about the row that somebody should read."""
        return []

    # Permissions: who sees and changes what is decided by `visible` and by the verbs

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.is_section and self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        access = getattr(request, "access", None)
        return access is not None and self.is_offered(access)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.adding is not None and self.adding.may(access_of(request))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        """For the list of sections, which only asks whether there is one."""
        return {"add": False, "change": False, "delete": False, "view": self.has_view_permission(request)}

    # What an address may ask for

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(access_of(request))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only the filters that the list shows, never a lookup through other tables."""
        offered: Iterable[Any] = self.get_list_filter(request) if request else self.list_filter
        return lookup in {getattr(entry, "parameter_name", None) for entry in offered}

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        urls = [self._url("", self.changelist_view, "changelist")]
        if self.adding:
            urls.append(self._url("add/", self.add_view, "add"))
        urls.append(self._url("<str:object_id>/change/", self.change_view, "change"))
        return urls + [
            self._url(f"<str:object_id>/{verb.name}/", partial(self.verb_view, verb), verb.name)
            for verb in self.verbs
        ]

    def _url(self, route: str, view: Callable[..., Any], name: str) -> URLPattern:
        return path(route, self.admin_site.admin_view(view), name=f"{self.url_prefix}_{name}")

    @property
    def name(self) -> str:
        return self.heading or capfirst(str(self.opts.verbose_name_plural))

    @property
    def adding_label(self) -> str:
        return self.adding.label if self.adding else ""

    @property
    def url_prefix(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"

    def address(self, name: str, row: Any = None) -> str:
        return reverse(f"admin:{self.url_prefix}_{name}", args=[row.pk] if row is not None else [])

    # Pages

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method not in {"GET", "HEAD"}:
            return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
        extra = {
            "title": self.name,
            "section": self.as_section(),
            "nothing": self.nothing,
            "adding": self.adding_label if self.has_add_permission(request) else "",
            "adding_address": self.address("add") if self.adding_label else "",
        }
        return super().changelist_view(request, {**extra, **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page of one row: facts, tables, and a button for each verb."""
        row = self.row(request, object_id)
        if request.method not in {"GET", "HEAD"}:
            return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
        by = access_of(request)
        return self.page(
            request,
            self.page_template,
            title=str(row),
            row=row,
            facts=self.facts(row, by),
            sections=self.sections(row, by),
            notes=self.notes(row, by),
            buttons=self.buttons(row, by),
            **(extra_context or {}),
        )

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        assert self.adding is not None
        adding, by = self.adding, access_of(request)
        form = adding.form(request.POST if request.method == "POST" else None, by=by)
        frame = self.frame(request)  # before the verb: afterwards nothing may fail the answer
        status = 200
        if request.method == "POST":
            went = attempt(form, lambda: self.added(request, form, by))
            if went.is_done:
                return self.answer_added(request, went.result, frame)
            status = went.status
        if status == 200 and not adding.may(by):
            raise Refused("You may not do this.")
        return self.page(
            request,
            "admin/command.html",
            status=status,
            frame=frame,
            title=adding.label,
            says=adding.says,
            form=form,
            button=adding.label,
            back=self.address("changelist"),
        )

    def added(self, request: HttpRequest, form: CommandForm, by: Access) -> Any:
        assert self.adding is not None
        return self.adding.call(form.cleaned_data, by)

    def answer_added(self, request: HttpRequest, result: Any, frame: dict[str, Any]) -> HttpResponse:
        """What follows an adding that was done: a message, and the new row's page."""
        assert self.adding is not None
        self.tell(request, self.adding.done)
        return redirect(self.address("change", result))

    def verb_view(self, verb: RowVerb, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks, POST does it."""
        row, by = self.row(request, object_id), access_of(request)
        if verb.needs_fresh_check and not by.is_fresh and verb.may(by, row):
            return to_fresh_check(request)
        is_sent = request.method == "POST"
        form = verb.form(request.POST if is_sent else None, by=by, row=row)
        frame = self.frame(request)  # before the verb: afterwards nothing may fail the answer
        asked = Asked(verb, row, by, form, frame)
        if not is_sent:
            return self.verb_page(request, asked)
        if asked.is_stale(request) and verb.may(by, row):  # else the verb refuses, and records it
            return self.changed_meanwhile(request, asked)
        return self.sent(request, asked)

    def sent(self, request: HttpRequest, asked: Asked) -> HttpResponse:
        """Does the verb; what it refuses is said on the page that asks."""
        verb, row, by, form = asked.verb, asked.row, asked.by, asked.form
        went = attempt(form, lambda: self.called(request, verb, row, form.cleaned_data, by))
        forget(by)
        if went.is_done:
            return self.answer(request, verb, row, went.result, asked.frame)
        return self.verb_page(request, asked, went.status)

    def changed_meanwhile(self, request: HttpRequest, asked: Asked) -> HttpResponse:
        """The form anew, filled from what holds now. Of what was sent only the reason stays."""
        form = asked.verb.form(by=asked.by, row=asked.row)
        said = request.POST.get("reason", "")
        form.initial["reason"] = "" if holds_secret(said) else said
        return self.verb_page(request, replace(asked, form=form), 409, CHANGED_MEANWHILE)

    def verb_page(
        self, request: HttpRequest, asked: Asked, status: int = 200, refusal: str = ""
    ) -> HttpResponse:
        """The page that asks, for who may do it. `status` says that somebody did, in vain."""
        verb, row = asked.verb, asked.row
        if status == 200 and not verb.may(asked.by, row):
            raise Refused("You may not do this.")
        return self.page(
            request,
            verb.template,
            status=status,
            frame=asked.frame,
            title=f"{verb.label}: {row}",
            row=row,
            refusal=refusal,
            says=verb.says(row),
            version=asked.version,
            form=asked.form,
            button=verb.button or verb.label,
            is_grave=verb.is_grave,
            back=self.address("change", row),
        )

    def called(self, request: HttpRequest, verb: RowVerb, row: Any, data: dict[str, Any], by: Access) -> Any:
        return verb.call(row, data, by)

    def answer(
        self, request: HttpRequest, verb: RowVerb, row: Any, result: Any, frame: dict[str, Any]
    ) -> HttpResponse:
        """What follows a verb that was done: a message, and the row's page or the list."""
        self.tell(request, verb.done)
        return redirect(self.address_after(row, access_of(request)))

    # What the pages are made of

    def row(self, request: HttpRequest, object_id: str) -> Any:
        """A row that the caller may see; else there is nothing at this address."""
        if not is_plain_text(object_id):
            raise Http404
        try:
            rows = self.shown(self.visible(access_of(request))).filter(pk=object_id)
        except (ValidationError, ValueError):  # what can't be an id
            raise Http404 from None
        row = sole(rows)
        if row is None:
            raise Http404
        return row

    def buttons(self, row: Any, by: Access) -> list[Button]:
        return [
            Button(verb.label, self.address(verb.name, row), verb.is_grave)
            for verb in self.verbs
            if verb.fits(row) and verb.may(by, row)
        ]

    def address_after(self, row: Any, by: Access) -> str:
        """The row's page, or the list where the verb took the row out of sight."""
        is_there = self.visible(by).filter(pk=row.pk).exists()
        return self.address("change", row) if is_there else self.address("changelist")

    def tell(self, request: HttpRequest, text: str) -> None:
        if context.current().effective_everywhere:
            messages.success(request, text)
        else:
            messages.warning(request, NOT_EVERYWHERE)

    def frame(self, request: HttpRequest) -> dict[str, Any]:
        """What every page shows around its content."""
        request.current_app = self.admin_site.name
        around = self.admin_site.each_context(request)
        return {**around, "opts": self.opts, "section": self.as_section()}

    def as_section(self) -> dict[str, str]:
        return {"name": self.name, "address": self.address("changelist")}

    def page(
        self,
        request: HttpRequest,
        template: str,
        *,
        status: int = 200,
        frame: dict[str, Any] | None = None,
        **content: Any,
    ) -> HttpResponse:
        around = self.frame(request) if frame is None else frame
        return TemplateResponse(request, template, {**around, **content}, status=status)

    # Nothing is logged beside the audit trail

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None


def to_fresh_check(request: HttpRequest) -> HttpResponse:
    """To the page that asks for the password again, and leads back to this one."""
    return redirect(f"{reverse('admin:check')}?{urlencode({'next': request.path})}")


def together(querysets: Iterable[QuerySet[Any]], none: QuerySet[Any]) -> QuerySet[Any]:
    """The rows of all of these querysets of one model."""
    return reduce(or_, querysets, none.none())
