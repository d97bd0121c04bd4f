"""The trail's resources under /api/v1/."""

from rest_framework.routers import SimpleRouter

from audit.api.views import Events

router = SimpleRouter()
router.register("audit/events", Events, "event")

urlpatterns = router.urls
