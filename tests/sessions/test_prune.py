"""Old sessions are removed beside their writers, into an archive: none twice, none that is used, none without trace."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from storage_admin import database as database_module
from storage_admin.errors import (
    ArchiveNotWritten,
    BadExport,
    DatabaseBusy,
    ExtraMissing,
    FileExists,
    LockNotObtained,
    NotTheSamePrune,
    UnfinishedArchive,
    UsageError,
)
from storage_admin.locking import Patience
from storage_admin.sessions import Filter, Old, Sessions, pruning
from storage_admin.sessions.growing import GrowingArchive
from storage_admin.sessions.sqlite_lines import SQLiteLines
from tests.conftest import Database
from tests.sessions.tables import agents, insert, read, stored

SOON = Patience(lock_timeout_ms=50, wait_seconds=0.3)
CUT = 1_700_000_010


def twenty(database: Database) -> str:
    """Sessions s00 to s19, the n-th one used at CUT - 10 + n, of users u0 to u3 in turn."""
    table = agents(database, *(f"s{n:02}" for n in range(20)))
    case = "substr(session_id, 2, 2)"
    number = {"sqlite": "integer", "mysql": "signed"}.get(database.dialect.name, "integer")
    mod = f"CAST({case} AS {number}) % 4"
    user = f"concat('u', {mod})" if database.dialect.name != "sqlite" else f"'u' || ({mod})"
    database.run(f"UPDATE {table} SET user_id = {user}")
    return table


def ids(path: Path) -> list[str]:
    return [row["session_id"] for row in read(path.read_bytes()) if "session_id" in row]


def test_rows_that_have_no_primary_key_stay_since_they_cannot_be_told_from_each_other(
    postgres: Database, tmp_path: Path
) -> None:
    table = twenty(postgres)
    postgres.run("ALTER TABLE ai.sessions DROP CONSTRAINT sessions_pkey")
    before = stored(postgres, table)
    with pytest.raises(UsageError, match="ai.sessions has no primary key on session_id to go by"):
        Sessions(postgres.url).prune(Old(CUT), archive=tmp_path / "old.jsonl")
    assert stored(postgres, table) == before
    assert not list(tmp_path.iterdir())


def test_the_statement_of_a_batch_is_written_once_for_batches_of_any_size(
    postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents(postgres, *(f"s{n:03}" for n in range(300)), updated_at=1)
    texts: list[str] = []
    monkeypatch.setattr("storage_admin.sessions.copy_out.tell", texts.append)
    assert Sessions(postgres.url).prune(Old(CUT), archive=tmp_path / "old.jsonl").sessions == 300
    assert len(texts) > 2
    assert len(set(texts)) == 1


def test_what_is_old_is_in_the_archive_and_the_rest_is_as_it_was(database: Database, tmp_path: Path) -> None:
    table = twenty(database)
    before = stored(database, table)
    sessions = Sessions(database.url)
    [candidate] = sessions.prunable(Old(CUT))
    assert (candidate.sessions, candidate.oldest, candidate.newest) == (10, CUT - 10, CUT - 1)
    sessions.export(tmp_path / "all.jsonl")
    told: list[int] = []
    done = sessions.prune(Old(CUT), archive=tmp_path / "old.jsonl", told=lambda count, *_: told.append(count))
    assert (done.sessions, done.left, done.archive) == (10, 0, tmp_path / "old.jsonl")
    assert told[-1] == 10
    assert stored(database, table) == before[10:]
    lines = (tmp_path / "all.jsonl").read_bytes().splitlines()
    kept = (tmp_path / "old.jsonl").read_bytes().splitlines()
    assert kept[0] == lines[0]
    assert sorted(kept[1:-2]) == sorted(lines[1:-2])[:10]
    assert kept[-2:] == [b'{"storage_admin":1,"sessions":10}', b'{"storage_admin":1,"headers":1,"sessions":10}']
    manifest = json.loads((tmp_path / "old.jsonl.manifest.json").read_text())
    assert (manifest["sessions"], manifest["filter"]["before"]) == (10, CUT)
    assert sorted(path.name for path in tmp_path.glob("old*")) == ["old.jsonl", "old.jsonl.manifest.json"]
    assert sessions.prunable(Old(CUT)) == ()


def test_a_session_that_is_used_after_it_was_found_stays(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = twenty(database)
    pages = pruning.Pruner._pages

    def pages_and_a_user(self: Any, found: Any) -> Any:
        for page in pages(self, found):
            database.run(f"UPDATE {table} SET updated_at = {CUT + 100} WHERE session_id IN ('s03', 's07')")
            yield page

    monkeypatch.setattr(pruning.Pruner, "_pages", pages_and_a_user)
    done = Sessions(database.url).prune(Old(CUT), archive=tmp_path / "old.jsonl")
    assert (done.sessions, done.left) == (8, 0)
    assert {"s03", "s07"}.isdisjoint(ids(tmp_path / "old.jsonl"))
    used = database.run(f"SELECT session_id FROM {table} WHERE updated_at IS NOT NULL ORDER BY 1")
    assert [row[0] for row in used] == ["s03", "s07"]


@pytest.mark.parametrize("name", ["postgres", "mariadb"])
def test_a_session_that_somebody_holds_is_passed_over_and_counted(
    request: pytest.FixtureRequest, name: str, tmp_path: Path
) -> None:
    database: Database = request.getfixturevalue(name)
    table = twenty(database)
    with database.engine().connect() as holder:
        holder.execute(sa.text(f"SELECT * FROM {table} WHERE session_id = 's05' FOR UPDATE"))
        done = Sessions(database.url).prune(Old(CUT), archive=tmp_path / "old.jsonl", patience=SOON)
        assert (done.sessions, done.left) == (9, 1)
        assert "s05" not in ids(tmp_path / "old.jsonl")
    done = Sessions(database.url).prune(Old(CUT), archive=tmp_path / "rest.jsonl")
    assert ids(tmp_path / "rest.jsonl") == ["s05"]


def test_the_newest_of_each_user_can_be_kept(database: Database, tmp_path: Path) -> None:
    twenty(database)
    old = Old(CUT + 100, keep_last=2)
    [candidate] = Sessions(database.url).prunable(old)
    assert candidate.sessions == 12
    done = Sessions(database.url).prune(old, archive=tmp_path / "old.jsonl")
    assert (done.sessions, done.left) == (12, 0)
    assert sorted(ids(tmp_path / "old.jsonl")) == [f"s{n:02}" for n in range(12)]


def test_a_filter_a_limit_and_no_archive(database: Database, tmp_path: Path) -> None:
    table = twenty(database)
    sessions = Sessions(database.url)
    done = sessions.prune(Old(CUT, Filter(user="u1")), archive=None)
    assert (done.sessions, done.left, done.archive) == (3, 0, None)
    done = sessions.prune(Old(CUT), archive=None, max_rows=4)
    assert (done.sessions, done.left) == (4, 3)
    assert sessions.prune(Old(0), archive=tmp_path / "none.jsonl").archive is None
    assert list(tmp_path.glob("none*")) == []
    assert len(stored(database, table)) == 13


def test_what_was_interrupted_goes_on_where_it_was_with_nothing_twice(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = twenty(database)
    whole = stored(database, table)

    def stop(done: int, *_: object) -> None:
        if done >= 5:
            raise KeyboardInterrupt

    sessions, archive = Sessions(database.url), tmp_path / "old.jsonl"
    monkeypatch.setattr(pruning, "FIRST", 5)
    monkeypatch.setattr(pruning, "LARGEST", 5)
    with pytest.raises(KeyboardInterrupt):
        sessions.prune(Old(CUT), archive=archive, told=stop)
    assert not archive.exists()
    partial = tmp_path / "old.jsonl.partial"
    with partial.open("ab") as file:
        file.write(b'{"session_id":"half')
    done = sessions.prune(Old(CUT), archive=archive)
    assert done.sessions == 5
    assert sorted(ids(archive)) == [f"s{n:02}" for n in range(10)]
    assert stored(database, table) == whole[10:]
    assert json.loads(Path(f"{archive}.manifest.json").read_text())["sessions"] == 10
    assert not partial.exists()
    assert sessions.load(archive).sessions == 10
    assert stored(database, table) == whole


def test_a_transaction_that_was_archived_and_not_committed_is_taken_back(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twenty(database)
    append = GrowingArchive.append

    def die(self: Any, *arguments: Any) -> None:
        append(self, *arguments)
        raise KeyboardInterrupt  # before the rows are deleted

    sessions, archive = Sessions(database.url), tmp_path / "old.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(GrowingArchive, "append", die)
        with pytest.raises(KeyboardInterrupt):
            sessions.prune(Old(CUT), archive=archive)
    assert len(ids(Path(f"{archive}.partial"))) == 10
    assert sessions.prune(Old(CUT - 5), archive=archive).sessions == 5
    assert sorted(ids(archive)) == [f"s{n:02}" for n in range(5)]


def test_a_disk_that_takes_nothing_more_leaves_the_rows_in_their_table(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = twenty(database)
    before = stored(database, table)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ArchiveNotWritten, match="No space left"):
        Sessions(database.url).prune(Old(CUT), archive=tmp_path / "old.jsonl")
    assert stored(database, table) == before
    assert ids(tmp_path / "old.jsonl.partial") == []


def test_an_archive_that_is_there_is_neither_replaced_nor_used(database: Database, tmp_path: Path) -> None:
    twenty(database)
    sessions, archive = Sessions(database.url), tmp_path / "old.jsonl"
    archive.write_text("mine")
    with pytest.raises(FileExists, match=r"Choose another name \(--archive .*/old-\d{6}\.jsonl\).*nothing was removed"):
        sessions.prune(Old(CUT), archive=archive)
    with pytest.raises(UsageError, match="JSONL"):
        sessions.prune(Old(CUT), archive=tmp_path / "old.csv")
    assert archive.read_text() == "mine"


def test_several_tables_are_in_one_archive_compressed_if_its_name_says_so(database: Database, tmp_path: Path) -> None:
    import gzip

    twenty(database)
    agents(database, "t1", "t2", name="others", updated_at=5)
    done = Sessions(database.url).prune(Old(CUT), archive=tmp_path / "old.jsonl.gz")
    assert {table.table.name: table.sessions for table in done.tables} == {"sessions": 10, "others": 2}
    rows = read(gzip.decompress((tmp_path / "old.jsonl.gz").read_bytes()))
    assert [row["sessions"] for row in rows[:-1] if "sessions" in row] == [2, 10]


def test_row_level_security_hides_nothing_from_the_numbers(postgres: Database, tmp_path: Path) -> None:
    """A role that sees only some rows prunes those, and the archive has what it saw."""
    table = twenty(postgres)
    postgres.run(
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON {table} USING (user_id = 'u1'); "
        "DROP ROLE IF EXISTS pruner; CREATE ROLE pruner LOGIN; GRANT USAGE ON SCHEMA ai TO pruner; "
        f"GRANT ALL ON {table} TO pruner"
    )
    url = postgres.url.replace("postgres@", "pruner@")
    try:
        done = Sessions(url).prune(Old(CUT), archive=tmp_path / "old.jsonl")
        assert (done.sessions, sorted(ids(tmp_path / "old.jsonl"))) == (3, ["s01", "s05", "s09"])
        assert len(stored(postgres, table)) == 17
    finally:
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            connection.execute("DROP OWNED BY pruner CASCADE; DROP ROLE pruner")


def test_an_empty_id_and_odd_values_are_archived_too(database: Database, tmp_path: Path) -> None:
    table = agents(database, "a", 'it\'s "%s" \\ ☃')
    insert(database, table, {"session_id": "", "created_at": None, "updated_at": None})
    done = Sessions(database.url).prune(Old(CUT), archive=tmp_path / "old.jsonl")
    assert done.sessions == 3
    assert sorted(ids(tmp_path / "old.jsonl")) == ["", "a", 'it\'s "%s" \\ ☃']


def test_an_archive_of_several_tables_can_be_restored_and_once_more(database: Database, tmp_path: Path) -> None:
    table = twenty(database)
    agents(database, "t1", "t2", name="others", updated_at=5)
    whole, others = stored(database, table), stored(database, database.table("others"))
    sessions, archive = Sessions(database.url), tmp_path / "old.jsonl"
    sessions.prune(Old(CUT), archive=archive)
    assert sessions.load(archive).sessions == 12
    assert (stored(database, table), stored(database, database.table("others"))) == (whole, others)
    assert [each.unchanged for each in sessions.load(archive).tables] == [2, 10]


def test_what_another_prune_left_is_not_gone_on_with(database: Database, tmp_path: Path) -> None:
    table = twenty(database)
    sessions, archive = Sessions(database.url), tmp_path / "old.jsonl"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sessions.prune(Old(CUT), archive=archive, told=stop)
    partial = tmp_path / "old.jsonl.partial"
    before, rows = partial.read_bytes(), stored(database, table)
    other = tmp_path / "other.db"
    other.touch()
    sessions.copy(f"sqlite:///{other}", rejects=tmp_path / "aside.jsonl")
    for another, old in ((Sessions(f"sqlite:///{other}"), Old(CUT)), (sessions, Old(CUT, Filter(user="u1")))):
        with pytest.raises(NotTheSamePrune, match="the only copy"):
            another.prune(old, archive=archive)
    assert partial.read_bytes() == before
    assert stored(database, table) == rows
    sessions.prune(Old(CUT), archive=archive)
    assert len(ids(archive)) == 10
    assert sorted(path.name for path in tmp_path.glob("old*")) == ["old.jsonl", "old.jsonl.manifest.json"]


@pytest.mark.parametrize("damage", [b"garbage\n", b'{"session_id": "of no table"}\n', b'{"storage_admin": 1}\n'])
def test_what_was_left_is_read_before_anything_is_deleted(sqlite: Database, tmp_path: Path, damage: bytes) -> None:
    table = twenty(sqlite)
    sessions, archive = Sessions(sqlite.url), tmp_path / "old.jsonl"
    with pytest.raises(KeyboardInterrupt):
        sessions.prune(Old(CUT), archive=archive, told=interrupt)
    left = stored(sqlite, table)
    (tmp_path / "old.jsonl.partial").write_bytes(damage)
    with pytest.raises(BadExport):
        sessions.prune(Old(CUT - 1), archive=archive)
    assert stored(sqlite, table) == left


def test_nothing_is_removed_where_its_archive_could_not_be_compressed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = twenty(database)
    before = stored(database, table)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    for path in (tmp_path / "x.jsonl.zst", tmp_path / "X.JSONL.ZST"):
        with pytest.raises(ExtraMissing, match=r"pip install 'storage-admin\[zstd\]'"):
            Sessions(database.url).prune(Old(CUT), archive=path)
        with pytest.raises(ExtraMissing):
            Sessions(database.url).prunable(Old(CUT), archive=path)
    assert stored(database, table) == before
    assert not [path for path in tmp_path.iterdir() if "jsonl" in path.name.lower()]


def test_what_was_cut_off_is_no_file_to_restore_and_says_what_finishes_it(sqlite: Database, tmp_path: Path) -> None:
    twenty(sqlite)
    sessions, archive = Sessions(sqlite.url), tmp_path / "old.jsonl.zst"
    with pytest.raises(KeyboardInterrupt):
        sessions.prune(Old(CUT), archive=archive, told=interrupt)
    left = stored(sqlite, "sessions")
    for named in (archive, tmp_path / "old.jsonl.zst.partial"):
        with pytest.raises(UnfinishedArchive, match=f"--older-than AGE --archive {archive}") as caught:
            sessions.load(named)
        assert "the only copy of what it removed" in str(caught.value)
    assert stored(sqlite, "sessions") == left
    (tmp_path / "mine.partial").write_text('{"session_id":"s1"}')
    with pytest.raises(UsageError, match="the name of an export says its format"):
        sessions.load(tmp_path / "mine.partial", "sessions=agent")


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_was_interrupted_after_its_end_is_in_the_archive(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, sessions = twenty(database), Sessions(database.url)

    def sent(connection: Any, statement: str) -> Any:
        result = send(connection, statement)
        if statement == "COMMIT":
            raise KeyboardInterrupt
        return result

    send = database_module.send
    monkeypatch.setattr(database_module, "send", sent)
    with pytest.raises(KeyboardInterrupt):
        sessions.prune(Old(CUT), archive=tmp_path / "old.jsonl")
    monkeypatch.undo()
    assert len(stored(database, table)) == 10
    assert len(ids(tmp_path / "old.jsonl.partial")) == 10
    assert sessions.prune(Old(CUT), archive=tmp_path / "old.jsonl").sessions == 0
    assert len(ids(tmp_path / "old.jsonl")) == 10


@contextmanager
def held(database: Database, how: str = "EXCLUSIVE") -> Iterator[None]:
    """A file that somebody else has locked."""
    with closing(sqlite3.connect(database.dsn, isolation_level=None, check_same_thread=False)) as other:
        other.execute(f"BEGIN {how}")
        other.execute("SELECT count(*) FROM sessions").fetchall()
        yield


def impatient(database: Database) -> sa.Engine:
    """Whose connections wait hardly at all within one attempt."""
    return sa.create_engine(database.url, connect_args={"timeout": 0.05})


def test_a_file_that_is_locked_while_lines_are_read_is_waited_for(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twenty(sqlite)
    query, holding = SQLiteLines.query, ExitStack()

    def locked(self: Any, condition: Any) -> Any:  # just before the driver is asked, past SQLAlchemy
        holding.enter_context(held(sqlite))
        return query(self, condition)

    monkeypatch.setattr(SQLiteLines, "query", locked)
    sessions = Sessions(impatient(sqlite))
    with holding, pytest.raises(LockNotObtained, match="database is locked; 0 sessions were removed before"):
        sessions.prune(Old(CUT), archive=tmp_path / "old.jsonl", patience=SOON)
    assert list(tmp_path.glob("old*")) == []
    with holding, pytest.raises(DatabaseBusy, match="database is locked"):
        sessions.export(tmp_path / "all.jsonl", snapshot=False)
    monkeypatch.setattr(SQLiteLines, "query", query)
    assert sessions.prune(Old(CUT), archive=tmp_path / "old.jsonl").sessions == 10
    assert len(ids(tmp_path / "old.jsonl")) == 10


def test_a_reader_that_keeps_a_transaction_from_its_end_lets_nothing_go(sqlite: Database, tmp_path: Path) -> None:
    table = twenty(sqlite)
    before, sessions = stored(sqlite, table), Sessions(impatient(sqlite))
    with held(sqlite, "DEFERRED"), pytest.raises(LockNotObtained, match="0 sessions were removed before"):
        sessions.prune(Old(CUT), archive=tmp_path / "old.jsonl", patience=SOON)
    assert stored(sqlite, table) == before
    assert list(tmp_path.glob("old*")) == []


def test_a_file_that_is_locked_when_a_prune_begins_is_waited_for_too(sqlite: Database, tmp_path: Path) -> None:
    twenty(sqlite)
    holding = ExitStack()
    holding.enter_context(held(sqlite))
    release = threading.Timer(0.3, holding.close)
    sessions = Sessions(impatient(sqlite))
    with pytest.raises(DatabaseBusy):
        sessions.prune(Old(CUT), archive=tmp_path / "old.jsonl", patience=Patience(wait_seconds=0))
    release.start()
    assert sessions.prune(Old(CUT), archive=tmp_path / "old.jsonl").sessions == 10


def test_waiting_for_others_makes_no_batch_smaller(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    twenty(sqlite)
    holding, held_for = ExitStack(), list[float]()
    monkeypatch.setattr(pruning.Pruner, "_adapt", lambda _, seconds, rows: held_for.append(seconds / rows))
    with Sessions(sqlite.url)._opened(None, writable=True) as (connection, [table]):
        pruner = pruning.Pruner(connection, Old(CUT), None, Patience())
        holding.enter_context(held(sqlite, "IMMEDIATE"))
        threading.Timer(0.3, holding.close).start()
        assert pruner.prune(table).sessions == 10
    assert max(held_for) < 0.3 / 10
