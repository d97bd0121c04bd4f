"""What everything is compared with: an empty Django view, and one of REST framework, without any middleware."""

import logging
import os
from typing import ClassVar

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

logging.basicConfig(level=logging.INFO)  # which says when the server listens
settings.configure(
    SECRET_KEY=os.urandom(32).hex(),
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="bench.bare",
    MIDDLEWARE=[],
    INSTALLED_APPS=["django.contrib.contenttypes", "rest_framework"],
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None, "DEFAULT_AUTHENTICATION_CLASSES": []},
    USE_TZ=True,
)
django.setup(set_prefix=False)

from rest_framework.permissions import AllowAny  # noqa: E402 (needs the settings above)
from rest_framework.renderers import JSONRenderer  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


def empty(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


class Plain(APIView):
    """The least that REST framework can do: nobody is authenticated, a small answer is rendered."""

    authentication_classes: ClassVar[list[type]] = []  # type: ignore[misc]
    permission_classes: ClassVar[list[type]] = [AllowAny]  # type: ignore[misc]
    renderer_classes: ClassVar[list[type]] = [JSONRenderer]  # type: ignore[misc]

    def get(self, _request: Request) -> Response:
        return Response({"status": "ok"})


urlpatterns = [path("empty", empty), path("plain", Plain.as_view())]
application = WSGIHandler()
