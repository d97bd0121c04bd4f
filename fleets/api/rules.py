"""`acl/`: who is given which role where."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.access import authorize, authorize_list
from config.edge.serializers import Nothing
from config.edge.views import idempotent
from fleets import entries, places, policy
from fleets.api.estate import EstateViewSet
from fleets.api.filters import EntryFilters
from fleets.api.rule_serializers import EntryAddition, EntryChange, EntrySerializer
from fleets.models import AclEntry, Organization
from fleets.paths import ROOT
from fleets.scopes import Scope


@extend_schema_view(
    list=extend_schema(responses=EntrySerializer(many=True)),
    retrieve=extend_schema(responses=EntrySerializer),
    create=extend_schema(request=EntryAddition, responses={201: EntrySerializer}),
    partial_update=extend_schema(request=EntryChange, responses=EntrySerializer),
    destroy=extend_schema(responses={204: None}),
)
class Entries(EstateViewSet):
    """Access entries. Who manages permissions at `/` sees all of them, else those where they do."""

    queryset = AclEntry.objects.none()
    filterset_class = EntryFilters
    narrowing = frozenset({"create"})  # a deeper entry takes the place of what is inherited

    def list(self, request: Request) -> Response:
        organization = self.organization()
        authorize_list(self.access, Scope.PERMISSIONS_MANAGE, organization.pk)
        rows = entries.seen(organization, self.access)
        if asked := request.query_params.get("path"):
            rows = rows.filter(path=places.canonical(organization.pk, asked))
        return self.listed(_shown(rows), EntrySerializer)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self._permitted(pk))

    def create(self, request: Request) -> Response:
        return self._set(request, self.organization_of_body(Scope.PERMISSIONS_MANAGE))

    @idempotent
    def _set(self, request: Request, organization: Organization) -> Response:
        values = self.body(EntryAddition)
        values.pop("organization", None)
        path = places.canonical(organization.pk, values["path"])
        # before it is looked up: a fleet out of reach is answered as one that does not exist
        authorize(self.access, Scope.PERMISSIONS_MANAGE, path, organization.pk)
        if "user" in values:
            values["user"] = entries.user_named(values["user"], organization)
        else:
            values["group"] = entries.group_named(values["group"], organization)
        entry = entries.set_entry(organization, **{**values, "path": path}, by=self.access)
        return self._answer(entry, 201)

    def partial_update(self, request: Request, pk: str) -> Response:
        entry = self._permitted(pk)
        changes = self.body(EntryChange)
        self.conditional(entry)
        if changes:
            entries.change_entry(entry, changes=changes, by=self.access)
        return self._answer(entry)

    def destroy(self, request: Request, pk: str) -> Response:
        entry = self._permitted(pk)
        self.body(Nothing)
        self.conditional(entry)
        entries.remove_entry(entry, by=self.access)
        return Response(status=204)

    def _permitted(self, pk: str) -> AclEntry:
        entry = self.found(_shown(AclEntry.objects.all()), pk)
        sees_all = policy.may_see_entries(self.access, ROOT, entry.organization_id)
        path = ROOT if sees_all else entry.path
        authorize(self.access, Scope.PERMISSIONS_MANAGE, path, entry.organization_id)
        return entry

    def _answer(self, entry: AclEntry, status: int = 200) -> Response:
        return self.answer(entry, EntrySerializer(entry).data, status)


def _shown(rows: QuerySet[AclEntry]) -> QuerySet[AclEntry]:
    return rows.select_related("organization", "user", "group")
