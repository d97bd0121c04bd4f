"""Registers the edge: the shared request plumbing, and Django's admin with our own site."""

from django.apps import AppConfig
from django.contrib.admin import autodiscover
from django.contrib.admin.apps import SimpleAdminConfig


class EdgeConfig(AppConfig):
    default = True
    name = "config.edge"
    label = "edge"

    def ready(self) -> None:
        from config import checks  # noqa: F401  (registers the system checks)
        from config.edge import health

        health.register("heartbeat", health.heartbeat, needed=False)


class EdgeAdminConfig(SimpleAdminConfig):
    default = False
    default_site = "config.edge.admin_site.Site"

    def ready(self) -> None:
        super().ready()
        autodiscover()
