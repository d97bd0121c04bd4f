"""Every address of the house."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from drf_spectacular.views import SpectacularSwaggerSplitView

from config.edge import health, metrics, problems
from config.edge.description import Description
from tokens import gate


@csrf_exempt
@require_safe
def home(_request: HttpRequest) -> HttpResponse:
    return redirect("admin:index")


@csrf_exempt
def nothing_here(request: HttpRequest) -> HttpResponse:
    return problems.not_found(request, Exception())


api: list[URLPattern | URLResolver] = [
    path("", include("fleets.api.urls")),
    path("", include("audit.api.urls")),
    path("", include("approvals.api.urls")),
    path("", include("tokens.api.urls")),
    path("schema/", Description.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]

urlpatterns = [
    path("", home),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("gate/verify", gate.verify, name="gate"),
    path("api/v1/", include(api)),
    path("admin/", admin.site.urls),
    re_path(r"", nothing_here),
]

handler400 = problems.bad_request
handler403 = problems.permission_denied
handler404 = problems.not_found
handler500 = problems.server_error
