"""The estate's pages in the admin. Importing the package registers them, and who may sign in."""

from fleets.admin import (
    check,
    entrance,
    inventory,
    machines,
    mail,
    organizations,
    owners,
    rules,
    sessions,
    technical_users,
    ways_in,
)

__all__ = [
    "check",
    "entrance",
    "inventory",
    "machines",
    "mail",
    "organizations",
    "owners",
    "rules",
    "sessions",
    "technical_users",
    "ways_in",
]
