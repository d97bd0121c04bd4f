"""Callers without a token: a signed-in person, the operator at the server's command line, the system itself."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.functional import SimpleLazyObject

from audit.actions import Action, Outcome
from audit.trail import Target, record
from config.edge.access import Actor
from config.edge.clock import now
from fleets import holdings
from fleets.authority import PrincipalRights
from fleets.models import Membership, Organization, User

FRESH_FOR = timedelta(minutes=10)  # after a sign-in, or after the password was asked for again


def themselves(user: Any) -> User:
    """The row behind `request.user`, which Django loads lazily: verbs need a real one."""
    real: User = user._wrapped if isinstance(user, SimpleLazyObject) else user
    return real


class PersonAccess:
    """A person in their own browser session. `session_id`: its row, where a request came by it; `checked_at`: when it
    was last proven there that it is them."""

    is_browser_session = True
    is_operator = False
    token_id: str | None = None
    behind: frozenset[UUID] = frozenset()
    on_behalf_of: Actor | None = None

    def __init__(
        self, user: User, session_id: UUID | None = None, checked_at: datetime | None = None
    ) -> None:
        self.user = user
        self.session_id = session_id
        self.checked_at = checked_at
        self._rights: dict[UUID, PrincipalRights] = {}
        self._organization_ids: frozenset[UUID] | None = None

    @cached_property
    def actor(self) -> Actor:
        return self.user.as_actor()

    @property
    def is_fresh(self) -> bool:
        return self.checked_at is not None and abs(now() - self.checked_at) <= FRESH_FOR

    def organization_ids(self) -> frozenset[UUID]:
        if self._organization_ids is None:
            self._organization_ids = frozenset(self._read_organization_ids())
        return self._organization_ids

    def _read_organization_ids(self) -> Iterable[UUID]:
        if self.user.is_superuser:
            return Organization.objects.values_list("pk", flat=True)
        return Membership.objects.active().filter(user=self.user).values_list("organization_id", flat=True)

    def rights(self, organization_id: UUID) -> PrincipalRights:
        if organization_id not in self._rights:
            self._rights[organization_id] = holdings.rights_of(self.user, organization_id)
        return self._rights[organization_id]

    def permits(self, scope: str, path: str, organization_id: UUID) -> bool:
        return scope in self.rights(organization_id).at(path)

    def may_ask(self, scope: str) -> bool:
        return True

    def refresh(self) -> None:
        """Read the person again: deactivated or demoted meanwhile, they may do less."""
        self.user.refresh_from_db(fields=["is_active", "is_superuser", "expires_at"])
        self._rights.clear()
        self._organization_ids = None

    def note(self, scope: str, path: str, organization_id: UUID, *, allowed: bool) -> None:
        """What people look at is not recorded; what they are refused is."""
        if allowed:
            return
        target = Target("path", "", path, organization_id)
        data = {"scope": scope, "path": path}
        with transaction.atomic():
            record(
                Action.ACCESS_DENIED,
                by=self,
                target=target,
                outcome=Outcome.DENIED,
                reason="insufficient_scope",
                data=data,
            )


@dataclass
class TrustedAccess:
    """Whoever holds the host: the operator's command line, and the system's own tasks. May everything, says who."""

    actor: Actor
    on_behalf_of: Actor | None = None
    user: User | None = None
    is_operator: bool = True
    is_browser_session: bool = field(default=False, init=False)
    is_fresh: bool = field(default=False, init=False)
    token_id: str | None = field(default=None, init=False)
    behind: frozenset[UUID] = field(default=frozenset(), init=False)

    def organization_ids(self) -> frozenset[UUID]:
        return frozenset(Organization.objects.values_list("pk", flat=True))

    def rights(self, organization_id: UUID) -> PrincipalRights:
        return PrincipalRights(everything=True)

    def permits(self, scope: str, path: str, organization_id: UUID) -> bool:
        return True

    def may_ask(self, scope: str) -> bool:
        return True

    def refresh(self) -> None:
        pass

    def note(self, scope: str, path: str, organization_id: UUID, *, allowed: bool) -> None:
        pass


def operator(label: str, *, on_behalf_of: User | None = None) -> TrustedAccess:
    """The command line on the server: `label` is `<OS user>@<host>`."""
    behind = on_behalf_of.as_actor() if on_behalf_of else None
    return TrustedAccess(Actor("system", "operator", label), behind, on_behalf_of)


def system(name: str) -> TrustedAccess:
    """A task of ours, or what follows from somebody else's change."""
    return TrustedAccess(Actor("system", name, name))
