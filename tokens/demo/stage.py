"""What the demo's script is played on: the timeline, and all that exists so far by the names of the script."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from config.edge.clock import now
from fleets.access import PersonAccess
from fleets.models import Fleet, Group, Machine, Organization, User
from tokens.demo.script import BRIGHTWATER, KESTREL, TokenPlan
from tokens.demo.timeline import Scene, Timeline
from tokens.secret import Secret

FOUNDED = timedelta(days=125)  # ago
MINUTE = timedelta(minutes=1)
ADMINISTRATOR = "10.20.4.2"  # the address of whoever runs the installation
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
ADDRESS_OF = {
    person.username: person.address
    for company in (BRIGHTWATER, KESTREL)
    for person in (company.founder, *company.people)
}


@dataclass
class Stage:
    """`username`: whoever the script calls "admin"."""

    username: str
    until: datetime = field(default_factory=lambda: now() - 2 * MINUTE)
    timeline: Timeline = field(default_factory=Timeline)
    chance: random.Random = field(default_factory=lambda: random.Random(20))  # noqa: S311 (content, not secrets)
    organizations: dict[str, Organization] = field(default_factory=dict)
    people: dict[str, User] = field(default_factory=dict)
    fleets: dict[tuple[str, str], Fleet] = field(default_factory=dict)
    groups: dict[tuple[str, str], Group] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    tokens: dict[TokenPlan, str] = field(default_factory=dict)
    secrets: dict[TokenPlan, Secret] = field(default_factory=dict, repr=False)
    _founded: int = 0  # steps of the founding so far

    def soon(self, address: str, act: Callable[[], object]) -> None:
        """The founding: one thing after the other, seven minutes apart."""
        start = self.until - FOUNDED + self._founded * 7 * MINUTE
        self._founded += 1
        self.timeline.add(start, Scene(address, BROWSER), act)

    def at(self, days_ago: float, username: str, act: Callable[[], object]) -> None:
        """What somebody does in their browser."""
        scene = Scene(ADDRESS_OF.get(username, ADMINISTRATOR), BROWSER)
        self.timeline.add(self.until - timedelta(days=days_ago), scene, act)

    def person(self, username: str) -> PersonAccess:
        return PersonAccess(self.people[self.name(username)])

    def name(self, username: str) -> str:
        return self.username if username == "admin" else username
