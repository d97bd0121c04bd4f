"""What a token gains and loses by an edit: judged by effect, whatever was asked for, and told in words."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from config.edge.access import Rights
from fleets.authority import exceeding
from fleets.paths import ROOT, closure, unnamed_child
from tokens import restrictions
from tokens.spec import Spec, instant
from tokens.wishes import Settled

MOST_WORDS = 50  # of what was gained, and of what was lost, in an event
MOST_EXCEPTIONS = 3  # that a sentence names one by one


@dataclass(frozen=True)
class Effect:
    """What a token can do more, and what less, whoever its principal is."""

    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def widens(self) -> bool:
        return bool(self.gained)

    def as_json(self) -> dict[str, object]:
        """For the trail: the first of each, and how many there are."""
        return {
            "widens": self.widens,
            "gained": list(self.gained[:MOST_WORDS]),
            "gained_count": len(self.gained),
            "lost": list(self.lost[:MOST_WORDS]),
            "lost_count": len(self.lost),
        }


def effect_of(before: Spec, after: Spec, *, had_expired: bool = False) -> Effect:
    """Compared at every path where the two can differ, in how long the token works, and in what restricts it.

    A larger ceiling is more even where no row gives it: roles in rows may grow up to it. Of what was recorded as
    expired (`had_expired`) any other expiry is more: it works again.
    """
    old, new = before.access, after.access
    gained, lost = exceeding(new.granted, old.granted), exceeding(old.granted, new.granted)
    everywhere = closure(old.granted.paths | new.granted.paths | {ROOT})
    longer, shorter = _ends(before, after, had_expired=had_expired)
    looser, tighter = restrictions.gains_and_losses(before.restrictions, after.restrictions)
    return Effect(
        (
            *longer,
            *looser,
            *_of_ceiling(new, old, gained),
            *in_sentences(gained, everywhere, new.granted, keeps=True),
        ),
        (
            *shorter,
            *tighter,
            *_of_ceiling(old, new, lost),
            *in_sentences(lost, everywhere, new.granted, keeps=False),
        ),
    )


def in_sentences(
    pairs: list[tuple[str, str]], everywhere: Iterable[str], after: Rights, *, keeps: bool
) -> list[str]:
    """(scope, path) pairs that were gained (`keeps`) or lost, as few sentences: each holds at its path and, as far as
    is not said otherwise, below it."""
    paths_of: dict[str, set[str]] = defaultdict(set)
    for scope, path in pairs:
        paths_of[scope].add(path)
    paths = sorted(everywhere)
    return [
        f"{scope} {where}"
        for scope in sorted(paths_of)
        for where in _places(
            paths_of[scope], paths, {path for path in paths if (scope in after.at(path)) is keeps}
        )
    ]


@dataclass
class Place:
    """Where a sentence is true: at a path and, where it `is_deep`, below it but for the exceptions."""

    path: str
    is_deep: bool
    exceptions: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.path.endswith("*"):
            words = f"below {self.path.removesuffix('*').rstrip('/') or ROOT}"
        else:
            words = f"on {self.path}" if self.is_deep else f"on {self.path} itself"
        if self.exceptions:
            more = len(self.exceptions) - MOST_EXCEPTIONS
            named = ", ".join(self.exceptions[:MOST_EXCEPTIONS])
            words += f", except on {named}" + (f" and {more} more" if more > 0 else "")
        return words


def _places(changed: set[str], paths: list[str], true: set[str]) -> list[Place]:
    """The fewest places that lead to all the changed paths: the highest of them, and where below them it is not so.

    `true` are the paths of which the sentence would be true; `paths` come with all that is above them, and sorted, so
    that what stands for the unnamed children of a path comes before those that are named. Where `/`, `/*` and `/nodes`
    changed and `/nodes/n1` is not true: one place, "on /, except on /nodes/n1".
    """
    places: list[Place] = []
    reaching: dict[str, Place | None] = {}  # by path: the place that reaches below it
    for path in paths:
        above = path.rpartition("/")[0] or ROOT
        place = reaching.get(above) if path != ROOT else None
        child = unnamed_child(path)
        is_deep = child is None or child in true
        if place is not None and path not in true:
            place.exceptions.append(path)
            place = None
        elif place is None and path in changed:
            place = Place(path, is_deep)
            places.append(place)
            if path.endswith("*"):
                reaching[above] = place
        reaching[path] = place if is_deep else None
    return places


def _of_ceiling(larger: Settled, smaller: Settled, pairs: list[tuple[str, str]]) -> list[str]:
    """The scopes of one ceiling that are not in the other, but for those of which a path is told."""
    told_of = {scope for scope, _ in pairs}
    return [f"{scope} in the ceiling" for scope in sorted(larger.ceiling - smaller.ceiling - told_of)]


def _ends(before: Spec, after: Spec, *, had_expired: bool) -> tuple[list[str], list[str]]:
    """What a new expiry gains, and what it loses. A lifetime that waits for its approval counts as if it began now."""
    if (before.expires_at, before.lifetime) == (after.expires_at, after.lifetime):
        return [], []
    end, new = before.ends_at, after.ends_at
    if had_expired:
        return [f"use {until(new)}, after it had expired"], []
    if new == end:
        return [], []
    if new is None or (end is not None and new > end):
        return [f"use {until(new)}, not {until(end)}"], []
    return [], [f"use {until(end)}, now {until(new)}"]


def until(end: datetime | None) -> str:
    return "for ever" if end is None else f"until {instant(end)}"
