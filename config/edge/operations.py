"""What the API's description says of every operation: how it is refused, which organization is meant, the version that
is changed, and what may be sent again."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from config.edge.problems import MEDIA_TYPE

ORGANIZATION = OpenApiParameter("organization", str, description="An organization's slug.")
IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of what was read: where it is another by now, 412 and nothing changes.",
)
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "maxLength": 255},
    "description": "Sent again with the same body within 24 hours, it is done once and answered alike, but without a "
    "secret (409, with the id); with another body 422.",
}
TEXT = {"type": "string"}
PROBLEM = {
    "type": "object",
    "description": "A problem document of RFC 9457.",
    "properties": {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "code": {"type": "string", "description": "Stable, in snake_case."},
        "request_id": TEXT,
        "errors": {
            "type": "array",
            "description": "What is wrong, field by field. Whatever holds a secret is refused: `holds_secret`.",
            "items": {
                "type": "object",
                "properties": {"field": TEXT, "code": TEXT, "detail": TEXT},
                "required": ["field", "code", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code", "request_id"],
}


class Operation(AutoSchema):
    """One operation, with the parameters that the base of the views takes."""

    def get_override_parameters(self) -> list[Any]:
        shared = []
        if self.view_takes_organization():
            shared.append(ORGANIZATION)
        if self.is_conditional():
            shared.append(IF_MATCH)
        return [*super().get_override_parameters(), *shared]

    def view_takes_organization(self) -> bool:
        is_list = getattr(self.view, "action", None) in getattr(self.view, "lists", ())
        return is_list or "organization" in getattr(self.view, "parameters", ())

    def is_conditional(self) -> bool:
        """Whether it changes what has an entity tag; what is only being made has none."""
        verb = getattr(self.view, "action", None) or self.method.lower()
        makes_in_a_list = verb == "create" and "{" not in self.path
        is_tagged = verb not in getattr(self.view, "untagged", ())
        return self.method != "GET" and is_tagged and not makes_in_a_list


def with_promises(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's hook: every refusal is a problem document, and a POST that creates or rotates is idempotent."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, methods in result["paths"].items():
        for method, operation in methods.items():
            creates = "201" in operation["responses"] or path.endswith(("/rotate/", "/rotate-secret/"))
            if method == "post" and creates:
                operation["parameters"] = [*operation.get("parameters", []), IDEMPOTENCY_KEY]
            operation["responses"]["default"] = {"description": "It was refused.", "content": content}
    return result
