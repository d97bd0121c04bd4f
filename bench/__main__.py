"""`make bench`: interleaved rounds over the doors, a table of ratios to the empty view, bench/results.json."""

import argparse
import json
import os
import platform
import statistics
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench import cpu, load
from bench.load import Measured
from bench.servers import THREADS, WORKERS, Running, running

CONNECTIONS = (1, 8, 32)
RESULTS = Path(__file__).with_name("results.json")
LONGEST = 100.0  # seconds of load: the whole run stays below three minutes
MODE = "database mode: every call reads the token from the database and writes its event there"


@dataclass(frozen=True)
class Door:
    """One thing that is measured; the first one is what all ratios refer to."""

    name: str
    url: str
    queue: str  # on the same server, a page that costs next to nothing
    verifies: bool = False


def doors(servers: Running) -> list[Door]:
    ask = {"organization": servers.organization, "scope": "machines:read", "path": f"/fleets/{servers.fleet}"}
    empty, health = f"{servers.bare}/empty", f"{servers.product}/healthz"
    gate, whoami = f"{servers.product}/gate/verify?{urlencode(ask)}", f"{servers.product}/api/v1/whoami/"
    return [
        Door("empty Django view, no middleware", empty, empty),
        Door("DRF view, no authentication", f"{servers.bare}/plain", empty),
        Door("/healthz: our middleware, no token", health, health),
        Door("/gate/verify", gate, health, verifies=True),
        Door("/api/v1/whoami/: DRF authentication", whoami, health, verifies=True),
    ]


Rounds = dict[tuple[str, int], list[Measured]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    count = arguments.rounds * len(CONNECTIONS) * 5
    seconds = max(1, int(min(arguments.seconds, LONGEST / count)))  # wrk takes whole seconds
    with running() as servers:
        found = _interleaved(doors(servers), servers.secret, arguments.rounds, seconds)
        names = [door.name for door in doors(servers)]
        results = _results(names, found, servers.database)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(_table(results))
    return 0


def _interleaved(measured: list[Door], secret: str, rounds: int, seconds: int) -> Rounds:
    """Round after round over everything, so that what else the machine does hits all alike."""
    found: Rounds = {}
    for number in range(rounds + 1):
        for connections in CONNECTIONS:
            for door in measured:
                headers = {"Authorization": f"Bearer {secret}"} if door.verifies else {}
                if number == 0 and connections != CONNECTIONS[-1]:
                    continue  # the first round only warms up
                load.settle(door.queue)
                result = load.measure(
                    door.url, headers, connections=connections, seconds=seconds if number else 1
                )
                if number:
                    found.setdefault((door.name, connections), []).append(result)
        print(f"round {number} of {rounds}" if number else "warm", file=sys.stderr, flush=True)
    return found


def _results(names: list[str], found: Rounds, database: str) -> dict[str, Any]:
    reference = names[0]
    rows = []
    for name in names:
        row: dict[str, Any] = {"name": name, "connections": {}}
        for connections in CONNECTIONS:
            ours, theirs = found[name, connections], found[reference, connections]
            ratios = [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
            row["connections"][str(connections)] = {
                "requests_per_second": round(statistics.median(one.rate for one in ours), 1),
                "ratio": round(statistics.median(ratios), 3),
                "p99_milliseconds": round(statistics.median(one.p99 for one in ours), 2),
            }
        rows.append(row)
    processor = cpu.microseconds()
    of_view = processor["empty Django view"]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "mode": MODE,
        "database": database,
        "web": f"waitress, {WORKERS} processes, {THREADS} threads each",
        "load": load.tool(),
        "machine": f"{os.cpu_count()} CPUs, Python {platform.python_version()}, shared by servers and load",
        "http": rows,
        "cpu": [
            {"name": name, "microseconds": round(taken, 2), "ratio": round(taken / of_view, 4)}
            for name, taken in processor.items()
        ],
        "targets": _targets({row["name"]: row["connections"] for row in rows}),
    }


def _targets(rows: dict[str, dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """The design's targets that this run can say something about. They are for compiled records: see the mode."""
    empty, plain, _, gate, whoami = rows.values()
    return [
        {
            "what": "gate vs empty view at 1, 8, 32 connections",
            "target": "≥ .90 each",
            "measured": [gate[str(connections)]["ratio"] for connections in CONNECTIONS],
        },
        {
            "what": "DRF authentication and view vs DRF view without, at 8",
            "target": "≥ .50",
            "measured": round(whoami["8"]["requests_per_second"] / plain["8"]["requests_per_second"], 3),
        },
        {
            "what": "p99 of the gate vs the empty view's, at 8",
            "target": "≤ 1.5",
            "measured": round(gate["8"]["p99_milliseconds"] / empty["8"]["p99_milliseconds"], 2),
        },
        {
            "what": "Redis round trips and queries per verified hit",
            "target": "1 and 0",
            "measured": "0 and those pinned in tests/performance",
        },
    ]


def _table(results: dict[str, Any]) -> str:
    lines = [
        "",
        f"{results['mode']}",
        f"{results['web']}; {results['database']}; load by {results['load']}; {results['machine']}",
        "",
        f"{'requests a second, ratio to the first row, p99':42}"
        + "".join(f"{f'{connections} connections':>26}" for connections in CONNECTIONS),
    ]
    for row in results["http"]:
        cells = (row["connections"][str(connections)] for connections in CONNECTIONS)
        lines.append(
            f"{row['name']:42}"
            + "".join(
                f"{c['requests_per_second']:10.0f} {c['ratio']:6.3f} {c['p99_milliseconds']:6.1f}ms"
                for c in cells
            )
        )
    lines += ["", f"{'processor time, ratio to the first row':42}{'µs':>10}"]
    lines += [f"{row['name']:42}{row['microseconds']:10.2f} {row['ratio']:6.3f}" for row in results["cpu"]]
    lines += ["", f"{'targets (for compiled records, which do not exist yet)':60}{'target':>12}  measured"]
    lines += [f"{row['what']:60}{row['target']:>12}  {row['measured']}" for row in results["targets"]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
