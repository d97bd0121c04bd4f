"""What every resource of the estate shares: which organization is meant, which rows can be found, pages of a list."""

from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from audit.organizations import within
from config.edge.access import authorize, authorize_somewhere
from config.edge.ids import Row, row_of
from config.edge.refusals import InsufficientScope, Missing
from config.edge.views import ApiViewSet
from fleets import policy, visibility
from fleets.models import Organization, User
from fleets.paths import ROOT
from fleets.scopes import Scope


class EstateViewSet(ApiViewSet):
    """`found` and `listed` are how views reach rows: both know only the organizations that the caller may see."""

    organization_lookup: ClassVar[str] = "organization"

    def organization(self) -> Organization:
        """The organization of a list: named in the query, or implied."""
        return visibility.organization(self.access, self.asked_organization)

    def organization_of_body(self, needed: Scope) -> Organization:
        """The organization in which something is to be made: named in the body, or implied.

        The right is judged before the body wherever the caller means only one organization.
        """
        implied = visibility.sole_organization(self.access)
        if implied:
            authorize_somewhere(self.access, needed, implied.pk)
        body: Any = self.request.data
        slug = self.named_organization(body.get("organization"))
        if implied and slug in {None, implied.slug}:
            return implied
        meant = visibility.organization(self.access, slug)
        authorize_somewhere(self.access, needed, meant.pk)
        return meant

    def found(self, rows: QuerySet[Row], key: str) -> Row:
        """The row of that id; Missing where there is none in an organization that the caller may see."""
        seen = {f"{self.organization_lookup}__in": within(self.access, self.asked_organization)}
        return row_of(rows.filter(**seen), key)

    def decide(self, scope: Scope, path: str, organization_id: UUID) -> None:
        """For tokens: require the scope. What people may do follows from their role, which the verb knows."""
        if self.access.token_id is not None:
            authorize(self.access, scope, path, organization_id)

    def decide_oversight(self, organization_id: UUID) -> None:
        """For tokens: require one of the scopes by which one sees who owns an organization's tokens."""
        if self.access.token_id is None:
            return
        permits = partial(self.access.permits, path=ROOT, organization_id=organization_id)
        held = next(filter(permits, visibility.OVERSEEING), Scope.PERMISSIONS_MANAGE)
        authorize(self.access, held, ROOT, organization_id)

    def require_sight_of_people(self, organization_id: UUID, path: str = ROOT) -> None:
        """For tokens: people's names take the right to manage permissions, and are never for a fleet's tokens."""
        if self.access.token_id is None:
            return
        allowed = policy.may_see_people(self.access, path, organization_id)
        self.access.note(Scope.PERMISSIONS_MANAGE, path, organization_id, allowed=allowed)
        if not allowed:
            raise InsufficientScope(Scope.PERMISSIONS_MANAGE, path)

    def person(self, username: str, organization_id: UUID) -> User:
        """Somebody of the organization; Missing alike for who works elsewhere and for who does not exist."""
        user: User | None = User.objects.present_in(organization_id).named(username).first()
        if user is None:
            raise Missing("There is no such member.")
        return user

    def listed(self, rows: QuerySet[Any], serializer: type[BaseSerializer[Any]], **members: Any) -> Response:
        """One page of the rows that the filters leave; `members` stand beside its results."""
        page = self.paginate_queryset(self.filter_queryset(rows))
        response = self.get_paginated_response(serializer(page or [], many=True).data)
        response.data |= members
        return response
