"""The trail's resources under /api/v1/, and webhooks."""

from rest_framework.routers import SimpleRouter

from audit.api.views import Events
from audit.api.webhooks import Deliveries, Webhooks

router = SimpleRouter()
router.register("audit/events", Events, "event")
router.register("webhooks", Webhooks, "webhook")
router.register(r"webhooks/(?P<webhook_id>[^/]+)/deliveries", Deliveries, "webhook-delivery")

urlpatterns = router.urls
