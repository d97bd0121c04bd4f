"""Who attacks with what: browsers of people who are signed in, programs that have a secret.

There is one client of each kind, and one session of each person, for all tests of a module: a new client loads the
middleware anew, and signing in is six statements.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings
from django.test import Client
from rest_framework.test import APIClient

from config.edge.clock import now
from fleets.models import SignedInSession, User
from tests import factories
from tokens.issuance import Issued

_keys: dict[UUID, str] = {}  # of the sessions that the module's transaction holds, by person
_api: dict[str, APIClient] = {}
_browsers: dict[UUID, Client] = {}


@contextmanager
def signed_in(*people: User) -> Iterator[None]:
    """Begin sessions of these people, which last as long as the transaction around the module's tests."""
    _keys.update({person.pk: factories.begin_session(person) for person in people})
    try:
        yield
    finally:
        _keys.clear()


def session_client(user: User) -> APIClient:
    """The API in the browser of a person who has just signed in; the one of before is nobody's any more."""
    client = _api.setdefault("session", APIClient(raise_request_exception=False))
    _sign_in(client, user)
    return client


def bearer_client(issued: Issued) -> APIClient:
    client = _api.setdefault("token", APIClient(raise_request_exception=False))
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret.reveal()}")
    return client


def browser(user: User) -> Client:
    """Pages in the browser of a person who has just signed in. A defect of the product is raised in the test."""
    client = _browsers.setdefault(user.pk, Client())
    client.cookies.clear()
    _sign_in(client, user)
    return client


def _sign_in(client: Client, user: User) -> None:
    key = _keys.get(user.pk)
    if key is None:
        client.force_login(user)
        return
    client.cookies[settings.SESSION_COOKIE_NAME] = key
    just = now()
    SignedInSession.objects.filter(user=user).update(started_at=just, last_seen_at=just, checked_at=just)
