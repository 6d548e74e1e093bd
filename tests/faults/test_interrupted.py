"""Ctrl-C and SIGTERM: what was done is told, what was in work is as it was, and the exit code says which it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from storage_admin import Status
from storage_admin.cli.schemas import DOCUMENTS
from tests.faults.clients import PATIENCE, ROOT, Ended, until
from tests.integration.tables import old_agents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database

WAITS = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'ai.b'::regclass"
DONE = "SELECT count(*) = 1 FROM pg_attribute WHERE attrelid = 'ai.a'::regclass AND attname = 'team_session_id'"


@contextmanager
def started(*arguments: str, cwd: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "storage_admin", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def ended(process: subprocess.Popen[str], number: int) -> Ended:
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err
    return Ended(process.returncode, out, err)


@pytest.fixture
def three(postgres: Database) -> Iterator[Database]:
    """Tables a, b and c, of which b is in use."""
    for name in ("a", "b", "c"):
        old_agents(postgres, name)
    with psycopg.connect(postgres.dsn, application_name="report") as connection:
        connection.execute("SELECT * FROM ai.b")
        yield postgres


def interrupted(database: Database, number: int, *arguments: str, cwd: Path = ROOT) -> Ended:
    """An upgrade that has done a and waits for b."""
    with started("upgrade", *arguments, cwd=cwd) as process:
        until(lambda: database.run(DONE) == database.run(WAITS) == [(True,)], "b is waited for")
        return ended(process, number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_was_done_is_told_and_the_table_in_work_is_as_it_was(three: Database, number: int, code: int) -> None:
    found = interrupted(three, number, "-o", "json", "--log-format", "json", "--db-url", three.url)
    assert found.code == code, found
    assert set(found.json) == set(DOCUMENTS["upgrade"].__struct_fields__)
    assert found.json["changed"] is True
    tables = {table["name"]: table for table in found.json["tables"]}
    assert {name: (t["result"], t["exit_code"]) for name, t in tables.items()} == {
        "a": ("upgraded", 0),
        "b": ("failed", code),
        "c": ("failed", code),
    }
    assert "rolled back" in tables["b"]["error"]
    assert "not begun" in tables["c"]["error"]
    *_, last = [json.loads(line) for line in found.err.splitlines()]
    assert (last["event"], last["error"], last["exit_code"]) == ("error", "UpgradeInterrupted", code)
    assert {p.table.name: p.status for p in three.admin().check().plans} == {
        "a": Status.CURRENT,
        "b": Status.OUTDATED,
        "c": Status.OUTDATED,
    }


def test_a_person_reads_it_too_and_several_lines_of_work_end_soon(three: Database) -> None:
    found = interrupted(three, signal.SIGINT, "--jobs", "2", "ai.a", "ai.b", "--db-url", three.url)
    assert found.code == 130, found
    assert [line.split()[0] for line in found.out.splitlines()[2:]] == ["ai.a", "ai.b"]
    assert "2 tables: 1 upgraded, 1 interrupted" in found.err
    assert "Error: Interrupted: 1 of 2 tables was upgraded" in found.err
    assert "ai.b was interrupted; it was rolled back, and is as it was" in found.err


def test_an_index_build_that_is_cut_off_is_said_to_be_left(postgres: Database) -> None:
    table = old_agents(postgres)
    postgres.run(
        f"INSERT INTO {table} (session_id, user_id) SELECT n, repeat('x', 1000) FROM generate_series(1, 9000) n; "
        f"ANALYZE {table}"
    )
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        with started("upgrade", "--db-url", postgres.url) as process:
            waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'virtualxid'"
            until(lambda: postgres.run(waits) == [(True,)], "the build waits")
            found = ended(process, signal.SIGTERM)
    assert found.code == 143, found
    assert "the columns are there, and an index is still to be built" in found.err
    assert postgres.admin().upgrade().outcomes[0].changed
    assert postgres.admin().check().status is Status.CURRENT


def test_on_mariadb_what_the_server_has_begun_is_not_said_to_be_undone(mariadb: Database) -> None:
    import pymysql
    import sqlalchemy as sa

    mariadb.run("CREATE SCHEMA IF NOT EXISTS ai")
    table = old_agents(mariadb)
    url = sa.make_url(mariadb.url)
    facts: dict[str, Any] = {"host": url.host, "port": url.port, "user": url.username, "database": url.database}
    with pymysql.connect(**facts) as connection:
        connection.cursor().execute(f"SELECT * FROM {table}")
        with started("upgrade", "--db-url", mariadb.url) as process:
            waits = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata%'"
            until(lambda: mariadb.run(waits) == [(1,)], "the change waits")
            found = ended(process, signal.SIGINT)
    assert found.code == 130, found
    assert "the server may still finish a statement that it has; this says what is there" in found.err


def test_of_several_targets_those_that_were_done_are_told(three: Database, sqlite: Database, tmp_path: Path) -> None:
    sqlite.admin().upgrade(["sessions=agent"], to=4)
    settings = tmp_path / "storage-admin.toml"
    settings.write_text(f"[targets.first]\ndb-url = '{sqlite.url}'\n[targets.second]\ndb-url = '{three.url}'\n")
    found = interrupted(three, signal.SIGINT, "--all-targets", "-o", "json", cwd=tmp_path)
    assert (found.code, found.json["exit_code"]) == (130, 130), found
    targets = {target["target"]: target for target in found.json["targets"]}
    assert {name: target["exit_code"] for name, target in targets.items()} == {"first": 0, "second": 130}
    assert targets["second"]["result"]["tables"][0]["result"] == "upgraded"


def test_a_command_that_changes_nothing_is_interrupted_in_one_line(sqlite: Database) -> None:
    for number, code, word in ((signal.SIGINT, 130, "Interrupted."), (signal.SIGTERM, 143, "Terminated.")):
        with started("wait", "no_such=agent", "--log-format", "json", "--db-url", sqlite.url) as process:
            assert process.stderr
            assert json.loads(process.stderr.readline())["event"] == "waiting"
            found = ended(process, number)
        assert found.code == code
        last = json.loads(found.err)
        assert (last["message"], last["event"], last["exit_code"]) == (word, "error", code)
        assert last["error"] in ("KeyboardInterrupt", "Terminated")
