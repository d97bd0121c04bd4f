"""What a request can be about. The apps that know a subject register a handler for its kind; the engine knows none."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from django.core.checks import CheckMessage, Error
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q, QuerySet

from approvals.models import ApprovalRequest, Diff, Ids
from config.edge.access import Access
from fleets.scopes import Risk


@dataclass(frozen=True)
class Proposal:
    """What is asked for: plain JSON that says all of it, the version it is about included, and the same in words."""

    risk: Risk
    diff: Diff
    words: tuple[str, ...] = ()
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_of(self.diff))


@dataclass(frozen=True)
class Offer:
    """What of a request can be left out: approving less says `{name: [the values that stay]}`. `fixed`: values that
    stay whatever is chosen, for the subject has them already."""

    name: str
    label: str
    choices: tuple[tuple[str, str], ...]  # (value, what it is in words)
    fixed: tuple[str, ...] = ()

    def keeping(self, chosen: Sequence[str]) -> dict[str, list[str]]:
        """What approving says of whoever chose these."""
        return {self.name: [*self.fixed, *(value for value in chosen if value not in self.fixed)]}


Row = tuple[str, str, str]  # what differs, what it was ("" where all is new) and what it shall be, in words


class Handler(Protocol):
    """What the engine asks about a subject, always inside a verb's transaction.

    `lock` comes first and locks the subject (and what is locked before it): subjects are locked before requests.
    """

    def lock(self, request: ApprovalRequest) -> None:
        """Lock what the request is about."""

    def recheck(self, request: ApprovalRequest) -> None:
        """Conflict where the subject is no longer as the diff says, or who asked could no longer do it."""

    def parties_of_many(self, requests: Sequence[ApprovalRequest]) -> dict[UUID, Ids]:
        """Who may not decide, besides its originators: of requests of its kind, by their ids, in a fixed number of
        queries."""

    def rows(self, request: ApprovalRequest) -> list[Row]:
        """All of the diff, in words: people decide by them. What is not in `diff_words` is here too."""

    def offers(self, request: ApprovalRequest) -> Offer | None:
        """What somebody could leave out; None where it is all or nothing."""

    def narrow(self, request: ApprovalRequest, narrowed: dict[str, Any], by: Access) -> Proposal:
        """Less than was asked for; Invalid where it is not less. Writes what of the subject shows it already."""

    def apply(self, request: ApprovalRequest, by: Access) -> None:
        """It is approved: do it."""

    def discard(self, request: ApprovalRequest, by: Access, *, reason: str) -> None:
        """It came to nothing: `request.status` says how."""


Reaching = Callable[[Access], QuerySet[Any, Any]]  # the ids of the subjects that a caller sees, or manages
_handlers: dict[str, Handler] = {}
_sights: dict[str, Reaching] = {}  # by subject type
_managing: dict[str, Reaching] = {}


def register(kind: str, handler: Handler) -> None:
    _handlers[kind] = handler


def register_sight(subject_type: str, visible_ids: Reaching) -> None:
    """Of requests about such subjects, who oversees an organization sees those about subjects that they see too."""
    _sights[subject_type] = visible_ids


def register_managing(subject_type: str, managed_ids: Reaching) -> None:
    """What a technical user asks for about such a subject is answered for by who manages the subject."""
    _managing[subject_type] = managed_ids


def overseen_by(by: Access) -> Q:
    """The requests about nothing that is kept from the caller."""
    seen = Q()
    for subject_type, visible_ids in _sights.items():
        seen &= ~Q(subject_type=subject_type) | Q(subject_id__in=visible_ids(by))
    return seen


def managed_by(by: Access) -> Q:
    """The requests about what the caller manages."""
    managed = Q(pk__in=[])
    for subject_type, managed_ids in _managing.items():
        managed |= Q(subject_type=subject_type, subject_id__in=managed_ids(by))
    return managed


def handler_of(request: ApprovalRequest) -> Handler:
    return _handlers[request.kind]


def canonical(diff: Diff) -> str:
    """One text for one diff: sorted keys, no spaces, no escapes but those that JSON needs."""
    return json.dumps(
        diff,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        cls=DjangoJSONEncoder,
        allow_nan=False,
    )


def digest_of(diff: Diff) -> str:
    """SHA-256 of the canonical diff, hexadecimal."""
    return hashlib.sha256(canonical(diff).encode()).hexdigest()


def check_registered(**_kwargs: Any) -> list[CheckMessage]:
    """Tokenhouse.E013: a subject without a handler, so that requests about it could not be decided."""
    missing = [kind for kind in ApprovalRequest.Kind if kind not in _handlers]
    if not missing:
        return []
    hint = "Install `approvals` and `tokens`."
    return [Error(f"Nobody knows the subject of {', '.join(missing)}.", hint=hint, id="tokenhouse.E013")]
