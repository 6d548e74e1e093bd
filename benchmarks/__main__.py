"""`make bench`: storage-admin beside a peer, in one run, as ratios.

`make bench ARGS="--tables 1 1000"` leaves out the largest, `ARGS="--only sessions"` all but one part. Absolute times
depend on the machine; ratios hardly do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from benchmarks import administration, measure, peers, sessions, transfer, upgrades
from benchmarks.server import Server

LIMITS = {1: 0.8, 1_000: 0.15, 10_000: 0.03}
HELP_LIMIT = 1.5
IMPORT_LIMIT = 1.25
UPGRADE_LIMIT = 3
MEMORY_LIMIT_MB = 250
ROUND_TRIP_LIMIT = 2
LIST_LIMIT_MS = 50
UNSERVED = ("list --sort updated", "list --contains")  # by no index, which they say

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


def session_rows(server: Server, folder: Path) -> list[Row]:
    """Upserts and reads of sessions of several sizes, against Agno's class and the raw driver."""
    url, dsn = server.database("bench_sessions"), server.dsn("bench_sessions")
    found = sessions.duels("PostgreSQL", sessions.on_postgres(url, dsn))
    found += sessions.duels("SQLite", sessions.on_sqlite(folder))
    return [
        (
            duel.what,
            duel.peer,
            f"{duel.mine * 1000:.3f} ms",
            f"{duel.theirs * 1000:.3f} ms = ratio {duel.ratio:.3f}",
            f"{duel.limit}" if duel.limit is not None else "",
            ok(duel.limit is None or duel.ratio <= duel.limit),
        )
        for duel in found
    ]


def start_rows(server: Server, runs: int) -> list[Row]:
    """Whole processes: the import alone, and the way to the first stored session on a table that is there."""
    url = server.database("bench_start")
    python = [sys.executable, "-c"]
    ours, theirs = (sessions.FIRST_SESSION.format(module=module, url=url) for module in sessions.MODULES)
    measure.run([*python, ours])
    imports = measure.paired(
        [*python, "from storage_admin import PostgresStorage"], [*python, "import sqlalchemy, psycopg"], runs
    )
    return [
        ratio_row("import PostgresStorage", "import sqlalchemy, psycopg", imports, IMPORT_LIMIT),
        ratio_row(
            "process start to first session",
            "Agno 1.8.4",
            measure.paired([*python, ours], [*python, theirs], runs),
            None,
        ),
    ]


def upgrade_rows(server: Server, folder: Path, tables: int) -> list[Row]:
    """`upgrade` of many outdated tables, one and several at a time, against psql with the same statements."""
    rows: list[Row] = []
    for jobs in (1, 3):
        race = upgrades.many_tables(server, folder, tables, jobs)
        ratio = race.ours.seconds / race.psql.seconds
        limit = UPGRADE_LIMIT if jobs > 1 else None
        rows.append(
            (
                f"upgrade --jobs {jobs}, {tables:,} tables, {race.ours.peak_mb:.0f} MB",
                "psql, one transaction a table",
                f"{race.ours.seconds:.1f} s",
                f"{race.psql.seconds:.1f} s = ratio {ratio:.2f}",
                f"{limit}" if limit is not None else "",
                ok(limit is None or ratio <= limit),
            )
        )
    return rows


def transfer_rows(server: Server, folder: Path, count: int) -> list[Row]:
    """Export and import, against what the databases bring. Speeds: a part of the peer's, which is to be large."""
    rows: list[Row] = []
    for race in (*transfer.on_postgres(server, folder, count), *transfer.on_sqlite(folder, count)):
        shown = f"{race.theirs.seconds:.1f} s = {race.speed:.2f} of its speed"
        limits = race.speed >= race.limit and race.ours.peak_mb <= transfer.MEMORY_LIMIT_MB
        mine = f"{race.ours.seconds:.1f} s, {race.ours.peak_mb:.0f} MB"
        bound = f"at least {race.limit}, {transfer.MEMORY_LIMIT_MB} MB"
        rows.append((race.what, race.peer, mine, shown, bound, ok(limits)))
    return rows


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


def command_rows(server: Server, folder: Path, tables: list[int], runs: int) -> list[Row]:
    """The commands, on few tables and on many."""
    rows = [help_row(folder, runs * 4), round_trip_row(server)]
    for count in tables:
        pairs = runs * 2 if count == 1 else runs if count <= min(2_000, max(LIMITS)) else 2
        rows.extend(check_rows(server, folder, count, pairs))
    return rows


def administration_rows(server: Server, rows: int) -> list[Row]:
    """`sessions list` and `show` on a large table: the time of the database alone."""
    url = administration.large_table(server, "administration", rows)
    found: list[Row] = []
    for what, milliseconds in administration.database_times(url):
        limit = None if what in UNSERVED else LIST_LIMIT_MS
        verdict = ok(limit is None or milliseconds <= limit)
        bound = f"{limit} ms" if limit is not None else ""
        found.append((f"sessions {what}, {rows:,} rows", "", f"{milliseconds:.1f} ms", "", bound, verdict))
    return found


def main() -> int:
    """Run all benchmarks and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, nargs="+", default=sorted(LIMITS))
    parts = ("administration", "commands", "sessions", "transfer", "upgrades")
    parser.add_argument("--only", choices=parts, help="one part alone")
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs; a third of them for 10,000 tables")
    parser.add_argument("--rows", type=int, default=1_000_000, help="sessions of a large table")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name, Server() as server:
        folder = Path(name)
        if options.only in (None, "upgrades"):
            rows.extend(upgrade_rows(server, folder, max(options.tables)))
        if options.only in (None, "transfer"):
            rows.extend(transfer_rows(server, folder, options.rows))
        if options.only in (None, "sessions"):
            rows.extend(start_rows(server, options.runs * 2))
            rows.extend(session_rows(server, folder))
        if options.only in (None, "administration"):
            rows.extend(administration_rows(server, options.rows))
        if options.only in (None, "commands"):
            rows.extend(command_rows(server, folder, options.tables, options.runs))
    print(tabulate(rows, ("What", "Against", "storage-admin", "Peer", "At most", "")))
    return 1 if any(row[-1] == "MISSED" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
