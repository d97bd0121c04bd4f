"""Admin pages whose verbs make secrets: one page shows a secret, nothing keeps it, and no form makes it twice."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern

from config.edge import context, once
from config.edge.access import Access, access_of
from config.edge.commands import CommandForm, RowVerb
from config.edge.idempotency import Replayed
from config.edge.scoped_admin import NOT_EVERYWHERE, Asked, ScopedAdmin


@dataclass(frozen=True)
class Revelation:
    """A secret, the row that it belongs to, and what else its page says."""

    row: Any
    secret: str = field(repr=False)
    beside: dict[str, Any] = field(default_factory=dict)


class RevealingAdmin(ScopedAdmin):
    """A subclass says what is `revealed`. The forms that reveal hold a key of `once`."""

    secret_template: ClassVar[str] = "admin/secret.html"

    def revealed(self, request: HttpRequest, result: Any) -> Revelation | None:
        """The secret in what a verb gave, or None."""
        raise NotImplementedError

    # Acting once

    def _url(self, route: str, view: Callable[..., Any], name: str) -> URLPattern:
        def acting_once(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                return view(request, *args, **kwargs)
            except Replayed:
                return self.already(request)

        return super()._url(route, update_wrapper(acting_once, view), name)

    def added(self, request: HttpRequest, form: CommandForm, by: Access) -> Any:
        self.claim(request, form.cleaned_data, by)
        return super().added(request, form, by)

    def called(self, request: HttpRequest, verb: RowVerb, row: Any, data: dict[str, Any], by: Access) -> Any:
        self.claim(request, data, by)
        return super().called(request, verb, row, data, by)

    def claim(self, request: HttpRequest, data: dict[str, Any], by: Access) -> None:
        if once.FIELD in data:
            once.claimed(request, by)

    def changed_meanwhile(self, request: HttpRequest, asked: Asked) -> HttpResponse:
        """Where this very form has changed the row, it was sent again."""
        if once.FIELD in asked.form.fields and once.was_sent(request, asked.by):
            return self.already(request)
        return super().changed_meanwhile(request, asked)

    def already(self, request: HttpRequest) -> HttpResponse:
        """A form that was sent again: what it did is done, and its secret is not shown a second time."""
        by = access_of(request)
        earlier = once.claimed(request, by).earlier()
        row = self.visible(by).filter(pk=earlier.resource).first() if earlier else None
        address = self.address("change", row) if row else self.address("changelist")
        return self.page(
            request, "admin/already.html", status=409, title="Done already", row=row, address=address
        )

    # Showing it

    def answer_added(self, request: HttpRequest, result: Any, frame: dict[str, Any]) -> HttpResponse:
        if found := self.revealed(request, result):
            return self.reveal(found, request, frame)
        return super().answer_added(request, result, frame)

    def answer(
        self, request: HttpRequest, verb: RowVerb, row: Any, result: Any, frame: dict[str, Any]
    ) -> HttpResponse:
        if found := self.revealed(request, result):
            return self.reveal(found, request, frame)
        return super().answer(request, verb, row, result, frame)

    def reveal(self, found: Revelation, request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
        """The one page with a secret: the answer to the POST that made it, kept by nobody."""
        page = {
            "title": f"Secret of {found.row}",
            "row": found.row,
            "secret": found.secret,
            "late": "" if context.current().effective_everywhere else NOT_EVERYWHERE,
            "address": self.address("change", found.row),
        }
        text = render_to_string(self.secret_template, {**frame, **page, **found.beside}, request)
        return HttpResponse(text, headers={"Cache-Control": "no-store"})
