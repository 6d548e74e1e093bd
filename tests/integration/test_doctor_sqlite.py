"""What `doctor` sees of a SQLite file: each rule with what provokes it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from storage_admin import Finding, StorageAdmin
from storage_admin.doctor import Level, sqlite as module
from tests.conftest import Database
from tests.integration.tables import old_agents

NOBODY = 65534


def found(database: Database, rule: str) -> list[Finding]:
    """The findings of a rule that are worth a word."""
    findings = database.admin().doctor(long=0).findings
    assert rule in {finding.rule for finding in findings}, [f.seen for f in findings]
    return [f for f in findings if f.rule == rule and f.level is not Level.OK]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def current_agents(database: Database) -> str:
    database.admin().upgrade(["sessions=agent"])
    return "sessions"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_diagnosis_changes_no_byte(sqlite: Database, tmp_path: Path, mode: str) -> None:
    old_agents(sqlite)
    sqlite.run(f"PRAGMA journal_mode = {mode}")
    before = contents(tmp_path)
    assert sqlite.admin().doctor().level is Level.WARNING
    after = contents(tmp_path)
    # A reader of a write-ahead log makes its files where there are none; they hold nothing.
    assert before.items() <= after.items()
    assert not after.get("sessions.db-wal")
    assert set(after) - set(before) <= {"sessions.db-wal", "sessions.db-shm"}


def test_a_file_is_no_line_and_one_table_is_not_all_of_them(sqlite: Database) -> None:
    current_agents(sqlite)
    seen = {finding.seen for finding in sqlite.admin().doctor().findings}
    assert {"the file can be read", "the session table is current"} <= seen
    sqlite.admin().upgrade(["more=agent"])
    assert "all 2 session tables are current" in {finding.seen for finding in sqlite.admin().doctor().findings}


def test_the_log_of_others_is_kept_as_it_is(sqlite: Database, tmp_path: Path) -> None:
    current_agents(sqlite)
    sqlite.run("PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(sqlite.dsn, isolation_level=None)) as application:
        application.execute("INSERT INTO sessions (session_id) VALUES ('s')")
        log = (tmp_path / "sessions.db-wal").read_bytes()
        assert log
        [note] = found(sqlite, "journal")
        assert (note.level, "write-ahead log" in note.seen) == (Level.NOTE, True)
        assert (tmp_path / "sessions.db-wal").read_bytes() == log


def test_a_file_that_is_not_there_is_a_finding_and_is_not_made(tmp_path: Path) -> None:
    diagnosis = StorageAdmin(f"sqlite:///{tmp_path / 'none.db'}").doctor()
    assert [(f.rule, f.level) for f in diagnosis.findings] == [("connection", Level.PROBLEM)]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but a long enough text\n" * 100)
    diagnosis = StorageAdmin(f"sqlite:///{tmp_path / 'text.db'}").doctor()
    assert "is not a SQLite database" in diagnosis.findings[0].seen
    assert diagnosis.level is Level.PROBLEM


AS_NOBODY = f"""
import os, sys
from sqlalchemy import make_url
import storage_admin.doctor.examination
from storage_admin.doctor.sqlite import without_connection
if os.getuid() == 0:  # who may write everywhere
    os.setuid({NOBODY})
[finding] = without_connection(make_url(sys.argv[1]))
print(finding.rule, finding.level.value, finding.seen)
"""


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_file_or_a_folder_that_cannot_be_written_is_a_problem(sqlite: Database, tmp_path: Path, place: str) -> None:
    current_agents(sqlite)
    Path(sqlite.dsn).chmod(0o444 if place == "file" else 0o666)
    tmp_path.chmod(0o777 if place == "file" else 0o555)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)  # pytest's folders are for their owner alone
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, sqlite.url], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"file problem the {place}"), done.stderr


def test_a_writer_at_this_moment_is_warned_of(sqlite: Database) -> None:
    current_agents(sqlite)
    with closing(sqlite3.connect(sqlite.dsn, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        [finding] = found(sqlite, "other-writers")
        assert finding.level is Level.WARNING
    assert found(sqlite, "other-writers") == []


def test_the_journal_mode_is_said(sqlite: Database) -> None:
    current_agents(sqlite)
    [note] = found(sqlite, "journal")
    assert (note.level, "a writer waits for all readers" in note.seen) == (Level.NOTE, True)
    sqlite.run("PRAGMA journal_mode = WAL")
    assert found(sqlite, "journal") == []


def test_a_damaged_file_is_a_problem(sqlite: Database) -> None:
    current_agents(sqlite)
    sqlite.run(
        "INSERT INTO sessions (session_id, user_id) SELECT 's' || value, 'u' || value FROM "
        "(WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 2000) "
        "SELECT value FROM n)"
    )
    [(root, size)] = sqlite.run(
        "SELECT m.rootpage, p.page_size FROM sqlite_master m, pragma_page_size p WHERE m.name = 'ix_sessions_user_id'"
    )
    with Path(sqlite.dsn).open("r+b") as file:
        file.seek((root - 1) * size + size // 2)
        file.write(b"\xff" * (size // 2))
    [finding] = found(sqlite, "integrity")
    assert finding.level is Level.PROBLEM


def test_a_large_file_is_not_read_to_its_end(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    current_agents(sqlite)
    monkeypatch.setattr(module, "SMALL_BYTES", 1000)
    [note] = found(sqlite, "not-looked-at")
    assert note.objects == ("integrity",)


def test_the_same_index_twice_is_a_note_and_a_similar_one_is_not(sqlite: Database) -> None:
    current_agents(sqlite)
    sqlite.run('CREATE INDEX "again :x" ON sessions (user_id); CREATE INDEX down ON sessions (user_id DESC)')
    sqlite.run(
        "CREATE INDEX nocase ON sessions (user_id COLLATE NOCASE); CREATE INDEX expr ON sessions (lower(user_id))"
    )
    sqlite.run("CREATE INDEX expr2 ON sessions (upper(user_id))")
    sqlite.run("CREATE INDEX part ON sessions (user_id) WHERE user_id > 'a'")
    [finding] = found(sqlite, "duplicate-indexes")
    assert (finding.level, set(finding.objects)) == (Level.NOTE, {"sessions", "again :x", "ix_sessions_user_id"})
    sqlite.run(finding.advice)
    assert found(sqlite, "duplicate-indexes") == []


def test_triggers_are_noted(sqlite: Database) -> None:
    current_agents(sqlite)
    sqlite.run("CREATE TABLE log (at INTEGER)")
    sqlite.run("CREATE TRIGGER stamp AFTER UPDATE ON sessions BEGIN INSERT INTO log VALUES (1); END")
    [finding] = found(sqlite, "triggers")
    assert (finding.level, finding.seen) == (Level.NOTE, "sessions has triggers: stamp")


def test_an_old_sqlite_library_is_said(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    current_agents(sqlite)
    assert found(sqlite, "version") == []
    for version, level in (((3, 30, 0), Level.WARNING), ((3, 22, 0), Level.PROBLEM)):
        monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
        assert [f.level for f in found(sqlite, "version")] == [level]
