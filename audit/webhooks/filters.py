"""Which actions an endpoint wants: names of them, all of one subject (`approval.*`), or all (`*`)."""

from collections.abc import Iterable, Sequence

from audit.actions import Action
from config.edge.refusals import Invalid

EVERYTHING = "*"
ALL_OF = ".*"
MOST = 100
# Uses are too many for a request each. What happens to deliveries would make deliveries without end.
NEVER_SENT = frozenset(
    {
        *(Action.TOKEN_USED, Action.TOKEN_DENIED),
        *(Action.DELIVERY_GIVEN_UP, Action.DELIVERY_RETRIED, Action.DELIVERY_DROPPED),
    }
)
SENT = tuple(action.value for action in Action if action not in NEVER_SENT)
OFFERED = (EVERYTHING, *sorted({action.partition(".")[0] + ALL_OF for action in SENT}), *SENT)


def wants(actions: Iterable[str], action: str) -> bool:
    return any(_matches(each, action) for each in actions)


def parsed(actions: Sequence[str]) -> list[str]:
    """The filter that is meant, each entry once; Invalid where an entry would never match."""
    wanted = list(dict.fromkeys(actions))
    if not wanted or len(wanted) > MOST:
        raise Invalid.field("actions", f"Name 1 to {MOST} actions, or *.")
    for each in wanted:
        if each not in OFFERED:
            raise Invalid.field("actions", f"{each[:50]} is no action that is sent, nor *, nor subject.*")
    return wanted


def _matches(wanted: str, action: str) -> bool:
    if wanted.endswith(ALL_OF):
        return action.startswith(wanted.removesuffix("*"))
    return wanted in {EVERYTHING, action}
