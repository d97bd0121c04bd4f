"""The order of events: folder, port, Valkey, database, web and workers, ready, watch, stop."""

import os
import secrets
import sys
from pathlib import Path

from config.supervisor import announcement, programs, readiness
from config.supervisor.children import Household, StopRequested
from config.supervisor.data_folder import DataFolder, FolderRefused
from config.supervisor.database import PreparationFailed, Prepared, prepare
from config.supervisor.make_parent import MakeParent
from config.supervisor.port import NoFreePort, reserved_port

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    os.umask(0o077)  # whatever a child creates is ours alone
    environment = dict(os.environ)
    given_password = environment.pop("ADMIN_PASSWORD", "")  # only the preparation may see it
    make = MakeParent(environment)
    try:
        with DataFolder(Path(environment.get("TOKENHOUSE_DATA") or REPOSITORY / "var")) as folder:
            serve(folder, environment, given_password, make)
    except (StopRequested, KeyboardInterrupt):
        return 0
    except (FolderRefused, NoFreePort, PreparationFailed, readiness.NotReady) as refusal:
        print(f"Tokenhouse does not start: {refusal}", file=sys.stderr)
        return 1
    return 0


def serve(folder: DataFolder, environment: dict[str, str], given_password: str, make: MakeParent) -> None:
    """Start everything, say where it is, and keep it running until asked to stop."""
    bind = (folder.settings() | environment).get("BIND") or "127.0.0.1"
    with (
        reserved_port(bind, environment.get("PORT") or "8000") as port,
        Household(folder, REPOSITORY, make) as household,
    ):
        url = announcement.url_of(bind, port)
        folder.write_settings(environment, url)
        environment |= {"DJANGO_SETTINGS_MODULE": "config.settings", "TOKENHOUSE_DATA": str(folder.path)}
        if "REDIS_URL" not in environment:
            household.start(programs.valkey(folder))
            readiness.wait_for_socket(household, folder.valkey_socket)
        password = given_password or secrets.token_urlsafe(12)
        prepared = prepare(household, environment, password)
        shown_password = _shown_password(prepared, given_password, password)
        household.start(programs.web(bind, port, environment))
        household.start(programs.worker(environment))
        household.start(programs.beat(folder, environment))
        try:
            readiness.wait_until_ready(household, url)
        except (readiness.NotReady, StopRequested):
            if prepared.is_new:  # the password is printed now or never
                announcement.show("The account that was made:", url, folder.path, prepared, shown_password)
            raise
        folder.write_run_file(url, prepared.username)
        announcement.show("Tokenhouse is ready.", url, folder.path, prepared, shown_password)
        household.watch()


def _shown_password(prepared: Prepared, given: str, made: str) -> str:
    """What the box says: the password itself only where this run made it."""
    if not prepared.is_new:
        return "as printed at the first start"
    return "the one given in ADMIN_PASSWORD" if given else f"{made}   (shown only this once)"


if __name__ == "__main__":
    sys.exit(main())
