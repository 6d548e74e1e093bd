"""What `pytest --storage-admin` asserts of a table. Only the first looks at it alone; the others work on an empty copy.

The copy is in a schema of its own, or in a file of its own where the database has no schemas, and goes at the end.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.schema import CreateSchema, DropSchema

from storage_admin.admin import StorageAdmin
from storage_admin.changes import Status
from storage_admin.database import connected, dialect_of, make_engine
from storage_admin.inspector import find_tables
from storage_admin.naming import TableRef
from storage_admin.schema import TableName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage_admin.changes import Plan
    from storage_admin.dialects import Dialect
    from storage_admin.schema import LiveColumn, LiveTable

# How an empty copy is made, with its indexes and defaults; {0} is the new table, {1} the old one.
COPIES = {
    "postgresql": "CREATE TABLE {0} (LIKE {1} INCLUDING ALL)",
    "mysql": "CREATE TABLE {0} LIKE {1}",
}


def names(url: str) -> list[str]:
    """The session tables of a database, as the command line names them.

    Raises:
        NoTablesFound, CannotConnect
    """
    return [str(plan.table) for plan in StorageAdmin(url).check().plans]


def is_current(url: str, table: str) -> None:
    """Assert that nothing is pending for a table, and nothing wrong with it."""
    [plan] = StorageAdmin(url).plan([table]).plans
    wrong = [*plan.changes, *plan.drifts]
    if plan.status is not Status.CURRENT:
        raise AssertionError(f"{plan.table} is {plan.status.value}: {'; '.join(map(str, wrong))}")


def upgrade_is_idempotent(url: str, table: str) -> None:
    """Assert that after an upgrade of a copy a second one has nothing to do, and changes nothing."""
    with _twin(url, table) as (admin, ref, look):
        admin.upgrade([ref])
        before = look(ref.name)
        [again] = admin.upgrade([ref]).outcomes
        after = look(ref.name)
        found = [*again.statements, *_differences(before, after, admin.dialect)]
        found += _differences(after, before, admin.dialect)
        if found:
            raise AssertionError(f"a second upgrade of {table} was not without effect: {'; '.join(found)}")


def fresh_equals_upgraded(url: str, table: str) -> None:
    """Assert that a copy, upgraded, has all that a new table has: columns, their types and defaults, keys, indexes.

    What a table has beyond that is kept by every upgrade, and is no difference.
    """
    with _twin(url, table) as (admin, ref, look):
        fresh = TableRef(f"{ref.name[:40]}_new", ref.schema, ref.kinds)
        admin.upgrade([ref, fresh])
        found = _differences(look(fresh.name), look(ref.name), admin.dialect)
        if found:
            raise AssertionError(f"{table}, upgraded, differs from a new table: {'; '.join(found)}")


CHECKS: dict[str, Callable[[str, str], None]] = {
    "{} is current": is_current,
    "{}: an upgrade is idempotent": upgrade_is_idempotent,
    "{}: fresh equals upgraded": fresh_equals_upgraded,
}


# --- the copy ----------------------------------------------------------------------------------------------


@contextmanager
def _twin(url: str, table: str) -> Iterator[tuple[StorageAdmin, TableRef, Callable[[str], LiveTable]]]:
    admin = StorageAdmin(url)
    [plan] = admin.plan([table]).plans
    if plan.live is None:
        raise AssertionError(f"there is no table {plan.table}")
    made = _in_a_schema if admin.dialect.has_schemas else _in_a_file
    with made(admin, plan) as (twin, schema):

        def look(name: str) -> LiveTable:
            engine = make_engine(twin.url)
            with connected(engine) as connection:
                found = find_tables(connection, dialect_of(engine), names=[name], schema=schema, details=True)
            [live] = [live for live in found if live.name == TableName(schema, name)]
            return live

        yield twin, TableRef(plan.table.name, schema, plan.kinds), look


@contextmanager
def _in_a_schema(admin: StorageAdmin, plan: Plan) -> Iterator[tuple[StorageAdmin, str | None]]:
    schema = f"storage_admin_test_{uuid4().hex[:12]}"
    engine = make_engine(admin.url, writable=True)
    with connected(engine) as connection:
        quote = connection.dialect.identifier_preparer.quote
        old, new = (".".join(map(quote, (home or "", plan.table.name))) for home in (plan.table.schema, schema))
        connection.execute(CreateSchema(schema))
        try:
            connection.exec_driver_sql(
                COPIES[admin.dialect.name].format(new, old), execution_options={"no_parameters": True}
            )
            yield admin, schema
        finally:
            connection.execute(DropSchema(schema, cascade=admin.dialect.name == "postgresql"))


@contextmanager
def _in_a_file(admin: StorageAdmin, plan: Plan) -> Iterator[tuple[StorageAdmin, str | None]]:
    engine = make_engine(admin.url)
    with connected(engine) as connection:
        made = (
            "SELECT sql FROM main.sqlite_master WHERE tbl_name = :name AND type IN ('table', 'index') AND sql NOTNULL"
        )
        statements = connection.scalars(sa.text(f"{made} ORDER BY type DESC"), {"name": plan.table.name}).all()
    with tempfile.TemporaryDirectory(prefix="storage-admin-") as folder:
        path = Path(folder, "copy.db")
        with closing(sqlite3.connect(path)) as copy:
            for statement in statements:
                copy.execute(statement)
        yield StorageAdmin(sa.URL.create("sqlite", database=str(path))), None


# --- the comparison ----------------------------------------------------------------------------------------


def _differences(wanted: LiveTable, found: LiveTable, dialect: Dialect) -> list[str]:
    """What the one table has and the other has not, or has otherwise, in words."""
    has = {dialect.fold(column.name): column for column in found.shape.columns}
    lines = []
    for column in wanted.shape.columns:
        other = has.get(dialect.fold(column.name))
        if other is None:
            lines.append(f"column {column.name} is missing")
        else:
            lines += _of_column(column, other, dialect)
    if wanted.shape.primary_key != found.shape.primary_key:
        lines.append(f"the primary key is ({', '.join(found.shape.primary_key)})")
    indexed = {index.columns for index in found.shape.indexes if index.valid and index.plain}
    return lines + [
        f"the index on {', '.join(index.columns)} is missing"
        for index in wanted.shape.indexes
        if index.columns not in indexed
    ]


def _of_column(wanted: LiveColumn, found: LiveColumn, dialect: Dialect) -> Iterator[str]:
    one_type = any(all(dialect.is_of_type(column.type, known) for column in (wanted, found)) for known in dialect.types)
    if not one_type and wanted.type.lower() != found.type.lower():
        yield f"column {wanted.name} is {found.type}, not {wanted.type}"
    if wanted.nullable and not found.nullable:
        yield f"column {wanted.name} is NOT NULL"
    if wanted.default is not None and found.default is None:
        yield f"column {wanted.name} has no default, not {wanted.default}"
