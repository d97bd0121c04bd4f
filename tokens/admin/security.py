"""From where, how often and when a token may be used: what its page says of it, and the form that changes it."""

from collections.abc import Sized
from typing import Any

from config.edge.access import Access
from config.edge.commands import RowVerb
from config.edge.facts import Cell, Section
from config.edge.form_fields import reason_field
from tokens import lifecycle
from tokens.admin.restriction_fields import RestrictionFields, initial_of, line_of
from tokens.admin.verbs import is_living, manages
from tokens.models import Token
from tokens.restrictions import Restrictions


class SecurityForm(RestrictionFields):
    """All three are on the page, so that none is lifted by being forgotten."""

    reason = reason_field("Always needed. Kept in the audit trail.", required=True)

    def __init__(self, *args: Any, row: Token, **kwargs: Any) -> None:
        super().__init__(*args, row=row, **kwargs)
        self.initial = initial_of(row.restrictions)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors:
            data["restrictions"] = self.restrictions()
        return data


SECURITY = RowVerb(
    "security",
    "Security",
    manages,
    lambda row, data, by: lifecycle.restrict(
        row, restrictions=data["restrictions"], reason=data["reason"], by=by
    ),
    lambda row: f"{sentence_of(row)} What is tighter holds at once; what is looser may have to be approved.",
    "Its restrictions are changed.",
    fits=is_living,
    form=SecurityForm,
)


def section_of(row: Token, by: Access) -> Section:
    """What holds now, in words."""
    held = row.restrictions
    rows = [
        [Cell("From"), Cell("everywhere" if held.networks is None else ", ".join(map(str, held.networks)))],
        [
            Cell("At most"),
            Cell("without limit" if held.rate is None else f"{held.rate}, with all its secrets together"),
        ],
        [
            Cell("When"),
            Cell("at any time" if held.windows is None else "; ".join(map(line_of, held.windows)) + " UTC"),
        ],
    ]
    return Section("Restrictions", ("What", "Now"), rows, "")


def sentence_of(row: Token) -> str:
    held = row.restrictions
    if held == Restrictions():
        return f"{row.name} is not restricted: it works from everywhere, at any time, as often as it is used."
    where = "from everywhere" if held.networks is None else f"from {_counted(held.networks, 'network')} only"
    often = "" if held.rate is None else f", at most {held.rate}"
    when = "at any time" if held.windows is None else f"in {_counted(held.windows, 'window')} only"
    return f"Now {row.name} works {where}, {when}{often}."


def _counted(rows: Sized, word: str) -> str:
    return f"{len(rows)} {word}{'s'[len(rows) == 1 :]}"
