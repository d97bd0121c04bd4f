"""The WSGI application that `config.web` serves. It does not start on settings that would be unsafe."""

import os

from django.core.checks import Tags, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

if found := [str(message) for message in run_checks(tags=[Tags.security]) if message.is_serious()]:
    raise ImproperlyConfigured("\n".join(found))
