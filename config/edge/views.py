"""The base of every API view: the caller's access, idempotency, conditional requests, truthful answers."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, TypeVar

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from config.edge import context, throttling
from config.edge.access import Access, access_of, attach
from config.edge.conditional import Versioned, etag, require_match
from config.edge.idempotency import Replayed, claim_of, replay
from config.edge.parameters import require_known
from config.edge.problems import problem_of
from config.edge.refusals import DomainError, Invalid
from config.edge.throttling import Guard

log = logging.getLogger("tokenhouse.edge")
NO_STORE = {"Cache-Control": "no-store"}
Command = TypeVar("Command", bound=Serializer[Any])


class EdgeView(APIView):
    """A REST framework view that knows its caller's access and settles its use when the answer is known."""

    widening: ClassVar[frozenset[str]] = (
        frozenset()
    )  # actions that only ever give: late publication hurts nobody
    narrowing: ClassVar[frozenset[str]] = frozenset()  # actions that make something, and may take away by it
    parameters: ClassVar[frozenset[str]] = frozenset({"organization"})  # of the query
    lists: ClassVar[frozenset[str]] = frozenset({"list"})  # their parameters are filters, judged as such
    untagged: ClassVar[frozenset[str]] = frozenset()  # actions, or methods, on what has no entity tag
    metadata_class = None  # OPTIONS is a 405: what there is stands in the OpenAPI description

    @property
    def access(self) -> Access:
        return access_of(self.request)

    def perform_authentication(self, request: Request) -> None:
        """People are counted by themselves, strangers by address; a token has a rate of its own."""
        super().perform_authentication(request)
        caller: Access | None = request.auth  # type: ignore[assignment]
        if caller is None:
            throttling.require(Guard.API)
        elif caller.token_id is None:
            throttling.require_of_person(Guard.API, caller.user.pk)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        attach(request._request, request.auth)  # type: ignore[arg-type]
        if getattr(self, "action", None) not in self.lists:
            require_known(request.query_params, self.parameters)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        final: Response = super().finalize_response(request, response, *args, **kwargs)
        action = getattr(self, "action", None)
        late = {200, 201, 204} if action in self.narrowing else {200, 204}
        is_late = not context.current().effective_everywhere and final.status_code in late
        if is_late and action not in self.widening:
            final.status_code = 202
            final.data = {**(final.data or {}), "effective_everywhere": False}
        return final

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        settle = getattr(getattr(request, "access", None), "settle", None)
        if settle:
            try:
                settle()
            except DomainError as error:
                return problem_of(error)
        return response

    @property
    def asked_organization(self) -> str | None:
        """The slug that the query names."""
        return self.request.query_params.get("organization")

    def named_organization(self, in_body: object) -> str | None:
        """The slug that the body or the query names; Invalid where they name two."""
        if in_body is not None and not isinstance(in_body, str):
            raise Invalid.field("organization", "Not a valid string.")
        if in_body is None:
            return self.asked_organization
        if self.asked_organization in {None, in_body}:
            return in_body
        raise Invalid.field("organization", "The body and the query name two.", "contradiction")

    def command(self, kind: type[Command]) -> Command:
        """The request's body, read and judged by this kind of serializer."""
        said = kind(data=self.request.data)
        said.is_valid(raise_exception=True)
        return said

    def body(self, kind: type[Serializer[Any]]) -> dict[str, Any]:
        """What the request's body says, by the names of the serializer's fields."""
        values: dict[str, Any] = self.command(kind).validated_data
        return values

    def conditional(self, row: Versioned) -> None:
        """Honour the request's If-Match against the row."""
        require_match(self.request, row)

    def answer(
        self, row: Versioned, data: Any, status: int = 200, *, headers: dict[str, str] | None = None
    ) -> Response:
        """A representation of one row, with its entity tag."""
        return Response(data, status=status, headers={"ETag": etag(row), **NO_STORE, **(headers or {})})


class ApiViewSet(EdgeView, GenericViewSet[Any]):
    """The base of the resources. Look-ups are by `id`; what the caller may not see is not in the queryset."""

    lookup_value_regex = "[^/]+"


Handler = Callable[..., Response]


def idempotent(handler: Handler) -> Handler:
    """Mark a POST handler as one that honours Idempotency-Key."""

    @wraps(handler)
    def inner(view: EdgeView, request: Request, *args: Any, **kwargs: Any) -> Response:
        claim = claim_of(request, access_of(request))
        if claim is None:
            return handler(view, request, *args, **kwargs)
        if earlier := claim.earlier():
            return replay(earlier)
        context.current().idempotency = claim
        try:
            response = handler(view, request, *args, **kwargs)
        except Replayed as error:
            if earlier := claim.earlier():
                return replay(earlier)
            raise error
        try:
            claim.answered(response)
        except AnyDatabaseError:  # the change is committed: its answer must not fail
            log.warning("the answer of an idempotent request could not be kept")
        return response

    return inner
