"""`reauthenticate/`: the password again, for what asks who it is that sits in a browser session."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.refusals import Refused
from config.edge.serializers import StrictSerializer
from config.edge.views import EdgeView
from fleets.access import PersonAccess
from fleets.reauthentication import reauthenticate


class PasswordText(serializers.CharField):
    """As it is: never trimmed, never shown."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, write_only=True, max_length=1000, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        value: str = super().to_internal_value(data)
        return value


class PasswordSerializer(StrictSerializer):
    password = PasswordText()


class ReauthenticateView(EdgeView):
    """For ten minutes the session may do what needs a fresh check. Tokens have no password."""

    parameters = frozenset()
    untagged = frozenset({"post"})
    takes_secrets = frozenset({"password"})

    @extend_schema(operation_id="reauthenticate", request=PasswordSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        by = self.access
        if not isinstance(by, PersonAccess):
            raise Refused("Only in a person's own browser session.", code="session_needed")
        reauthenticate(by.user, **self.body(PasswordSerializer), by=by)
        return Response(status=204)
