"""Processor time of the pure parts, in this process: neighbours on the machine disturb it less than a rate."""

import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from bench.bare import application
from fleets.authority import Entry, PrincipalRights, TokenRights, technical_fleet_holdings
from fleets.scopes import Scope
from tokens import secret
from tokens.decision import Ask, Generation, Record, Status, decide

ROUNDS = 5
PEPPER = bytes(range(32))
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/empty",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.input": io.BytesIO(),
    "wsgi.url_scheme": "http",
}


def microseconds() -> dict[str, float]:
    """Of one call each; the best of some interleaved rounds."""
    text = secret.generate("fleet", secret.generate_id())
    parsed = secret.parse(text)
    assert parsed is not None
    record, ask = _record(parsed.token_id, secret.digest(text, PEPPER)), _ask()

    def prove() -> None:
        shown = secret.parse(text)
        assert shown is not None
        assert secret.matches(shown.text, record.generations[0].digest, PEPPER)

    def check() -> None:
        assert decide(record, ask).is_allowed

    acts: dict[str, tuple[Callable[[], object], int]] = {
        "empty Django view": (_empty_view, 2000),
        "parse and prove the secret": (prove, 20000),
        "decide": (check, 20000),
    }
    best = dict.fromkeys(acts, float("inf"))
    for _ in range(ROUNDS):
        for name, (act, times) in acts.items():
            started = time.process_time()
            for _ in range(times):
                act()
            best[name] = min(best[name], (time.process_time() - started) / times * 1e6)
    return best


def _empty_view() -> None:
    response = application(dict(ENVIRON), lambda *_: lambda _: None)
    response.close()


def _record(token_id: str, digest: bytes) -> Record:
    """A fleet token with one row, as verification compiles it."""
    ceiling = frozenset({Scope.MACHINES_READ})
    row = Entry("/fleets/edge", ceiling, "", True, "token")
    return Record(
        token_id=token_id,
        organization_id=UUID(int=1),
        status=Status.ACTIVE,
        expires_at=datetime(2999, 1, 1, tzinfo=UTC),
        owner_active=True,
        rights=TokenRights(ceiling, (row,), PrincipalRights(technical_fleet_holdings("edge"))),
        generations=(Generation(1, digest, 1),),
    )


def _ask() -> Ask:
    return Ask(Scope.MACHINES_READ, "/fleets/edge", datetime.now(UTC), "127.0.0.1", UUID(int=1))
