"""How tokens are put into words on a page: status, posture, expiry, use."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.timesince import timesince

from config.edge.clock import now
from fleets.models import User
from fleets.organization_policy import policy_of
from fleets.scopes import Risk
from tokens.hints import Hint
from tokens.kinds import Kind
from tokens.models import Token
from tokens.rules import effective_expiry

SOON = timedelta(days=7)
NAMED = 3  # scopes and machines that a list names one by one

HINTS: dict[str, str] = {
    Hint.KIND_NOT_ALLOWED: (
        "Every call of it is refused: the organization’s policy lets people of its owner’s role have none of its kind."
    ),
    Hint.SCOPE_ABOVE_CEILING: (
        "The organization’s policy lets it use only some of its scopes: "
        "the others are more than its owner’s role may have."
    ),
    Hint.NEVER_NOT_ALLOWED: (
        "Every call of it is refused: the organization’s policy wants tokens to end. Give it an expiry."
    ),
    Hint.LIFETIME_TOO_LONG: (
        "The organization’s policy lets no token live as long as its expiry says: it ends before that, "
        "and one that waits for an approval gets none until its expiry is earlier."
    ),
    Hint.EXPIRED_BY_POLICY: (
        "Every call of it is refused: it has lived as long as the organization’s policy lets a token live."
    ),
    Hint.NETWORK_REQUIRED: (
        "Every call of it is refused: the organization’s policy wants a token of its risk to work from named networks "
        "only."
    ),
    Hint.OPEN_NETWORK: "Its allowed networks are all addresses, which limits nothing.",
    Hint.NO_NETWORK_LIMIT: "It works from everywhere. Name the networks from which it is used.",
    Hint.NEVER_EXPIRES: "It never expires. Give it an end, or make sure that somebody rotates it.",
    Hint.ROTATION_OVERDUE: "Its rotation is overdue: give it a new secret.",
    Hint.UNUSED_90_DAYS: "It has not been used for 90 days. Revoke it if nobody needs it.",
    Hint.WIDENED_BY_ROLE: (
        "It may do more than before: a role that it names, or that whom it acts as was given, gives more. "
        "See whether it shall."
    ),
    Hint.WIDENED_BY_ENTRY: (
        "It may do more than before: by an entry that was set, changed or removed, whom it acts as holds more. "
        "See whether it shall."
    ),
    Hint.MACHINE_GONE: "A machine that it was issued for is deregistered; the token no longer reaches it.",
}
PREVIEWED = {  # what a policy would do to a token
    "kind_not_allowed": "is refused: its owner’s role may have none of its kind",
    "scope_above_ceiling": "does less: some of its scopes are more than its owner’s role may have",
    "never_not_allowed": "is refused until it gets an end",
    "lifetime_too_long": "ends earlier; where it waits for an approval, only with an earlier expiry",
    "expired": "ends at once",
    "network_required": "is refused until its networks are named",
    "unused": "is disabled, for it was not used for so long",
    "ask_again": "waits for an approval that has to be asked for again, for it is riskier then",
}
REASONS = {
    "by_hand": "by hand",
    "by_itself": "by itself",
    "owner_left": "because its owner left the organization",
    "owner_closed": "because its owner ended",
    "rejected": "by who could have approved it",
    "withdrawn": "as it was asked for no more",
    "lapsed": "as nobody decided in time",
    "by_overseer": "from above its owner",
    "unused": "as nobody used it",
}
NOTES: dict[str, str] = {
    Kind.PERSONAL: "It acts as you, and ends when you leave the organization.",
    Kind.FLEET: "It reaches nothing outside of the fleet.",
    Kind.GROUP: "It reaches what the group reaches now; paths that are added later are not its own.",
    Kind.ORGANIZATION: "It reaches the whole organization.",
    Kind.APPLICATION: (
        "It gets a technical user of its own, which can do nothing until an administrator grants it something."
    ),
    Kind.TECHNICAL_USER: "It can do what entries grant the technical user, within the scopes below.",
}


def kind_of(token: Token) -> str:
    return Kind(token.kind).label.lower()


def owner_of(token: Token) -> str:
    owner = token.owner
    return owner.username if isinstance(owner, User) else owner.name


def level_of(token: Token) -> str:
    """The access level in words; empty for one of one's own making."""
    if token.access_level == Token.AccessLevel.CUSTOM:
        return ""
    machines = "all machines" if token.all_machines else "selected machines"
    more = f", with {', '.join(token.extended)}" if token.extended else ""
    return f"{token.get_access_level_display()} of {machines}{more}"


def status_of(token: Token) -> str:
    return str(token.derived_status)


def risk_of(token: Token) -> str:
    return Risk(token.risk).label


def some(names: list[str]) -> str:
    """The first few, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def day(moment: datetime) -> str:
    """Minutes only where they say something: a date ends at 00:00."""
    return f"{moment:%Y-%m-%d}" if (moment.hour, moment.minute) == (0, 0) else f"{moment:%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class End:
    """When a token ends, be it by its own expiry or sooner by the policy. `near`: past, soon, or empty."""

    text: str
    by_policy: bool
    near: str

    @property
    def note(self) -> str:
        return ", ".join(filter(None, (self.near, "by policy" if self.by_policy else "")))


def end_of(token: Token) -> End:
    if token.is_ended:  # nothing ends it any more
        return End(expiry_of(token), by_policy=False, near="")
    end = effective_expiry(token, policy_of(token.organization))
    return End(_expiry(token, end), by_policy=end != token.expires_at, near=_nearness(end))


def expiry_of(token: Token) -> str:
    """Its own expiry."""
    return _expiry(token, token.expires_at)


def _nearness(end: datetime | None) -> str:
    if end is None:
        return ""
    left = end - now()
    return "past" if left <= timedelta(0) else "soon" if left <= SOON else ""


def _expiry(token: Token, end: datetime | None) -> str:
    if token.lifetime is not None:
        return f"{token.lifetime.days} days after its approval"
    return f"{day(end)} UTC" if end else "Never"


def last_used(token: Token) -> str:
    return f"{timesince(token.last_used_at, now(), depth=1)} ago" if token.last_used_at else "–"


def reach_of(token: Token) -> str:
    """Where a token may use its ceiling, in a few words."""
    if not token.privilege_separation:
        return "wherever its owner may"
    names = [row.name for row in token.machine_rows.all()]
    if names:
        return some(names)
    grants = [str(grant.path) for grant in token.grants.all()]
    if not grants:
        return "nothing"
    return "all machines" if token.all_machines else some(grants)
