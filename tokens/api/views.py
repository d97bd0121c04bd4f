"""Tokens over HTTP: parse, one verb, present."""

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.access import Access, authorize_list
from config.edge.refusals import Refused
from config.edge.views import NO_STORE, ApiViewSet, EdgeView, idempotent
from fleets import places
from fleets.models import Organization
from fleets.scopes import Scope
from fleets.visibility import organization as organization_of
from fleets.visibility import sole_organization
from tokens import issuance, lifecycle
from tokens.api import lookup, schema
from tokens.api.filters import TokenFilter
from tokens.api.serializers import (
    EditSerializer,
    IssueSerializer,
    ReasonSerializer,
    RotateSerializer,
    SelfEditSerializer,
    instant,
    represent,
    represent_owner,
)
from tokens.authentication import TokenAccess
from tokens.issuance import Issued
from tokens.models import Token
from tokens.permissions import permissions_of

PATH = OpenApiParameter(
    "path", str, description="A path of the organization; the owner's root where none is given."
)


class TokenViewSet(ApiViewSet):
    """The tokens that the caller may see."""

    queryset = Token.objects.all()
    filterset_class = TokenFilter
    ordering = ("-created_at", "id")
    widening = frozenset({"enable"})

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return Token.objects.none()
        return lookup.visible(self.access)

    @extend_schema(responses=schema.TokenRepresentation(many=True))
    def list(self, request: Request) -> Response:
        organization = organization_of(self.access, self.asked_organization)
        authorize_list(self.access, Scope.TOKENS_READ, organization.pk)
        tokens = self.get_queryset().filter(organization=organization)
        page = self.paginate_queryset(self.filter_queryset(tokens))
        return self.get_paginated_response([represent(token) for token in page or []])

    @extend_schema(request=IssueSerializer, responses={201: schema.IssuedToken})
    @idempotent
    def create(self, request: Request) -> Response:
        lookup.require_somewhere(self.access, Scope.TOKENS_MANAGE)
        body = self.command(IssueSerializer)
        organization = organization_of(
            self.access, self.named_organization(body.validated_data.get("organization"))
        )
        owner = lookup.owner(self.access, body.validated_data, organization)
        lookup.require_of(self.access, Scope.TOKENS_MANAGE, owner, organization)
        data = body.validated_data
        issued = issuance.issue(
            organization,
            owner=owner,
            name=data["name"],
            description=data.get("description", ""),
            wish=body.wish(privilege_separation=data["privilege_separation"]),
            expiry=body.expiry(),
            rotate_every=data.get("rotate_every"),
            restrictions=body.restrictions(),
            reason=data.get("reason", ""),
            by=self.access,
        )
        return reveal(self, issued, status=201)

    @extend_schema(responses=schema.TokenRepresentation)
    def retrieve(self, request: Request, pk: str) -> Response:
        token = lookup.token(self, pk, Scope.TOKENS_READ)
        return self.answer(token, represent(token))

    @extend_schema(
        request=EditSerializer,
        responses={200: schema.TokenRepresentation, 202: schema.TokenRepresentation},
        description="202: it waits for the approval that `approval` names, and the token is as it was. 200 also where "
        "nothing of the token as it is stored would change: a change that waits already is left alone.",
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        token = lookup.token(self, pk, Scope.TOKENS_MANAGE)
        body = self.command(EditSerializer)
        self.conditional(token)
        if not body.says_something():
            return self.answer(token, represent(token))
        reason = body.validated_data.get("reason", "")
        edited = lifecycle.edit(token, change=body.edit(), reason=reason, by=self.access)
        return answer_edit(self, edited)

    @extend_schema(request=RotateSerializer, responses=schema.RotatedToken)
    @action(detail=True, methods=["post"])
    @idempotent
    def rotate(self, request: Request, pk: str) -> Response:
        token = lookup.token(self, pk, Scope.TOKENS_MANAGE)
        said = self.body(RotateSerializer)
        self.conditional(token)
        return _rotated(self, token, said.get("overlap", timedelta(0)))

    @extend_schema(request=ReasonSerializer, responses=schema.TokenRepresentation)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        return self._move(lifecycle.disable, pk)

    @extend_schema(request=ReasonSerializer, responses=schema.TokenRepresentation)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: str) -> Response:
        return self._move(lifecycle.enable, pk)

    @extend_schema(request=ReasonSerializer, responses=schema.TokenRepresentation)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        return self._move(lifecycle.revoke, pk)

    @extend_schema(parameters=[PATH], responses=schema.Permissions)
    @action(detail=True, methods=["get"], parameters=frozenset({"organization", "path"}))
    def permissions(self, request: Request, pk: str) -> Response:
        token = lookup.token(self, pk, Scope.TOKENS_READ)
        return Response(permissions_of(token, _path(request, token)), headers=NO_STORE)

    def _move(self, verb: Any, pk: str) -> Response:
        token = lookup.token(self, pk, Scope.TOKENS_MANAGE)
        said = self.body(ReasonSerializer)
        self.conditional(token)
        moved: Token = verb(token, reason=said.get("reason", ""), by=self.access)
        return self.answer(moved, represent(moved))


class OwnTokenView(EdgeView):
    """The calling token about itself: read, narrow, rotate, end."""

    parameters = frozenset()

    @extend_schema(operation_id="own_token_retrieve", responses=schema.TokenRepresentation)
    def get(self, request: Request) -> Response:
        token = own_token(self.access)
        return self.answer(token, _represent_to_itself(token))

    @extend_schema(
        operation_id="own_token_edit", request=SelfEditSerializer, responses=schema.TokenRepresentation
    )
    def patch(self, request: Request) -> Response:
        token = own_token(self.access)
        body = self.command(SelfEditSerializer)
        self.conditional(token)
        if body.says_something():
            token = lifecycle.edit(
                token, change=body.edit(), reason=body.validated_data.get("reason", ""), by=self.access
            )
        return self.answer(token, _represent_to_itself(token))

    @extend_schema(
        operation_id="own_token_revoke", responses={204: None}, description="The body may say a `reason`."
    )
    def delete(self, request: Request) -> Response:
        token = own_token(self.access)
        said = self.body(ReasonSerializer)
        self.conditional(token)
        lifecycle.revoke(token, reason=said.get("reason", ""), by=self.access)
        return Response(status=204)


class OwnTokenRotateView(EdgeView):
    parameters = frozenset()

    @extend_schema(operation_id="own_token_rotate", request=RotateSerializer, responses=schema.RotatedToken)
    @idempotent
    def post(self, request: Request) -> Response:
        token = own_token(self.access)
        said = self.body(RotateSerializer)
        self.conditional(token)
        return _rotated(self, token, said.get("overlap", timedelta(0)))


class OwnTokenPermissionsView(EdgeView):
    parameters = frozenset({"path"})

    @extend_schema(operation_id="own_token_permissions", parameters=[PATH], responses=schema.Permissions)
    def get(self, request: Request) -> Response:
        token = own_token(self.access)
        return Response(permissions_of(token, _path(request, token)), headers=NO_STORE)


class WhoAmIView(EdgeView):
    """Whoever calls, with any credential."""

    parameters = frozenset()

    @extend_schema(operation_id="whoami", responses=schema.WhoAmI)
    def get(self, request: Request) -> Response:
        access = self.access
        ids = access.organization_ids()
        slugs = sorted(Organization.objects.filter(pk__in=ids).values_list("slug", flat=True))
        user = access.user
        data: dict[str, Any] = {
            "type": "token" if access.token_id else "person",
            "user": {"id": str(user.pk), "username": user.username, "name": user.name, "kind": user.kind},
            "organization": slugs[0] if len(slugs) == 1 else implied_slug(access),
            "organizations": slugs,
            "token": None,
        }
        if isinstance(access, TokenAccess):
            token = access.proven.token  # as it was when it was proven: all that is told of it was read then
            data["token"] = {
                "id": token.pk,
                "name": token.name,
                "kind": token.kind,
                "owner": represent_owner(token.owner),
                "scopes": token.scopes,
                "expires_at": instant(token.expires_at),
                "secret_hint": token.secret_hint,
            }
        return Response(data, headers=NO_STORE)


def implied_slug(access: Access) -> str | None:
    """The organization that is meant by somebody who sees several and names none."""
    organization = sole_organization(access)
    return organization.slug if organization else None


def answer_edit(view: EdgeView, token: Token) -> Response:
    """The token after an edit; 202 where that waits for the approval that it names."""
    return view.answer(token, represent(token), 202 if token.edit_waits else 200)


def own_token(access: Access) -> Token:
    """The token that calls. Its use is in the trail from here on: nothing may fail once a verb has committed."""
    if not isinstance(access, TokenAccess):
        raise Refused("This is about the token that calls; you came without one.", code="not_a_token")
    access.settle()
    return Token.objects.presented().get(pk=access.token_id)


def _rotated(view: EdgeView, token: Token, overlap: timedelta) -> Response:
    """By whoever may; by the token itself with the generation that calls."""
    by = view.access
    generation = by.generation if isinstance(by, TokenAccess) and by.token_id == token.pk else None
    issued = lifecycle.rotate(token, overlap=overlap, generation=generation, by=by)
    return reveal(view, issued, status=200)


def reveal(view: EdgeView, issued: Issued, *, status: int) -> Response:
    """The only answers that hold a secret."""
    token = issued.token
    is_itself = view.access.token_id == token.pk
    shown = _represent_to_itself(token) if is_itself else represent(token)
    data = {**shown, "secret": issued.secret.reveal()}
    if status == 200:
        data["previous_valid_until"] = instant(issued.previous_valid_until)
    return view.answer(token, data, status)


def _represent_to_itself(token: Token) -> dict[str, Any]:
    """A fleet's token learns nothing of people."""
    return represent(token, names_people=token.kind != Token.Kind.FLEET)


def _path(request: Request, token: Token) -> str:
    text = request.query_params.get("path")
    return places.resolved(token.organization_id, text) if text else token.default_path
