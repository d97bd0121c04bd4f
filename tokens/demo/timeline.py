"""Plays things that happened in the past in their order: each on the clock of its day, in a request of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from config.edge import clock
from config.edge.context import RequestContext, bound

Act = Callable[[], object]


@dataclass(frozen=True)
class Scene:
    """Where a request came from."""

    address: str | None = None
    agent: str = ""
    method: str = "POST"
    path: str = ""


@dataclass(frozen=True)
class Step:
    """Requests of one caller from an instant on, `gap` apart."""

    at: datetime
    scene: Scene
    acts: Sequence[Act]
    gap: timedelta


class Timeline:
    def __init__(self) -> None:
        self._steps: list[Step] = []

    def add(self, at: datetime, scene: Scene, *acts: Act, gap: timedelta = timedelta(seconds=2)) -> None:
        self._steps.append(Step(at, scene, acts, gap))

    def play(self) -> None:
        """All of it, oldest first. What takes longer than planned pushes the next: time never runs backwards."""
        reached: datetime | None = None
        for step in sorted(self._steps, key=attrgetter("at")):
            for index, act in enumerate(step.acts):
                planned = step.at + index * step.gap
                with clock.at(max(planned, reached or planned)), bound(_context(step.scene)):
                    act()
                    reached = clock.now()


def _context(scene: Scene) -> RequestContext:
    return RequestContext(address=scene.address, user_agent=scene.agent, method=scene.method, path=scene.path)
