"""Gets the database ready before anything serves from it: migrations, and the demo organization where it is empty."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from config.supervisor import programs
from config.supervisor.announcement import say
from config.supervisor.children import Household

USERNAME = "admin"
SQLITE_FILES = ("tokenhouse.sqlite3", "tokenhouse.sqlite3-wal", "tokenhouse.sqlite3-shm")


class PreparationFailed(Exception):
    """The database could not be made ready; the text holds the end of the log."""


@dataclass(frozen=True)
class Prepared:
    """Who signs in, and the demo token's secret if this run made it. The secret stays in memory."""

    username: str
    is_new: bool
    token: str | None = field(repr=False)


def prepare(household: Household, environment: Mapping[str, str], password: str) -> Prepared:
    """Migrate, and fill an empty database. A filling that was interrupted is begun again from nothing."""
    folder = household.folder
    is_embedded = not {**folder.settings(), **environment}.get("DATABASE_URL")
    marker = folder.path / "first-start-unfinished"
    if is_embedded and marker.exists():
        say("The first start was interrupted; beginning again with an empty database.")
        for name in SQLITE_FILES:
            (folder.path / name).unlink(missing_ok=True)
    if is_embedded and not (folder.path / SQLITE_FILES[0]).exists():
        marker.touch(mode=0o600)
    say("Preparing the database.")
    options = ("--empty",) if environment.get("DEMO") == "0" else ()
    program = programs.prepare_database(
        ("--username", USERNAME, *options), {**environment, "ADMIN_PASSWORD": password}
    )
    status, output = household.run(program)
    if status:
        raise PreparationFailed(f"the database could not be prepared:\n{household.end_of_log(program.name)}")
    marker.unlink(missing_ok=True)
    return Prepared(**json.loads(output))
