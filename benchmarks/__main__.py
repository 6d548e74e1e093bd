"""`make bench`: storage-admin beside a peer, in one run, as ratios.

`make bench ARGS="--tables 1 1000"` leaves out the largest. Absolute times depend on the machine; ratios hardly do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from benchmarks import measure, peers
from benchmarks.server import Server

LIMITS = {1: 0.8, 1_000: 0.15, 10_000: 0.03}
HELP_LIMIT = 1.5
MEMORY_LIMIT_MB = 250
ROUND_TRIP_LIMIT = 2

Row = tuple[str, str, str, str, str, str]


def check_rows(server: Server, folder: Path, tables: int, runs: int) -> list[Row]:
    """`check` on N current tables against `alembic check` on the same tables."""
    url = server.database(f"bench_{tables}")
    peers.create_tables(server.dsn(f"bench_{tables}"), tables)
    ini = peers.alembic_project(folder / str(tables), url, tables)
    ours = ["storage-admin", "check", "--db-url", url]
    theirs = ["alembic", "-c", str(ini), "check"]
    pairs = measure.paired(ours, theirs, runs)
    limit = LIMITS.get(tables)
    rows = [ratio_row(f"check, {tables:,} tables", "alembic check", pairs, limit)]
    memory = max(mine.peak_mb for mine, _ in pairs)
    rival = max(other.peak_mb for _, other in pairs)
    verdict = "" if tables < max(LIMITS) else ok(memory <= MEMORY_LIMIT_MB)
    bound = "" if tables < max(LIMITS) else f"{MEMORY_LIMIT_MB} MB"
    rows.append(
        (
            f"  its peak memory, {tables:,} tables",
            "alembic check",
            f"{memory:.0f} MB",
            f"{rival:.0f} MB",
            bound,
            verdict,
        )
    )
    return rows


def help_row(folder: Path, runs: int) -> Row:
    """`--help` against the smallest click program."""
    pairs = measure.paired(["storage-admin", "--help"], [sys.executable, str(peers.bare_click(folder)), "--help"], runs)
    return ratio_row("--help", "a bare click program", pairs, HELP_LIMIT)


def round_trip_row(server: Server) -> Row:
    """The library's no-op check of one table on an open connection, counted on the wire."""
    url = server.database("bench_trips")
    peers.create_tables(server.dsn("bench_trips"), 1)
    trips = measure.round_trips(server, url)
    return (
        "no-op check of one table",
        "-",
        f"{trips} round trips",
        "",
        f"{ROUND_TRIP_LIMIT}",
        ok(trips <= ROUND_TRIP_LIMIT),
    )


def ratio_row(what: str, peer: str, pairs: list[tuple[measure.Run, measure.Run]], limit: float | None) -> Row:
    """Medians and the median of the ratios, pair by pair."""
    mine = statistics.median(run.seconds for run, _ in pairs)
    theirs = statistics.median(run.seconds for _, run in pairs)
    ratio = statistics.median(a.seconds / b.seconds for a, b in pairs)
    bound = f"{limit}" if limit is not None else ""
    return (
        what,
        peer,
        f"{mine:.3f} s",
        f"{theirs:.3f} s = ratio {ratio:.3f}",
        bound,
        ok(limit is None or ratio <= limit),
    )


def ok(holds: bool) -> str:
    """A verdict."""
    return "ok" if holds else "MISSED"


def main() -> int:
    """Run all benchmarks and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, nargs="+", default=sorted(LIMITS))
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs; a third of them for 10,000 tables")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name, Server() as server:
        folder = Path(name)
        rows.append(help_row(folder, options.runs * 4))
        rows.append(round_trip_row(server))
        for tables in options.tables:
            runs = options.runs * 2 if tables == 1 else options.runs if tables <= min(2_000, max(LIMITS)) else 2
            rows.extend(check_rows(server, folder, tables, runs))
    print(tabulate(rows, ("What", "Against", "storage-admin", "Peer", "At most", "")))
    return 1 if any(row[-1] == "MISSED" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
