"""The API's own description, OpenAPI in JSON: built once a process, since it takes long and nobody changes it."""

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.parameters import require_known


class Description(SpectacularJSONAPIView):
    """For everybody: it says what can be asked, nothing of who has what."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        require_known(request.query_params, ())
        return Response(described())


@cache
def described() -> dict[str, Any]:
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return document
