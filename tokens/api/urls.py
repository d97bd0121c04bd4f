"""Addresses of tokens."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from tokens.api import views
from tokens.api.emergency import EmergencyCalls, EmergencyWindows
from tokens.api.grants import Grants
from tokens.api.history import ActivityView, HistoryView
from tokens.api.policy_preview import PolicyPreviews
from tokens.api.restrictions import RestrictionsView
from tokens.api.revoke_all import RevokeAllView

router = SimpleRouter()
router.register("tokens", views.TokenViewSet, basename="token")
router.register(r"tokens/(?P<token_id>[^/]+)/grants", Grants, basename="grant")

urlpatterns = [
    path("tokens/revoke-all/", RevokeAllView.as_view(), name="revoke-all"),
    *router.urls,
    path("tokens/<str:pk>/restrictions/", RestrictionsView.as_view(), name="token-restrictions"),
    path("tokens/<str:pk>/history/", HistoryView.as_view({"get": "list"}), name="token-history"),
    path("tokens/<str:pk>/activity/", ActivityView.as_view({"get": "list"}), name="token-activity"),
    path(
        "organizations/<str:pk>/policy-preview/",
        PolicyPreviews.as_view({"post": "create"}),
        name="policy-preview",
    ),
    path(
        "tokens/<str:token_id>/emergency-access/",
        EmergencyWindows.as_view({"get": "list", "post": "create", "delete": "destroy"}),
        name="token-emergency-access",
    ),
    path(
        "tokens/<str:token_id>/emergency-access/<str:pk>/calls/",
        EmergencyCalls.as_view({"get": "list"}),
        name="token-emergency-calls",
    ),
    path("token/", views.OwnTokenView.as_view(), name="own-token"),
    path("token/rotate/", views.OwnTokenRotateView.as_view(), name="own-token-rotate"),
    path("token/permissions/", views.OwnTokenPermissionsView.as_view(), name="own-token-permissions"),
    path("whoami/", views.WhoAmIView.as_view(), name="whoami"),
]
