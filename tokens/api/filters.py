"""Filters of the token list."""

from typing import Any

import django_filters
from django.db.models import Q
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from audit.api.filters import InstantFilter
from config.edge.access import access_of
from config.edge.clock import now
from config.edge.refusals import Missing
from fleets.models import Machine
from fleets.scopes import Risk, Scope
from tokens import owners
from tokens.decision import DerivedStatus
from tokens.kinds import of_owner
from tokens.models import Token, TokenQuerySet


class TokenFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """`status` is the derived one; without it, what has ended is left out."""

    status = django_filters.ChoiceFilter(
        choices=[(status, status) for status in DerivedStatus], method="of_status"
    )
    kind = django_filters.ChoiceFilter(choices=Token.Kind.choices)
    owner = django_filters.CharFilter(
        method="of_owner",
        help_text="A username, or fleet:, group:, organization:, application:, technical: and a slug or username.",
    )
    risk = django_filters.ChoiceFilter(choices=[(risk.label, risk.label) for risk in Risk], method="of_risk")
    scope = django_filters.ChoiceFilter(
        choices=[(scope, scope) for scope in Scope], field_name="scope_rows__scope"
    )
    machine = django_filters.UUIDFilter(method="of_machine")
    expires_before = InstantFilter("expires_at", "lt", help_text="RFC 3339, not included.")
    unused_since = InstantFilter(method="not_used_since", help_text="RFC 3339.")
    search = django_filters.CharFilter(method="matching", max_length=100)

    class Meta:
        model = Token
        fields: list[str] = []

    def filter_queryset(self, queryset: Any) -> Any:
        tokens = super().filter_queryset(queryset)
        return tokens if self.form.cleaned_data.get("status") else tokens.not_ended()

    def of_status(self, tokens: TokenQuerySet, _name: str, status: str) -> TokenQuerySet:
        return tokens.with_status(status, now())

    def of_owner(self, tokens: TokenQuerySet, _name: str, text: str) -> TokenQuerySet:
        """As on the command line: a username, or `fleet:<slug>`; with a kind its slug or username alone will do. What
        the caller may not see is a 404."""
        access = access_of(self.request)
        found = owners.known(owners.said_of_kind(text, self.form.cleaned_data.get("kind")), access)
        if not found:
            raise Missing("There is no such owner.")
        theirs = Q(pk__in=[])
        for owner in found:
            theirs |= of_owner(owner)
        return tokens.filter(theirs)

    def of_risk(self, tokens: TokenQuerySet, _name: str, risk: str) -> TokenQuerySet:
        return tokens.filter(risk=Risk[risk.upper()])

    def of_machine(self, tokens: TokenQuerySet, _name: str, machine_id: Any) -> TokenQuerySet:
        access = access_of(self.request)
        machine = (
            Machine.objects.select_related("fleet")
            .filter(pk=machine_id, organization_id__in=access.organization_ids())
            .first()
        )
        if machine is None or not access.rights(machine.organization_id).at(machine.path):
            raise Missing("There is no such machine.")
        return tokens.filter(machine_rows__machine=machine)

    @extend_schema_field(OpenApiTypes.DATETIME)
    def not_used_since(self, tokens: TokenQuerySet, _name: str, instant: Any) -> TokenQuerySet:
        unused = Q(last_used_at=None, created_at__lt=instant) | Q(last_used_at__lt=instant)
        return tokens.filter(unused)

    def matching(self, tokens: TokenQuerySet, _name: str, text: str) -> TokenQuerySet:
        return tokens.matching(text)
