"""How the API agrees with a client on a format: JSON, whatever it says it accepts."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request


class AlwaysJSON(DefaultContentNegotiation):
    """An error must be readable even to a client that asks for something else."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """By the body's own type: `*/*` is no type, though REST framework takes it for every one."""
        named = request.content_type or ""
        return None if "*" in named else super().select_parser(request, parsers)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type
