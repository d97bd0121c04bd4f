"""The estate's pages in the admin. Importing the package registers them, and who may sign in."""

from fleets.admin import (
    entrance,
    inventory,
    machines,
    mail,
    organizations,
    owner_members,
    owners,
    reauthentication,
    rules,
    sessions,
    technical_users,
    ways_in,
)

__all__ = [
    "entrance",
    "inventory",
    "machines",
    "mail",
    "organizations",
    "owner_members",
    "owners",
    "reauthentication",
    "rules",
    "sessions",
    "technical_users",
    "ways_in",
]
