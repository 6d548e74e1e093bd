"""Sessions out into a file and back: ours, and what comes with the database, of the same columns, in the same run."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from benchmarks import measure
from storage_admin import StorageAdmin
from storage_admin.sessions.archive import manifest_path
from tests.servers import psql

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.server import Server

TABLE = ("session_id", "user_id", "memory", "session_data", "extra_data", "created_at", "updated_at")
COLUMNS = ", ".join([*TABLE, "agent_id", "team_session_id", "agent_data"])
# About 2 KB of JSON that compresses as conversations do, which is little.
FILL = f"""
INSERT INTO ai.sessions ({COLUMNS})
SELECT 's' || n, 'u' || n %% 1000,
       jsonb_build_object('runs', (SELECT jsonb_agg(jsonb_build_object('role', 'user', 'n', k, 'content',
           md5((n * k)::text) || ' "quoted"' || E'\\n' || md5((n + k)::text) || ' Grüße ' || md5((n - k)::text)
           ))
           FROM generate_series(1, 12) k)),
       '{{"session_name": "x", "session_state": {{"a": 1}}}}', 'null', n, n + 5, 'a' || n %% 10, NULL,
       '{{"model": {{"id": "gpt"}}}}'
FROM generate_series(1, %s) n
"""
EXPORT_LIMIT, IMPORT_LIMIT, MEMORY_LIMIT_MB = 0.6, 0.5, 150


class Race(NamedTuple):
    """One way, ours and theirs. ``speed`` is ours as a part of theirs."""

    what: str
    peer: str
    ours: measure.Run
    theirs: measure.Run
    limit: float

    @property
    def speed(self) -> float:
        """1 is as fast as the peer."""
        return self.theirs.seconds / self.ours.seconds


def on_postgres(server: Server, folder: Path, sessions: int, rounds: int = 2) -> list[Race]:
    """Against psql with a bare COPY, the better of some rounds each."""
    url, dsn = server.database("bench_transfer"), server.dsn("bench_transfer")
    StorageAdmin(url).upgrade(["ai.sessions=agent"])
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(FILL, (sessions,))
        connection.execute("VACUUM (ANALYZE) ai.sessions")
    file, bare = folder / "out.jsonl", folder / "out.copy"
    base = [psql(), "-X", "-q", "-v", "ON_ERROR_STOP=1", dsn, "-c"]
    ours = ["storage-admin", "sessions", "export", "--force", "--to", str(file), "--db-url", url]
    out = _best(rounds, ours, [*base, f"COPY (SELECT {COLUMNS} FROM ai.sessions) TO STDOUT"])
    subprocess.run([*base, f"\\copy (SELECT {COLUMNS} FROM ai.sessions) TO '{bare}'"], check=True)

    def empty() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("TRUNCATE ai.sessions")
            connection.execute("CHECKPOINT")

    load = ["storage-admin", "sessions", "import", str(file), "--db-url", url]
    into = _best(rounds, load, [*base, f"\\copy ai.sessions ({COLUMNS}) FROM '{bare}'"], empty)
    size = f"{sessions:,} sessions, PostgreSQL"
    return [
        Race(f"export {size}", "COPY (SELECT ...) TO STDOUT", *out, EXPORT_LIMIT),
        Race(f"import {size}", "COPY ... FROM, same indexes", *into, IMPORT_LIMIT),
    ]


def on_sqlite(folder: Path, sessions: int, rounds: int = 2) -> list[Race]:
    """Against the sqlite3 program: .dump, and .import of CSV into a table with the same indexes."""
    path, file, csv = folder / "bench.db", folder / "sqlite.jsonl", folder / "out.csv"
    path.touch()
    url = f"sqlite:///{path}"
    subprocess.run(
        [measure.beside_python("storage-admin"), "sessions", "import", str(folder / "out.jsonl"), "--db-url", url],
        check=True,
        capture_output=True,
    )
    ours = ["storage-admin", "sessions", "export", "--to", str(file), "--db-url", url]
    # Into a new file, as ours: what goes nowhere costs nothing to write, and what goes over an old file costs little.
    dump = folder / "dump.sql"

    def without_files() -> None:
        for old in (file, manifest_path(file), dump):
            old.unlink(missing_ok=True)

    theirs = ["/usr/bin/env", "sqlite3", str(path), f".output {dump}", ".dump sessions"]
    out = _best(rounds, ours, theirs, without_files)
    measure.run(ours)
    select = f"SELECT {COLUMNS} FROM sessions"
    subprocess.run(["sqlite3", "-csv", str(path), f".once {csv}", select], check=True)
    name, columns = "sessions", [part.strip() for part in COLUMNS.split(",")]
    with closing(sqlite3.connect(path)) as connection:
        order = [row[1] for row in connection.execute("SELECT * FROM pragma_table_info('sessions')")]
    assert order == columns, order

    def empty() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"DELETE FROM {name}")
            connection.execute("VACUUM")

    load = ["storage-admin", "sessions", "import", str(file), "--db-url", url]
    into = _best(rounds, load, ["/usr/bin/env", "sqlite3", "-csv", str(path), f".import {csv} {name}"], empty)
    size = f"{sessions:,} sessions, SQLite"
    return [
        Race(f"export {size}", "sqlite3 .dump", *out, IMPORT_LIMIT),
        Race(f"import {size}", "sqlite3 .import of CSV", *into, IMPORT_LIMIT),
    ]


def _best(
    rounds: int, ours: list[str], theirs: list[str], before: Callable[[], None] = lambda: None
) -> tuple[measure.Run, measure.Run]:
    """The fastest of some runs in turn: what others do on the machine only ever slows down."""
    runs: tuple[list[measure.Run], list[measure.Run]] = ([], [])
    for _ in range(rounds):
        for found, command in zip(runs, (ours, theirs), strict=True):
            before()
            found.append(measure.run(command))
    first, second = (min(found, key=lambda run: run.seconds) for found in runs)
    return first, second
