"""What an event is about."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True)
class Target:
    """What an event is about, as it was called when it happened."""

    type: str
    id: str
    label: str
    organization_id: UUID | None = None


class Auditable(Protocol):
    """A row that events can be about."""

    def audit_target(self) -> Target: ...
