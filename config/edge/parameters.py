"""Query parameters: what an address does not know, or is told twice, is a 400 that names it."""

from collections.abc import Collection

from django.http import QueryDict

from config.edge.refusals import Invalid

LONGEST = 400  # characters of a value


def require_known(parameters: QueryDict, known: Collection[str]) -> None:
    """Refuse a parameter that is none of the known ones, that stands twice, or whose value can be none."""
    for name, values in parameters.lists():
        if name not in known:
            raise Invalid.field(name[:100], "There is no such parameter here.", "unknown_parameter")
        if len(values) > 1:
            raise Invalid.field(name, "Give it once.", "repeated_parameter")
        if "\x00" in values[0] or len(values[0]) > LONGEST:
            raise Invalid.field(name, "This is not a value of it.")
