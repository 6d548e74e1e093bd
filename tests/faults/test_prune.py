"""A prune beside writers that revive what is old: nobody waits, what is used stays, a kill -9 loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from storage_admin import Status
from storage_admin.sessions import Old, Sessions
from tests.faults.clients import ROOT, until
from tests.integration.tables import old_agents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database
    from tests.faults.conftest import Scale

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


@contextmanager
def writers(database: Database, rows: int) -> Iterator[Writers]:
    found = Writers()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, database.dsn, str(seed), str(rows)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(4)
    ]
    try:
        for writer in running:
            assert writer.stdout
            assert writer.stdout.readline() == "ready\n"
        yield found
    finally:
        told = [writer.communicate("stop\n", timeout=60)[0].split() for writer in running]
    found.longest = max(float(longest) for longest, *_ in told)
    found.revived = frozenset(name for _, *names in told for name in names)


def lines_of(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in path.read_text().splitlines():
        row = json.loads(text)
        if "session_id" in row:
            assert row["session_id"] not in found
            found[row["session_id"]] = text
    return found


def test_beside_its_writers_nothing_that_is_used_goes_and_what_goes_is_in_the_archive(
    postgres: Database, scale: Scale, tmp_path: Path
) -> None:
    rows = scale.pruned
    table_of(postgres, rows)
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
    assert found.longest <= 50 + scale.slack, found.longest
    assert sessions.load(archive).sessions == len(gone)
    assert [counted.sessions for counted in sessions.count()] == [rows]
    assert postgres.admin().check().status is Status.CURRENT
    print(f"{len(gone):,} removed, {len(found.revived):,} revived, longest wait {found.longest:.1f} ms")  # noqa: T201


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
