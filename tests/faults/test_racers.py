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
from tests.faults.clients import racers
from tests.integration.tables import old_agents

if TYPE_CHECKING:
    from tests.faults.conftest import Scale

ROADS = ["postgres", "pgbouncer", "sqlite rollback journal", "sqlite WAL"]


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
        database.run("DROP SCHEMA IF EXISTS ai CASCADE")
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
            if database.dialect.has_schemas:
                assert database.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
