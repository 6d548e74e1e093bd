"""Real databases for every test: one server of each sort per worker, one fresh database per test; SQLite files."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pymysql
import pytest
import sqlalchemy as sa
from psycopg import sql
from pymysql.constants import CLIENT
from tabulate import tabulate

from storage_admin import MySQLStorage, PostgresStorage, SingleStoreStorage, SqliteStorage, StorageAdmin
from storage_admin.catalog import load_catalog
from storage_admin.dialects import DIALECTS, MYSQL, SINGLESTORE
from storage_admin.schema import ColumnType
from tests.mariadb import MariaServer, rows as mariadb_rows
from tests.openai_server import openai_server
from tests.servers import Server, pg_ctl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage_admin.catalog import Catalog
    from storage_admin.dialects import Dialect

os.environ["PG_CTL"] = pg_ctl()
os.environ["AGNO_TELEMETRY"] = os.environ["AGNO_MONITOR"] = "false"
for name in ("STORAGE_ADMIN_DB_URL", "DATABASE_URL", "STORAGE_ADMIN_VERSIONS", "NO_COLOR", "FORCE_COLOR"):
    os.environ.pop(name, None)
# Thousands of processes are started, and none is to compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

numbers = count()
STORAGES: dict[str, type[PostgresStorage | MySQLStorage | SqliteStorage]] = {
    "postgresql": PostgresStorage,
    "sqlite": SqliteStorage,
    "mysql": MySQLStorage,
}


@dataclass(frozen=True)
class Database:
    """A fresh database. ``run`` sends SQL past the code under test and returns the rows of the last statement."""

    dialect: Dialect
    url: str
    dsn: str
    engines: list[sa.Engine] = field(default_factory=list, repr=False)
    made: type[PostgresStorage | MySQLStorage | SqliteStorage] | None = None

    def run(self, statements: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        if self.dialect.name == "sqlite":
            with closing(sqlite3.connect(self.dsn, isolation_level=None)) as connection:
                if parameters is None and ";" in statements:
                    connection.executescript(statements)
                    return []
                return connection.execute(statements, parameters or ()).fetchall()
        if self.dialect.name == "mysql":
            url = sa.make_url(self.url)
            facts: dict[str, Any] = {"host": url.host, "port": url.port, "user": url.username, "database": url.database}
            flags = CLIENT.MULTI_STATEMENTS
            with pymysql.connect(**facts, autocommit=True, client_flag=flags, charset="utf8mb4") as mysql:
                return mariadb_rows(mysql, statements, parameters)
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statements, parameters)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def admin(self, **options: Any) -> StorageAdmin:
        return StorageAdmin(self.url, **options)

    def storage(self, table: str = "sessions", **options: Any) -> PostgresStorage | MySQLStorage | SqliteStorage:
        """A storage with an engine of its own, unless one is given."""
        if self.made is SingleStoreStorage and options.get("auto_upgrade_schema"):
            self._by_hand(table)
        storage = (self.made or STORAGES[self.dialect.name])(table, **({"db_url": self.url} | options))
        self.engines.append(storage.db_engine)
        return storage

    def _by_hand(self, table: str) -> None:
        """Make a table for all kinds, as its owner does where no storage adds a column."""
        owner = MySQLStorage(table, db_url=self.url)
        for kind in owner._catalog.kinds:
            owner.upgrade_schema(kind)
        owner.db_engine.dispose()

    def engine(self) -> sa.Engine:
        """An engine as an application makes it."""
        drivers = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite"}
        scheme, _, rest = self.url.partition(":")
        engine = sa.create_engine(f"{drivers[scheme]}:{rest}")
        self.engines.append(engine)
        return engine

    def close(self) -> None:
        """Give back the connections of all engines."""
        for engine in self.engines:
            engine.dispose()

    def table(self, name: str) -> str:
        """How a table is written that a release made in its default schema."""
        return f"ai.{name}" if self.dialect.has_schemas else name


@pytest.fixture(scope="session")
def postgresql_proc() -> Iterator[Server]:
    """The server of this worker. One of ours, and no plugin's, since those know no PostgreSQL older than 14."""
    settings = ("log_line_prefix = '%d|'", "log_min_error_statement = panic", "max_locks_per_transaction = 256")
    for_doctor = ("wal_level = logical", "max_prepared_transactions = 4")
    with Server(*settings, *for_doctor) as server:
        yield server


@pytest.fixture
def postgres(postgresql_proc: Server) -> Iterator[Database]:
    server = postgresql_proc
    name = f"test_{next(numbers)}"
    dsn = f"host={server.host} port={server.port} user={server.user} dbname="
    with psycopg.connect(f"{dsn}postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = f"postgresql://{server.user}@{server.host}:{server.port}/{name}"
        database = Database(DIALECTS["postgresql"], url, dsn + name)
        yield database
        database.close()
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "sessions.db"
    path.touch()
    database = Database(DIALECTS["sqlite"], f"sqlite:///{path}", str(path))
    yield database
    database.close()


@pytest.fixture(scope="session")
def mariadb_proc() -> Iterator[MariaServer]:
    with MariaServer() as server:
        yield server


@pytest.fixture
def mariadb(mariadb_proc: MariaServer) -> Iterator[Database]:
    """A database of a server that has no other one: what Agno calls a schema is a database there, beside the first."""
    name = f"test_{next(numbers)}"
    mariadb_proc.clear()
    mariadb_proc.run(f"CREATE DATABASE {name}")
    database = Database(DIALECTS["mysql"], mariadb_proc.url(name), mariadb_proc.url(name))
    yield database
    database.close()
    mariadb_proc.clear()


@pytest.fixture
def singlestore(mariadb: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The storage of SingleStore on a MariaDB, which takes its statements, but no TEXT as a key."""
    types = {**SINGLESTORE.types, ColumnType.STRING: MYSQL.types[ColumnType.STRING]}
    monkeypatch.setattr(SingleStoreStorage, "dialect", msgspec.structs.replace(SINGLESTORE, types=types))
    return replace(mariadb, made=SingleStoreStorage)


@pytest.fixture(params=["postgres", "sqlite", "mariadb"])
def database(request: pytest.FixtureRequest) -> Database:
    fixture: Database = request.getfixturevalue(request.param)
    if fixture.dialect.has_schemas:
        fixture.run("CREATE SCHEMA IF NOT EXISTS ai")
    return fixture


@pytest.fixture(scope="session")
def openai() -> Iterator[str]:
    """The base URL of a server that speaks as OpenAI's does."""
    with openai_server() as url:
        yield url


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the faults in the numbers of a release, not of a day")
    parser.addoption("--matrix", action="store_true", help="print the continuity matrix at the end")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("--matrix"):
        return
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    lines = sorted(tuple(v) for report in reports for name, v in report.user_properties if name == "matrix")
    headers = (
        "Database",
        "Table made by",
        "Opened as",
        "Mode",
        "storage-admin",
        "Agno 1.8.4, auto_upgrade_schema=True",
    )
    terminalreporter.write_line(tabulate(lines, headers))
    for column, who in ((4, "storage-admin"), (5, "Agno 1.8.4")):
        lossy = sum("LOST" in line[column] for line in lines)
        terminalreporter.write_line(f"{who}: {lossy} of {len(lines)} conversations lost something")


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()
