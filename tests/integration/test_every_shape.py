"""The promise, for every table that 198 releases of phidata and Agno made and that Agno's own upgrade left behind."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import make_url

from storage_admin import Status
from storage_admin.render import script
from tests.conftest import Database
from tests.integration.tables import logged_statements
from tests.oracle import differences
from tests.servers import psql
from tests.shapes import Shape, evolved_shapes, released_shapes, row

if TYPE_CHECKING:
    from storage_admin.catalog import Catalog

SHAPES = [*released_shapes(), *evolved_shapes()]

# The first tables of workflow_v2 look exactly like those of workflow, so their kind has to be named.
AMBIGUOUS = dict.fromkeys(("PG-V1", "PG-Vu1", "MY-V1", "MY-Vu1"), "workflow_v2")

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.id)


@pytest.fixture
def database(shape: Shape, request: pytest.FixtureRequest) -> Database:
    fixtures = {"postgresql": "postgres", "sqlite": "sqlite", "mysql": "mariadb"}
    found: Database = request.getfixturevalue(fixtures[shape.dialect])
    if found.dialect.has_schemas:
        found.run("CREATE SCHEMA ai")
    found.run(shape.ddl)
    return found


def fill(database: Database, shape: Shape) -> None:
    mark = "%s" if database.dialect.has_schemas else "?"
    for number in range(3):
        values = row(shape, number)
        columns, marks = ", ".join(values), ", ".join([mark] * len(values))
        database.run(f"INSERT INTO {database.table(shape.name)} ({columns}) VALUES ({marks})", tuple(values.values()))


def stored(database: Database, shape: Shape) -> list[tuple[Any, ...]]:
    as_bytes = {
        "postgresql": "{}::text",
        "sqlite": "typeof({0}) || hex(CAST({0} AS BLOB))",
        "mysql": "HEX({})",
    }
    columns = ", ".join(as_bytes[database.dialect.name].format(name) for name, _ in shape.columns)
    return database.run(f"SELECT {columns} FROM {database.table(shape.name)} ORDER BY session_id")


def argument(database: Database, shape: Shape) -> list[str] | None:
    """The table with its kind where that must be said; else whatever is found."""
    kind = AMBIGUOUS.get(shape.id)
    return [f"{database.table(shape.name)}={kind}"] if kind else None


@every_shape
def test_inspect_names_kinds_version_and_release(shape: Shape, database: Database, catalog: Catalog) -> None:
    [plan] = database.admin().inspect(argument(database, shape)).plans
    assert set(plan.kinds) == set(shape.kinds)
    newer_than_agno_1_8_4 = range(11, catalog.head + 1) if 10 in shape.versions else range(0)
    assert plan.version in [*shape.versions, *newer_than_agno_1_8_4]
    assert plan.status is (Status.CURRENT if plan.version == catalog.head else Status.OUTDATED)
    assert not plan.drifts


@every_shape
def test_upgrade_leaves_nothing_to_do_and_every_stored_byte_in_place(
    shape: Shape, database: Database, catalog: Catalog
) -> None:
    fill(database, shape)
    before = stored(database, shape)
    database.admin().upgrade(argument(database, shape))
    assert stored(database, shape) == before
    survey = database.admin().check()
    assert survey.status is Status.CURRENT
    kinds = survey.plans[0].kinds
    assert set(kinds) >= set(shape.kinds)
    schema = "ai" if database.dialect.has_schemas else None
    left = differences(database.url, catalog, kinds, schema, shape.name, catalog.head)
    assert {difference[0] for difference in left} <= {"remove_column", "remove_index"}
    extras = {extra.name if hasattr(extra, "name") else extra.column.name for extra in survey.plans[0].extras}
    assert {difference[-1].name for difference in left} == extras


@every_shape
def test_the_script_of_plan_sql_gives_the_same_table(shape: Shape, database: Database) -> None:
    survey = database.admin().plan(argument(database, shape))
    sql = script(survey.plans, database.dialect, "test")
    feed(database, sql)
    by_script = description(database, shape)
    database.run(f"DROP TABLE {database.table(shape.name)}")
    database.run(shape.ddl)
    report = database.admin().upgrade(argument(database, shape))
    assert description(database, shape) == by_script
    assert all(f"{statement};" in sql for statement in report.outcomes[0].statements)
    assert database.admin().check(argument(database, shape)).status is Status.CURRENT


def feed(database: Database, sql: str) -> None:
    if database.dialect.name == "mysql":
        url = make_url(database.url)
        command = ["mariadb", "--no-defaults", f"-h{url.host}", f"-P{url.port}", f"-u{url.username}", str(url.database)]
    elif database.dialect.has_schemas:
        command = [psql(), "-X", "-q", "-v", "ON_ERROR_STOP=1", database.dsn]
    elif shutil.which("sqlite3"):
        command = ["sqlite3", "-bail", database.dsn]
    else:
        with closing(sqlite3.connect(database.dsn)) as connection:
            connection.executescript(sql)
        return
    subprocess.run(command, input=sql, text=True, check=True)


def description(database: Database, shape: Shape) -> list[tuple[Any, ...]]:
    if not database.dialect.has_schemas:
        return database.run("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? ORDER BY 1, 2", (shape.name,))
    if database.dialect.name == "mysql":
        return database.run(f"SHOW CREATE TABLE {database.table(shape.name)}")
    columns = database.run(
        "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema = 'ai' AND table_name = %s ORDER BY ordinal_position",
        (shape.name,),
    )
    return columns + database.run("SELECT indexdef FROM pg_indexes WHERE tablename = %s ORDER BY 1", (shape.name,))


@every_shape
def test_a_second_upgrade_writes_nothing(shape: Shape, database: Database, postgresql_proc: Any) -> None:
    database.admin().upgrade(argument(database, shape))
    if not database.dialect.has_schemas:
        before = hashlib.sha256(Path(database.dsn).read_bytes()).digest()
        database.admin().upgrade(argument(database, shape))
        assert hashlib.sha256(Path(database.dsn).read_bytes()).digest() == before
        return
    if database.dialect.name == "mysql":
        database.run("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = 1; TRUNCATE mysql.general_log")
        database.admin().upgrade(argument(database, shape))
        database.run("SET GLOBAL general_log = 0")
        said = database.run(
            "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type = 'Query'"
        )
        words = {text.split(maxsplit=1)[0].upper() for (text,) in said} - {"TRUNCATE"}
        assert words <= {"SELECT", "SHOW", "SET", "COMMIT", "ROLLBACK"}
        return
    name = database.dsn.rpartition("dbname=")[2]
    database.run(f"ALTER DATABASE {name} SET log_statement = 'all'")
    database.admin().upgrade(argument(database, shape))
    sent = logged_statements(postgresql_proc, name)
    assert len(sent) <= 6, sent  # four are SQLAlchemy's own, at the first connect
    assert {statement.split(maxsplit=1)[0].upper() for statement in sent} == {"SELECT", "SHOW"}
