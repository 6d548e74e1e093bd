"""An export or import that is killed, cut, or runs out of space: no half file, and no session lost or there twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from storage_admin.errors import StorageAdminError
from storage_admin.sessions import Sessions
from tests.faults.clients import PATIENCE, ROOT, command
from tests.faults.disk import small_disk
from tests.sessions.tables import agents, stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database
    from tests.faults.conftest import Scale
    from tests.faults.proxy import Proxy

SESSIONS = 20_000
RUNNER = """
import sys
from storage_admin.cli import run
from storage_admin import admin, sessions
from storage_admin.sessions import exporting, importing
import psycopg, sqlalchemy.dialects.postgresql.psycopg
print("ready", flush=True)
sys.stdin.readline()
sys.exit(run(sys.argv[1:]))
"""


def started(*arguments: str) -> subprocess.Popen[str]:
    """A command that begins at once, since all of its modules are loaded."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", RUNNER, *arguments], text=True, cwd=ROOT, **pipes)  # type: ignore[call-overload]
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    found: subprocess.Popen[str] = process
    return found


def many(database: Database, sessions: int = SESSIONS) -> str:
    """A table with so many sessions of about 300 bytes."""
    table = agents(database)
    if database.dialect.name == "postgresql":
        numbers = f"generate_series(1, {sessions}) n"
        made = "jsonb_build_object('runs', repeat('x', 200), 'n', n), 's' || n"
    else:
        numbers = (
            f"(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {sessions}) SELECT n FROM c)"
        )
        made = "json_object('runs', hex(zeroblob(100)), 'n', n), 's' || n"
    database.run(f"INSERT INTO {table} (memory, session_id) SELECT {made} FROM {numbers}")
    return table


@pytest.fixture(params=["postgres", "sqlite"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    if found.dialect.has_schemas:
        found.run("CREATE SCHEMA ai")
    return found


def test_an_export_that_is_killed_leaves_no_file_and_the_next_one_is_whole(
    database: Database, tmp_path: Path, scale: Scale
) -> None:
    many(database)
    path = tmp_path / "out.jsonl"
    whole = started("sessions", "export", "--to", str(path), "--db-url", database.url)
    began = time.monotonic()
    whole.communicate(timeout=PATIENCE)
    duration = time.monotonic() - began
    assert whole.returncode == 0
    expected = path.read_bytes()
    killed = 0
    for number in range(scale.kills):
        path.unlink()
        process = started("sessions", "export", "--to", str(path), "--db-url", database.url)
        time.sleep(duration * (number + random.random()) / scale.kills)
        killed += process.poll() is None
        process.kill()
        process.communicate()
        if path.exists():  # it had come to its end
            assert sorted(path.read_bytes().splitlines()) == sorted(expected.splitlines())
        assert command("sessions", "export", "--force", "--to", str(path), "--db-url", database.url).code == 0
        assert sorted(path.read_bytes().splitlines()) == sorted(expected.splitlines())
        left = {file.name for file in tmp_path.glob("*out*")}
        assert left == {"out.jsonl", "out.jsonl.manifest.json"}
    assert killed >= scale.kills // 2


def test_ctrl_c_leaves_no_file(database: Database, tmp_path: Path) -> None:
    many(database)
    path = tmp_path / "out.jsonl"
    process = started("sessions", "export", "--to", str(path), "--db-url", database.url)
    while not list(tmp_path.glob(".out.jsonl.part")) and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, path.exists()) in [(130, False), (0, True)], err
    assert not list(tmp_path.glob(".out*"))
    assert "Traceback" not in err


def test_ctrl_c_ends_a_copy_in_words_and_the_next_one_finishes_it(
    sqlite: Database, postgres: Database, tmp_path: Path
) -> None:
    many(sqlite)
    line = [
        "sessions",
        "copy",
        "--db-url",
        sqlite.url,
        "--to",
        postgres.url,
        "--rejects",
        str(tmp_path / "aside.jsonl"),
    ]
    process = started(*line)
    written = "SELECT to_regclass('ai.sessions') IS NOT NULL"
    while postgres.run(written) == [(False,)] and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 130), err
    assert "Traceback" not in err
    assert Sessions(sqlite.url).copy(postgres.url).tables[0].same == SESSIONS
    assert list(tmp_path.glob("*aside*")) == []


def test_an_import_that_is_killed_is_finished_by_the_next_one(database: Database, tmp_path: Path, scale: Scale) -> None:
    table = many(database)
    before = stored(database, table)
    path = tmp_path / "out.jsonl"
    Sessions(database.url).export(path)
    database.run(f"DELETE FROM {table}")
    whole = started("sessions", "restore", str(path), "--db-url", database.url)
    began = time.monotonic()
    whole.communicate(timeout=PATIENCE)
    duration = time.monotonic() - began
    assert stored(database, table) == before
    killed = 0
    for number in range(scale.kills):
        database.run(f"DELETE FROM {table}")
        process = started("sessions", "restore", str(path), "--db-url", database.url)
        time.sleep(duration * (number + random.random()) / scale.kills)
        killed += process.poll() is None
        process.kill()
        process.communicate()
        done = command("sessions", "restore", str(path), "-o", "json", "--db-url", database.url)
        assert done.code == 0, done
        [row] = done.json["tables"]
        assert row["inserted"] + row["unchanged"] == SESSIONS
        assert stored(database, table) == before
    assert killed >= scale.kills // 2


@pytest.fixture
def full() -> Iterator[Path]:
    with small_disk(512) as folder:
        yield folder


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.csv", "out.parquet"])
def test_a_full_disk_leaves_no_file(database: Database, full: Path, name: str) -> None:
    table = many(database)
    if name.endswith(("gz", "parquet")):  # what compresses well would fit
        noise = "md5(random()::text) || md5(random()::text)" if database.dialect.has_schemas else "hex(randomblob(100))"
        database.run(f"UPDATE {table} SET user_id = {noise}")
    ended = command("sessions", "export", "--to", str(full / name), "--db-url", database.url)
    assert ended.code == 1, ended
    assert "No space left on device" in ended.err
    assert "Traceback" not in ended.err
    assert not list(full.iterdir())


def test_a_reader_who_goes_away_ends_an_export_and_its_exit_code_says_so(database: Database) -> None:
    many(database)
    export = f"{sys.executable} -m storage_admin sessions export --to - --db-url '{database.url}'"
    line = f"({export}; echo it ended with $? >&2) | head -n 3"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=ROOT, check=False, timeout=PATIENCE)
    assert len(done.stdout.splitlines()) == 3
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines() == [
        "Error: Standard output could not be written to its end: whoever read it has gone.",
        "it ended with 1",
    ]


def test_a_line_that_is_cut_in_an_export(postgres: Database, proxy: Proxy, tmp_path: Path) -> None:
    postgres.run("CREATE SCHEMA ai")
    many(postgres)
    proxy.cut_after(b"COPY")
    ended = command("sessions", "export", "--to", str(tmp_path / "out.jsonl"), "--db-url", proxy.url(postgres.url))
    assert (ended.code, proxy.fired) == (1, 1), ended
    assert "Traceback" not in ended.err
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("statement", [b"COPY", b"COMMIT"])
def test_a_line_that_is_cut_in_an_import(
    postgres: Database, proxy: Proxy, tmp_path: Path, moment: str, statement: bytes
) -> None:
    postgres.run("CREATE SCHEMA ai")
    table = many(postgres)
    before = stored(postgres, table)
    Sessions(postgres.url).export(tmp_path / "out.jsonl")
    postgres.run(f"DELETE FROM {table} WHERE session_id LIKE '%1'")
    (proxy.cut_before if moment == "before" else proxy.cut_after)(statement)
    ended = command("sessions", "import", str(tmp_path / "out.jsonl"), "--db-url", proxy.url(postgres.url))
    assert (ended.code, proxy.fired) == (1, 1), ended
    assert "Traceback" not in ended.err
    assert command("sessions", "import", str(tmp_path / "out.jsonl"), "--db-url", postgres.url).code == 0
    assert stored(postgres, table) == before


def test_two_exports_to_one_file_do_not_mix(sqlite: Database, tmp_path: Path) -> None:
    agents(sqlite, "s1")
    with (tmp_path / ".out.jsonl.part").open("wb") as file:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        ended = command("sessions", "export", "--to", str(tmp_path / "out.jsonl"), "--db-url", sqlite.url)
    assert ended.code == 1
    assert "Somebody else is writing" in ended.err


def test_a_copy_that_is_killed_or_cut_is_finished_by_the_next_one(
    sqlite: Database, postgres: Database, proxy: Proxy, tmp_path: Path, scale: Scale
) -> None:
    many(sqlite)
    target = ["--to", postgres.url, "--rejects", str(tmp_path / "aside.jsonl")]
    whole = started("sessions", "copy", "--db-url", sqlite.url, *target)
    began = time.monotonic()
    out, err = whole.communicate(timeout=PATIENCE)
    duration = time.monotonic() - began
    assert whole.returncode == 0, out + err
    expected, killed = stored(postgres, "ai.sessions"), 0
    for number in range(scale.kills):
        postgres.run("DROP SCHEMA ai CASCADE")
        process = started("sessions", "copy", "--db-url", sqlite.url, *target)
        time.sleep(duration * (number + random.random()) / scale.kills)
        killed += process.poll() is None
        process.kill()
        process.communicate()
        assert Sessions(sqlite.url).copy(postgres.url).tables[0].equal
        assert stored(postgres, "ai.sessions") == expected
    assert killed >= scale.kills // 2
    postgres.run("DELETE FROM ai.sessions")
    proxy.cut_after(b"COMMIT")
    with pytest.raises(StorageAdminError):
        Sessions(sqlite.url).copy(proxy.url(postgres.url))
    assert Sessions(sqlite.url).copy(proxy.url(postgres.url)).tables[0].same == SESSIONS
    assert stored(postgres, "ai.sessions") == expected
