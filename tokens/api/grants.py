"""`tokens/{id}/grants/`: a token's own rows, one by one."""

from typing import ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.conditional import etag
from config.edge.refusals import Missing
from config.edge.serializers import StrictSerializer, Text
from config.edge.views import ApiViewSet, idempotent
from fleets.api.rule_serializers import Path
from fleets.scopes import Scope
from tokens import grants
from tokens.api import lookup, schema
from tokens.api.fields import Reason
from tokens.api.serializers import ReasonSerializer, represent_grant
from tokens.api.views import answer_edit
from tokens.models import Grant, Token
from tokens.wishes import GrantWish

MOST_DIGITS = 9  # of a row's number


class GrantAddition(StrictSerializer):
    path = Path(help_text="`/vms/<vmid>` is stored as the path of the machine that bears it.")
    role = Text(max_length=63, required=False, allow_null=True, help_text="Null: the whole ceiling.")
    propagate = serializers.BooleanField(default=True)
    reason = Reason()


@extend_schema_view(
    list=extend_schema(responses=schema.GrantRow(many=True), filters=False),
    retrieve=extend_schema(responses=schema.GrantRow),
    create=extend_schema(
        request=GrantAddition, responses={201: schema.GrantRow, 202: schema.TokenRepresentation}
    ),
    destroy=extend_schema(request=ReasonSerializer, responses={204: None, 202: schema.TokenRepresentation}),
)
class Grants(ApiViewSet):
    """The rows of a token: where it may use its ceiling. Their entity tag is the token's version."""

    queryset = Grant.objects.none()
    ordering = "number"
    lookup_field = "n"
    narrowing: ClassVar[frozenset[str]] = frozenset({"create"})  # as a row that denies

    def list(self, request: Request, token_id: str) -> Response:
        token = lookup.token(self, token_id, Scope.TOKENS_READ)
        page = self.paginate_queryset(self.filter_queryset(Grant.objects.filter(token=token)))
        return self.get_paginated_response([represent_grant(grant) for grant in page or []])

    def retrieve(self, request: Request, token_id: str, n: str) -> Response:
        token = lookup.token(self, token_id, Scope.TOKENS_READ)
        return self.answer(token, represent_grant(_grant(token, n)))

    @idempotent
    def create(self, request: Request, token_id: str) -> Response:
        token = lookup.token(self, token_id, Scope.TOKENS_MANAGE)
        said = self.body(GrantAddition)
        self.conditional(token)
        row = GrantWish(said["path"], said.get("role") or "", said["propagate"])
        grant = grants.give(token, row=row, reason=said.get("reason", ""), by=self.access)
        if grant.token.edit_waits:
            return answer_edit(self, grant.token)
        return self.answer(grant.token, represent_grant(grant), 201)

    def destroy(self, request: Request, token_id: str, n: str) -> Response:
        token = lookup.token(self, token_id, Scope.TOKENS_MANAGE)
        number = _grant(token, n).number
        said = self.body(ReasonSerializer)
        self.conditional(token)
        edited = grants.take(token, number=number, reason=said.get("reason", ""), by=self.access)
        if edited.edit_waits:
            return answer_edit(self, edited)
        return Response(status=204, headers={"ETag": etag(edited)})


def _grant(token: Token, n: str) -> Grant:
    is_number = n.isascii() and n.isdigit() and len(n) <= MOST_DIGITS and not n.startswith("0")
    for grant in token.grants.all() if is_number else ():
        if grant.number == int(n):
            return grant
    raise Missing("This token has no such row.")
