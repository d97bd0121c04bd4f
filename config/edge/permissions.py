"""REST framework's first question: is it anybody at all?"""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class IsAuthenticated(BasePermission):
    """A live token or a signed-in person. What they may do is asked in the views and verbs."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.auth is not None
