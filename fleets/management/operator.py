"""Who acts at the server's own command line."""

from config.edge.operator_command import operator_label
from fleets.access import TrustedAccess, operator
from fleets.models import User


def as_operator(on_behalf_of: User | None = None) -> TrustedAccess:
    return operator(operator_label(), on_behalf_of=on_behalf_of)
