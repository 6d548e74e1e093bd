"""Many processes start at once: none fails, and one of them upgrades."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from storage_admin import Status
from storage_admin.history import REVISIONS
from tests.conftest import Database
from tests.faults.clients import command, racers
from tests.faults.pgbouncer import pgbouncer
from tests.faults.tables import NEW_COLUMN, indexes, large_table, outdated_again, sound
from tests.integration.tables import old_agents

if TYPE_CHECKING:
    from tests.faults.conftest import Scale
    from tests.servers import Server

ROADS = ["postgres", "pgbouncer", "mariadb", "sqlite rollback journal", "sqlite WAL"]


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest) -> tuple[Database, str, str]:
    """A database, the URL that the racers take to it, and the journal of a SQLite file."""
    if request.param == "pgbouncer":
        url: str = request.getfixturevalue("through_pgbouncer")
        return request.getfixturevalue("postgres"), url, ""
    database: Database = request.getfixturevalue(request.param.partition(" ")[0])
    return database, database.url, "wal" if request.param.endswith("WAL") else "delete"


def emptied(database: Database, journal: str) -> None:
    if database.dialect.has_schemas:
        database.run(f"DROP SCHEMA IF EXISTS ai{' CASCADE' if database.dialect.name == 'postgresql' else ''}")
        return
    for file in Path(database.dsn).parent.glob(f"{Path(database.dsn).name}*"):
        file.unlink()
    with closing(sqlite3.connect(database.dsn)) as connection:
        assert connection.execute(f"PRAGMA journal_mode = {journal}").fetchone() == (journal,)
        connection.execute("VACUUM")  # writes the header, so that the mode stays


@pytest.mark.parametrize("start", ["an outdated table", "an empty database"])
def test_all_succeed_and_one_upgrade_is_recorded(road: tuple[Database, str, str], start: str, scale: Scale) -> None:
    database, url, journal = road
    table = database.table("sessions")
    with racers(scale.racers, url, f"{table}=agent") as started:
        for _ in range(scale.rounds):
            emptied(database, journal)
            if start == "an outdated table":
                old_agents(database)
            assert sorted(started.race()) == ["0"] * (scale.racers - 1) + ["1"]
            assert database.admin().check().status is Status.CURRENT
            assert database.run(f"SELECT count(*) FROM {database.table(REVISIONS)}") == [(1,)]
            if database.dialect.name == "postgresql":
                assert database.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


@pytest.mark.parametrize("way", ["directly", "through a pool of connections"])
def test_all_succeed_on_a_table_whose_index_is_built_beside_its_writers(
    request: pytest.FixtureRequest, postgres: Database, scale: Scale, way: str
) -> None:
    table = large_table(postgres)
    old_indexes = set(indexes(postgres, table))
    url = postgres.url if way == "directly" else request.getfixturevalue("through_pgbouncer")
    with racers(scale.racers, url) as started:
        for _ in range(scale.rounds):
            outdated_again(postgres, table, old_indexes)
            # Between the columns and the index the lock is free for a moment: another racer may build the index.
            changed = started.race()
            assert set(changed) == {"0", "1"}
            revisions = postgres.admin().history(table)
            assert changed.count("1") == len(revisions) <= 2
            assert revisions[-1].to_version == postgres.admin().catalog.head
            assert len([index for index in indexes(postgres, table) if NEW_COLUMN in index]) == 1
            sound(postgres, table)


def test_a_pool_of_a_single_connection_does_not_hang_and_what_it_left_is_mended(
    postgres: Database, postgresql_proc: Server
) -> None:
    # An index that is built beside writers takes a second connection, which such a pool never gives.
    table = large_table(postgres)
    with pgbouncer(postgresql_proc, pool=1, patience=3) as port:
        url = postgres.url.replace(f":{postgresql_proc.port}/", f":{port}/")
        ended = command("upgrade", "--wait", "2", "--db-url", url)
    current = postgres.admin().check([table]).status is Status.CURRENT
    assert (ended.code == 0) == current, ended
    assert "left as it was" not in ended.err
    assert "nothing was changed" not in ended.err
    postgres.admin().upgrade()
    sound(postgres, table)
