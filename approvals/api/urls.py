"""Addresses of requests for approval."""

from rest_framework.routers import SimpleRouter

from approvals.api.views import Approvals

router = SimpleRouter()
router.register("approvals", Approvals, "approval")

urlpatterns = router.urls
