"""The caller, as every app below the tokens sees it: a person, a token, the operator or the system."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from django.http import HttpRequest

from config.edge.refusals import InsufficientScope, Missing, NotAuthenticated


@dataclass(frozen=True)
class Actor:
    """Who did it, as an event keeps it: `type` is person, technical_user, token, system or anonymous."""

    type: str
    id: str
    label: str


ANONYMOUS = Actor("anonymous", "", "anonymous")


class Rights(Protocol):
    """Which scopes are held where, in one organization."""

    def at(self, path: str) -> frozenset[str]:
        """The scopes held at exactly this canonical path."""

    @property
    def paths(self) -> frozenset[str]:
        """Every path that is named: only there and below can the scopes differ from their surroundings."""

    @property
    def anywhere(self) -> frozenset[str]:
        """The scopes held on at least one path."""


@runtime_checkable
class Access(Protocol):
    """What a verb needs to know of its caller (`by=`)."""

    @property
    def actor(self) -> Actor: ...

    @property
    def on_behalf_of(self) -> Actor | None: ...

    @property
    def user(self) -> Any:
        """The User row that acts; None for the system."""

    @property
    def is_browser_session(self) -> bool:
        """A person's own interactive session: some things are never done by a token."""

    @property
    def is_fresh(self) -> bool:
        """Whether a person has just proven that it is them: by signing in, or by their password again."""

    @property
    def is_operator(self) -> bool:
        """The command line on the server, which holds the database anyway."""

    @property
    def token_id(self) -> str | None: ...

    @property
    def behind(self) -> frozenset[UUID]:
        """The users for whom a token that calls never writes rules: its principal and who made it. For people none."""

    def organization_ids(self) -> frozenset[UUID]:
        """The organizations that the caller may see."""

    def rights(self, organization_id: UUID) -> Rights: ...

    def permits(self, scope: str, path: str, organization_id: UUID) -> bool: ...

    def may_ask(self, scope: str) -> bool:
        """Whether the scope can ever be used: people may ask anything, a token only what its ceiling holds."""

    def refresh(self) -> None:
        """Forget rights that were loaded: the next question reads the database again."""

    def note(self, scope: str, path: str, organization_id: UUID, *, allowed: bool) -> None:
        """Tell the audit trail how a question of scope ended. Raises where it can't be written."""


def access_of(request: Any) -> Access:
    """The caller of a Django or REST framework request; NotAuthenticated for a stranger."""
    access = getattr(request, "access", None)
    if access is None:
        raise NotAuthenticated("No credential was sent.")
    assert isinstance(access, Access)
    return access


def attach(request: HttpRequest, access: Access | None) -> None:
    request.access = access  # type: ignore[attr-defined]


def authorize(access: Access, scope: str, path: str, organization_id: UUID) -> None:
    """Require a scope at a path, noting the outcome: 404 where the caller holds nothing at all there, else 403.

    The root is no secret: every organization has one.
    """
    allowed = access.permits(scope, path, organization_id)
    access.note(scope, path, organization_id, allowed=allowed)
    if allowed:
        return
    if path == "/" or access.rights(organization_id).at(path):
        raise InsufficientScope(scope, path)
    raise Missing("There is no such object.")


def authorize_list(access: Access, scope: str, organization_id: UUID) -> None:
    """Require that the caller may ask for a list at all; that they see nothing in it is no refusal."""
    allowed = access.may_ask(scope)
    access.note(scope, "/", organization_id, allowed=allowed)
    if not allowed:
        raise InsufficientScope(scope, "/")


def authorize_somewhere(access: Access, scope: str, organization_id: UUID) -> None:
    """Require that a scope is held on some path, before a body is looked at; only a denial is noted."""
    if scope in access.rights(organization_id).anywhere:
        return
    access.note(scope, "/", organization_id, allowed=False)
    raise InsufficientScope(scope, "/")
