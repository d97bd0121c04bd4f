"""The admin site: Django's own, under our name, for every person of an organization."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.contrib.admin import AdminSite
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse

from config.edge import problems
from config.edge.access import Access, access_of
from config.edge.facts import Cell
from config.edge.refusals import DomainError
from config.edge.scoped_admin import ScopedAdmin
from config.edge.throttling import Guard, guarded

DROPPED = {"autocomplete", "view_on_site"}  # they would answer about rows of any model


class OwnPasswordChange(PasswordChangeView):
    """Its form knows in which session it is asked."""

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "by": access_of(self.request)}


@guarded(Guard.SIGN_IN, "POST")
def _sign_in(
    request: HttpRequest, page: Callable[..., HttpResponseBase], extra_context: dict[str, Any] | None
) -> HttpResponseBase:
    return page(request, extra_context)


def nobody(by: Access) -> bool:
    return False


@dataclass(frozen=True)
class Notice:
    """Something that needs the caller now: a sentence, where it leads, and what it is about one by one."""

    text: str
    link: Cell
    rows: Sequence[Cell] = ()


class Site(AdminSite):
    site_header = "Tokenhouse"
    site_title = "Tokenhouse"
    index_title = "Home"
    site_url = None
    enable_nav_sidebar = False  # the sections stand in the header
    final_catch_all_view = True
    password_form: type[PasswordChangeForm] = (
        PasswordChangeForm  # takes `by`, and knows what the change means
    )
    pages: list[URLPattern] = []  # of the apps, beside the models' own; each says itself who may open it
    notices: list[Callable[[Access], Iterable[Notice]]] = []  # what home says first, as the apps know it
    admits: Callable[[Access], bool] = staticmethod(nobody)  # the app that knows people says who may enter

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Only pages that know whose rows they show; Django's own page for its groups is none."""
        if admin_class is not None and issubclass(admin_class, ScopedAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        access = getattr(request, "access", None)
        if access is None:
            return False
        if not hasattr(request, "_is_admitted"):
            request._is_admitted = self.admits(access)  # type: ignore[attr-defined]
        return bool(request._is_admitted)  # type: ignore[attr-defined]

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        inner = super().admin_view(view, cacheable)

        def refusals_as_pages(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                return inner(request, *args, **kwargs)
            except DomainError as error:
                return problems.refused(request, error)

        refusals_as_pages.__dict__.update(inner.__dict__)
        return refusals_as_pages

    def get_urls(self) -> list[URLPattern | URLResolver]:
        urls = super().get_urls()
        kept = [url for url in urls if not (isinstance(url, URLPattern) and url.name in DROPPED)]
        return [*self.pages, *kept]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return cast(HttpResponse, _sign_in(request, super().login, extra_context))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        by = access_of(request)
        needing = [notice for asked in self.notices for notice in asked(by)]
        return super().index(request, {"needing": needing, **(extra_context or {})})

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """One's own password. It ends the other sessions: their hash no longer matches."""
        change = OwnPasswordChange.as_view(
            form_class=self.password_form,
            success_url=reverse(f"{self.name}:password_change_done"),
            template_name="registration/password_change_form.html",
            extra_context={**self.each_context(request), "title": "Change password", **(extra_context or {})},
        )
        request.current_app = self.name
        return cast(TemplateResponse, change(request))  # or a redirect, as Django's own declares it too

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The sections in the order of `place`, each with the sentence that says what it is `about`."""
        apps: list[Any] = super().get_app_list(request, app_label)
        for app in apps:
            for model in app["models"]:
                admin: Any = self._registry[model["model"]]
                model |= {"name": admin.name, "place": admin.place, "about": admin.about}
            app["models"].sort(key=lambda model: model["place"])
        return sorted(apps, key=lambda app: app["models"][0]["place"])
