"""Which organization a reader of the trail means. The trail keeps only ids: `fleets` registers what they are called."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from uuid import UUID

from django.core.checks import CheckMessage, Error

from audit.targets import Target
from config.edge.access import Access


@dataclass(frozen=True)
class Named:
    """An organization as an event's representation names it."""

    id: UUID
    slug: str

    def audit_target(self) -> Target:
        return Target("organization", str(self.id), self.slug, self.id)


@dataclass(frozen=True)
class Organizations:
    """`meant(by, slug)`: the visible one of that slug, or the implied one; `of_id(id)`: the one of that id; `of_ids`:
    those of these ids, by name."""

    meant: Callable[[Access, str | None], Named]
    of_id: Callable[[UUID], Named]
    of_ids: Callable[[Collection[UUID]], list[Named]]


_registered: list[Organizations] = []


def register(organizations: Organizations) -> None:
    _registered[:] = [organizations]


def registered() -> Organizations:
    return _registered[0]


def within(by: Access, slug: str | None) -> frozenset[UUID]:
    """The organizations among which something is looked for: those that the caller may see, or the one that is asked
    for by name. Missing where that is none of them."""
    return by.organization_ids() if slug is None else frozenset({registered().meant(by, slug).id})


def check_registered(**_kwargs: object) -> list[CheckMessage]:
    """Tokenhouse.E012: nobody says which organizations there are, so that the trail could not be read."""
    if _registered:
        return []
    return [
        Error(
            "Nobody keeps the organizations of the audit trail.",
            hint="Install `fleets`.",
            id="tokenhouse.E012",
        )
    ]
