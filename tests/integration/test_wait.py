"""What `wait` waits for, on real databases, some of which are not there yet."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from storage_admin import Status, StorageAdmin, Survey
from storage_admin.catalog import Catalog
from storage_admin.errors import CannotConnect, NoSuchFile, NotATable, NotCurrent
from tests.conftest import Database
from tests.integration.tables import old_agents


class Waiting:
    """A `wait` in a thread. ``told`` is what it said; ``said`` waits for it to say the next thing."""

    def __init__(self, admin: StorageAdmin, *tables: str) -> None:
        self.told: list[str] = []
        self.result: Survey | None = None
        self._said = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(admin, tables or None))
        self._thread.start()

    def _run(self, admin: StorageAdmin, tables: tuple[str, ...] | None) -> None:
        self.result = admin.wait(tables, timeout=30, interval=0.05, told=self._tell)

    def _tell(self, waited: str) -> None:
        self.told.append(waited)
        self._said.release()

    def said(self) -> str:
        assert self._said.acquire(timeout=20)
        return self.told[-1]

    def ended(self) -> Survey:
        self._thread.join(timeout=30)
        assert self.result is not None
        return self.result


@contextmanager
def waiting(admin: StorageAdmin, *tables: str) -> Iterator[Waiting]:
    thread = Waiting(admin, *tables)
    try:
        yield thread
    finally:
        thread._thread.join(timeout=40)


def test_nothing_is_waited_for_where_all_is_current(database: Database) -> None:
    database.admin().upgrade([f"{database.table('sessions')}=agent"])
    told: list[str] = []
    assert database.admin().wait(timeout=0, told=told.append).status is Status.CURRENT
    assert told == []


def test_it_ends_when_another_process_has_upgraded_the_tables(database: Database) -> None:
    table = old_agents(database)
    with waiting(database.admin(), table) as wait:
        assert wait.said() == f"{table} is outdated (4 of 10)"
        database.admin().upgrade()
        assert wait.ended().status is Status.CURRENT
    assert len(wait.told) == 1


def test_a_database_a_schema_and_a_table_that_are_not_there_yet_are_waited_for(postgres: Database) -> None:
    name = postgres.url.rpartition("/")[2] + "_later"
    later = Database(postgres.dialect, postgres.url + "_later", postgres.dsn + "_later")
    try:
        with waiting(later.admin(), "ai.sessions") as wait:
            assert "does not exist" in wait.said()
            postgres.run(f"CREATE DATABASE {name}")
            assert "There is no table ai.sessions" in wait.said()
            later.admin().upgrade(["ai.sessions=agent"])
            assert wait.ended().status is Status.CURRENT
    finally:
        postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        postgres.run(f"DROP DATABASE IF EXISTS {name}")


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "later.db"
    url = f"sqlite:///{file}"
    with waiting(StorageAdmin(url)) as wait:
        assert "There is no file" in wait.said()
        StorageAdmin(url, create=True).upgrade(["sessions=agent"])
        assert wait.ended().status is Status.CURRENT


def test_without_names_a_table_must_be_found(database: Database) -> None:
    with waiting(database.admin()) as wait:
        assert "No session tables" in wait.said()
        database.admin().upgrade([f"{database.table('sessions')}=agent"])
        assert len(wait.ended().plans) == 1


def test_when_the_time_is_over_the_state_of_the_tables_is_the_exit_code(database: Database) -> None:
    table = old_agents(database)
    with pytest.raises(NotCurrent, match=r"after 0 s of waiting: .* is outdated \(4 of 10\)") as late:
        database.admin().wait(timeout=0)
    assert late.value.exit_code == 2
    with pytest.raises(NotCurrent, match="There is no table") as missing:
        database.admin().wait([table, database.table("absent")], timeout=0)
    assert missing.value.exit_code == 2
    absent = database.table("absent")
    with pytest.raises(NotCurrent) as unmade:
        database.admin().wait([f"{absent}=agent"], timeout=0)
    assert str(unmade.value).endswith(f": {absent} is missing. To create it: storage-admin upgrade {absent}=agent")


def test_a_table_that_no_upgrade_mends_ends_it_at_once_where_that_is_wanted(sqlite: Database, catalog: Catalog) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    sqlite.run(f"UPDATE storage_admin_revisions SET to_version = {catalog.head + 1}")
    with pytest.raises(NotCurrent, match="no waiting will change that") as ahead:
        sqlite.admin().wait(timeout=600, fail_fast=True)
    assert ahead.value.exit_code == 4
    assert str(ahead.value).endswith("Use a newer storage-admin: the one that upgraded it, or a later one.")
    sqlite.run("DROP TABLE storage_admin_revisions; ALTER TABLE sessions RENAME COLUMN created_at TO old")
    sqlite.run("ALTER TABLE sessions ADD COLUMN created_at DATETIME")
    with pytest.raises(NotCurrent, match="created_at is DATETIME") as drifted:
        sqlite.admin().wait(timeout=0.2, interval=0.05)
    assert drifted.value.exit_code == 3
    assert "storage-admin upgrade" not in str(drifted.value)
    assert "Only the owner of a table can mend its drift: docs/upgrade-guide.md has a way" in str(drifted.value)
    sqlite.admin().upgrade(["old=agent"], to=4)
    with pytest.raises(NotCurrent) as both:
        sqlite.admin().wait(timeout=0)
    assert str(both.value).endswith("To upgrade the others: storage-admin upgrade")


def test_a_database_that_is_never_there_is_said_as_it_is(tmp_path: Path, postgres: Database) -> None:
    with pytest.raises(CannotConnect, match="does not exist") as nowhere:
        StorageAdmin(postgres.url + "_never").wait(timeout=0.2, interval=0.05)
    assert nowhere.value.exit_code == 1
    with pytest.raises(NoSuchFile):
        StorageAdmin(f"sqlite:///{tmp_path / 'never.db'}").wait(timeout=0)


def test_what_no_waiting_mends_is_said_at_once(postgres: Database) -> None:
    table = old_agents(postgres)
    postgres.run(f"CREATE VIEW ai.v AS SELECT * FROM {table}")
    with pytest.raises(NotATable):
        postgres.admin().wait(["ai.v"], timeout=600)


def test_a_look_waits_for_nobody(database: Database) -> None:
    table = old_agents(database)
    if database.dialect.name == "mysql":
        url = sa.make_url(database.url)
        with pymysql.connect(host=url.host, port=url.port or 0, user=url.username) as writer, writer.cursor() as cursor:
            cursor.execute(f"LOCK TABLES {table} WRITE")
            with pytest.raises(NotCurrent):
                database.admin().wait([table], timeout=0)
    elif database.dialect.has_schemas:
        with psycopg.connect(database.dsn) as holder:
            holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(NotCurrent):
                database.admin().wait([table], timeout=0)
    else:
        holder_of_file = sqlite3.connect(database.dsn, isolation_level=None)
        holder_of_file.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotCurrent):
            database.admin().wait([table], timeout=0)
        holder_of_file.close()


def test_it_holds_no_connection_between_two_looks(postgres: Database) -> None:
    table = old_agents(postgres)
    with waiting(postgres.admin(), table) as wait:
        wait.said()
        with psycopg.connect(postgres.dsn, autocommit=True) as watcher:
            ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'storage-admin'"
            while watcher.execute(ours).fetchone() != (0,):
                pass
        postgres.admin().upgrade()
        wait.ended()
