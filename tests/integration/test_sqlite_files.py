"""SQLite as a file: who may write it, its journal, and what a failure leaves."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage_admin import Patience, Status, StorageAdmin, StorageAdminError, UpgradeFailed
from storage_admin.errors import ReadOnlyServer
from tests.conftest import Database
from tests.integration.tables import definition, old_agents

NOBODY = 65534

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users can look into."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def told(action: Callable[[], object]) -> str:
    """What an action ends with, done by a user without rights: root may write everything."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            answer = str(action())
        except StorageAdminError as error:
            answer = f"{type(error).__name__}: {error}"
        except BaseException as error:  # noqa: BLE001 - the parent shows it
            answer = repr(error)
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    return answer


def old_file(folder: Path, *, wal: bool = False) -> StorageAdmin:
    path = folder / "sessions.db"
    path.touch()
    admin = StorageAdmin(f"sqlite:///{path}")
    admin.upgrade(["sessions=agent"], to=4)
    if wal:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = wal")
    path.chmod(0o444)
    return admin


def test_a_file_that_may_not_be_written_is_read_and_refused_before_anything_is_sent(shared: Path) -> None:
    admin = old_file(shared)
    assert told(lambda: admin.check().status) == "Status.OUTDATED"
    assert "ReadOnlyServer" in (answer := told(admin.upgrade))
    assert f"Give this user the right to write {shared / 'sessions.db'}" in answer


def test_a_folder_that_may_not_be_written_is_named(shared: Path) -> None:
    admin = old_file(shared)
    (shared / "sessions.db").chmod(0o666)
    shared.chmod(0o555)
    assert "its folder may not be written" in told(admin.upgrade)


def test_a_current_file_that_may_not_be_written_needs_no_upgrade(shared: Path) -> None:
    admin = old_file(shared)
    (shared / "sessions.db").chmod(0o644)
    admin.upgrade()
    (shared / "sessions.db").chmod(0o444)
    assert told(lambda: [outcome.changed for outcome in admin.upgrade().outcomes]) == "[False]"


def test_a_file_in_wal_mode_is_read_where_nothing_may_be_written(shared: Path) -> None:
    admin = old_file(shared, wal=True)
    shared.chmod(0o555)
    assert told(lambda: admin.check().status) == "Status.OUTDATED"


def test_a_folder_that_may_not_be_entered_is_an_error_of_ours(shared: Path) -> None:
    admin = old_file(shared)
    shared.chmod(0o700)
    if os.getuid() != 0:
        shared.chmod(0o000)
    assert "CannotConnect" in (answer := told(admin.check))
    assert "Check that you may read and write the file and its folder" in answer


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_reader_holds_an_upgrade_up_in_a_rollback_journal_and_not_in_wal_mode(sqlite: Database, mode: str) -> None:
    old_agents(sqlite)
    sqlite.run(f"PRAGMA journal_mode = {mode}")
    with closing(sqlite3.connect(sqlite.dsn, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM sessions").fetchall()
        if mode == "wal":
            sqlite.admin().upgrade()
        else:
            with pytest.raises(UpgradeFailed, match="database is locked.*nothing was changed") as busy:
                sqlite.admin().upgrade(patience=Patience(wait_seconds=0.2))
            assert busy.value.exit_code == 5
            reader.execute("ROLLBACK")
            sqlite.admin().upgrade()
    assert sqlite.admin().check().status is Status.CURRENT


def test_what_was_added_before_a_statement_failed_is_rolled_back(sqlite: Database) -> None:
    old_agents(sqlite)
    before = definition(sqlite)
    engine = sqlite.engine()

    @sa.event.listens_for(engine, "connect")
    def forbid_indexes(connection: sqlite3.Connection, _: object) -> None:
        connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_CREATE_INDEX else sqlite3.SQLITE_OK
        )

    with pytest.raises(UpgradeFailed, match="CREATE INDEX.*not authorized. The table was left as it was"):
        StorageAdmin(engine).upgrade()
    assert definition(sqlite) == before
    sqlite.admin().upgrade()
    assert sqlite.admin().check().status is Status.CURRENT


@pytest.mark.parametrize("form", ["sqlite:///{}?mode=ro", "sqlite:///file:{}?mode=ro&uri=true"])
def test_a_url_that_says_read_only_is_obeyed(sqlite: Database, form: str) -> None:
    old_agents(sqlite)
    admin = StorageAdmin(form.format(sqlite.dsn))
    assert admin.check().status is Status.OUTDATED
    with pytest.raises(ReadOnlyServer, match="its URL says that it is only read"):
        admin.upgrade()
    StorageAdmin(form.format(sqlite.dsn).replace("mode=ro", "mode=rw")).upgrade()
    assert admin.check().status is Status.CURRENT
