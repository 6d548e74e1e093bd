"""A prune beside writers that revive what is old: nobody waits, what is used stays, a kill -9 loses nothing.

How long a writer waits has two measures. Its own clock has the disk and the processor in it too: four writers alone,
with no prune, waited up to 145 ms on a disk that others share. What it waits for a lock says the server.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from storage_admin import Status
from storage_admin.sessions import Old, Sessions
from tests.faults.clients import ROOT, until
from tests.faults.conftest import FULL
from tests.integration.tables import old_agents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database
    from tests.faults.conftest import Scale
    from tests.servers import Server

OLD = 1_000_000  # seconds since 1970; of the younger half it is twice that
# Each writer takes ids at random, as users come back, and tells which ones, and its longest wait.
WRITER = """
import random, select, sys, time, psycopg
dsn, seed, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chosen = random.Random(seed)
with psycopg.connect(dsn, autocommit=True) as connection:
    print("ready", flush=True)
    longest, revived = 0.0, []
    while not select.select([0], [], [], 0.002)[0]:
        name = f"s{chosen.randrange(rows)}"
        began = time.perf_counter()
        done = connection.execute(
            "UPDATE ai.sessions SET updated_at = 3000000, user_id = 'back' WHERE session_id = %s", (name,)
        ).rowcount
        longest = max(longest, time.perf_counter() - began)
        revived += [name] * done
print(longest * 1000, *revived)
"""
PRUNER = """
import sys
from storage_admin.sessions import Old, Sessions
print("ready", flush=True)
done = Sessions(sys.argv[1]).prune(Old(1500000), archive=sys.argv[2], told=lambda n, *_: print(n, flush=True))
print("end", done.sessions, done.left, flush=True)
"""


def table_of(database: Database, rows: int) -> None:
    old_agents(database)
    database.admin().upgrade()
    database.run(
        "INSERT INTO ai.sessions (session_id, user_id, agent_id, memory, created_at, updated_at) "
        "SELECT 's' || n, 'u' || n % 1000, 'a1', jsonb_build_object('runs', (SELECT string_agg(md5((n + i)::text), '') "
        f"FROM generate_series(1, 50) i)), n, {OLD} * (1 + n % 2) FROM generate_series(0, {rows - 1}) n; "
        "ANALYZE ai.sessions"
    )


class Writers:
    """Four of them, and at the end the longest wait of all (ms), and who was revived."""

    longest = 0.0
    revived: frozenset[str] = frozenset()


def writer(database: Database, seed: int, rows: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITER, database.dsn, str(seed), str(rows)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextmanager
def writers(database: Database, rows: int) -> Iterator[Writers]:
    found = Writers()
    running = [writer(database, seed, rows) for seed in range(4)]
    try:
        for each in running:
            assert each.stdout
            assert each.stdout.readline() == "ready\n"
        yield found
    finally:
        told = [each.communicate("stop\n", timeout=60)[0].split() for each in running]
    found.longest = max(float(longest) for longest, *_ in told)
    found.revived = frozenset(name for _, *names in told for name in names)


def tell_waits(database: Database) -> None:
    """Let the server write down every wait for a lock of more than 5 ms."""
    for setting in ("log_lock_waits = on", "deadlock_timeout = '5ms'", "lc_messages = 'C'"):
        name = database.run("SELECT quote_ident(current_database())")[0][0]
        database.run(f"ALTER DATABASE {name} SET {setting}")


def waited_for_locks(database: Database, server: Server) -> float:
    """The longest wait that was written down, in ms. A table is made longer under a lock too, by its writers alone."""
    name = database.run("SELECT current_database()")[0][0]
    waits = re.findall(rf"^{name}\|.* acquired \w+ on (?!extension).* after ([\d.]+) ms", server.log(), re.MULTILINE)
    return max(map(float, waits), default=0.0)


def test_the_server_tells_how_long_a_lock_was_waited_for(postgres: Database, postgresql_proc: Server) -> None:
    table_of(postgres, 1)
    tell_waits(postgres)
    with psycopg.connect(postgres.dsn) as holder:
        holder.execute("DELETE FROM ai.sessions")
        waiting = writer(postgres, 1, 1)
        started = rf"{holder.info.dbname}\|.* still waiting "
        until(lambda: re.search(started, postgresql_proc.log()), "the server tells of a wait", 30)
        holder.rollback()
    waiting.communicate("stop\n", timeout=30)
    assert waited_for_locks(postgres, postgresql_proc) >= 5


def lines_of(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in path.read_text().splitlines():
        row = json.loads(text)
        if "session_id" in row:
            assert row["session_id"] not in found
            found[row["session_id"]] = text
    return found


def test_beside_its_writers_nothing_that_is_used_goes_and_what_goes_is_in_the_archive(
    postgres: Database, postgresql_proc: Server, scale: Scale, tmp_path: Path
) -> None:
    rows = scale.pruned
    table_of(postgres, rows)
    tell_waits(postgres)
    sessions = Sessions(postgres.url)
    sessions.export(tmp_path / "before.jsonl")
    before = lines_of(tmp_path / "before.jsonl")
    archive = tmp_path / "old.jsonl"
    with writers(postgres, rows) as found:
        pruner = start(postgres, archive)
        assert pruner.stdout
        until(lambda: int(next(iter(pruner.stdout or ()))) > rows // 4, "half of it is removed", 600)
        pruner.kill()
        pruner.communicate()
        again = start(postgres, archive)
        out, _ = again.communicate(timeout=900)
        assert again.returncode == 0, out
    for_locks = waited_for_locks(postgres, postgresql_proc)
    assert out.splitlines()[-1].split()[2] == "0"
    sessions.export(tmp_path / "after.jsonl")
    after, gone = lines_of(tmp_path / "after.jsonl"), lines_of(archive)
    assert not after.keys() & gone.keys()
    assert after.keys() | gone.keys() == before.keys()
    assert not found.revived & gone.keys()
    assert all(before[name] == text for name, text in gone.items())
    assert all(before[name] == text for name, text in after.items() if name not in found.revived)
    old = {f"s{number}" for number in range(0, rows, 2)}
    assert gone.keys() == old - found.revived
    longest = f"longest wait {found.longest:.1f} ms, for a lock {for_locks:.1f} ms"
    assert for_locks <= 50, longest
    assert found.longest <= 50 + (scale.slack if scale is not FULL else 0), f"{longest}; try TMPDIR=/dev/shm"
    assert sessions.load(archive).sessions == len(gone)
    assert [counted.sessions for counted in sessions.count()] == [rows]
    assert postgres.admin().check().status is Status.CURRENT
    print(f"{len(gone):,} removed, {len(found.revived):,} revived, {longest}")  # noqa: T201


def start(database: Database, archive: Path) -> Any:
    pruner = subprocess.Popen(
        [sys.executable, "-c", PRUNER, database.url, str(archive)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert pruner.stdout
    assert pruner.stdout.readline() == "ready\n"
    return pruner


def test_a_cut_connection_ends_in_the_truth(postgres: Database, proxy: Any, tmp_path: Path) -> None:
    table_of(postgres, 300)
    held: set[str] = set()
    for how in ("cut_before", "cut_after"):
        archive = tmp_path / f"{how}.jsonl"
        getattr(proxy, how)(b"COMMIT")
        Sessions(proxy.url(postgres.url)).prune(Old(1_500_000), archive=archive, max_rows=70)
        gone = lines_of(archive)
        held = {row[0] for row in postgres.run("SELECT session_id FROM ai.sessions")}
        assert not held & gone.keys()
    everything = set(lines_of(tmp_path / "cut_before.jsonl")) | set(lines_of(tmp_path / "cut_after.jsonl"))
    assert held | everything == {f"s{number}" for number in range(300)}
