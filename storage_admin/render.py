"""Changes become SQL here, through Alembic's operations in offline mode and without a connection.

What this module returns is what `plan --sql` prints and, text for text, what `executor` runs.
"""

from __future__ import annotations

import io
import logging
import re
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateSchema as CreateSchemaElement
from sqlalchemy.types import UserDefinedType
from typing_extensions import assert_never

from storage_admin.alters import combined
from storage_admin.changes import AddColumn, CreateIndex, CreateSchema, CreateTable, RebuildIndex, SetDefault
from storage_admin.operations import MigrationContext, Operations
from storage_admin.schema import TableName
from storage_admin.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from storage_admin.changes import Build, Change, Plan
    from storage_admin.dialects import Dialect
    from storage_admin.schema import Column

# With named parameters nothing in a name is escaped for a driver: the text is sent as it is, without parameters.
COMPILERS: dict[str, Callable[..., sa.Dialect]] = {
    "postgresql": postgresql.dialect,
    "sqlite": sqlite.dialect,
    "mysql": mysql.dialect,
    "singlestore": mysql.dialect,
}


class SqlType(UserDefinedType[Any]):
    """A type that is written as the dialect record says."""

    cache_ok = True

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def get_col_spec(self, **_: object) -> str:
        """The text after the name of the column."""
        return self.sql


# Rendered are names that stand for the real ones: characters that are in no text, so that they are always quoted. A
# thousand tables then share one rendering, and what Alembic or SQLAlchemy do to a tab, a dot or a % reaches no name.
STAND_IN = "\ufdd0"
STOOD_IN = re.compile(f'(["`]){STAND_IN}(\\d+)\\1')


class Statements(io.StringIO):
    """What Alembic writes, statement by statement, without terminators."""

    def __init__(self) -> None:
        super().__init__()
        self.statements: list[str] = []

    def write(self, text: str, /) -> int:
        """Take one statement."""
        if statement := text.strip().removesuffix(";"):
            self.statements.append(statement.replace(", \n", ",\n"))
        return len(text)


def render(plan: Plan, dialect: Dialect) -> tuple[str, ...]:
    """The statements of a plan, in the order in which they run, without terminators."""
    return render_changes(plan.table, (*plan.transactional, *plan.concurrent), dialect)


def render_changes(name: TableName, changes: Iterable[Change], dialect: Dialect) -> tuple[str, ...]:
    """The statements of some changes of a table, without terminators."""
    names: list[str] = []

    def stand_in(real: str) -> str:
        names.append(real)
        return f"{STAND_IN}{len(names) - 1}"

    table = TableName(stand_in(name.schema) if name.schema is not None else None, stand_in(name.name))
    renamed = tuple(_renamed(change, table, stand_in) for change in changes)
    quote = _quote(dialect)
    return tuple(
        STOOD_IN.sub(lambda found: quote(names[int(found[2])]), text) for text in _text(table, renamed, dialect)
    )


def _renamed(change: Change, table: TableName, stand_in: Callable[[str], str]) -> Change:
    match change:
        case CreateSchema():
            return CreateSchema(table.schema or change.schema)
        case CreateIndex() | RebuildIndex():
            return replace(change, name=stand_in(change.name))
    return change


@lru_cache
def _quote(dialect: Dialect) -> Callable[[str], str]:
    quote: Callable[[str], str] = COMPILERS[dialect.name](paramstyle="named").identifier_preparer.quote
    return quote


@lru_cache(maxsize=512)
def _text(table: TableName, changes: tuple[Change, ...], dialect: Dialect) -> tuple[str, ...]:
    if not dialect.algorithms:
        return _one_by_one(table, changes, dialect)
    return combined(table, changes, dialect, lambda some: _one_by_one(table, some, dialect), _quote(dialect))


def _one_by_one(table: TableName, changes: Iterable[Change], dialect: Dialect) -> tuple[str, ...]:
    buffer = Statements()
    with quiet("alembic"):
        context = MigrationContext.configure(
            dialect=COMPILERS[dialect.name](paramstyle="named"),
            opts={"as_sql": True, "output_buffer": buffer, "literal_binds": True},
        )
    operations = Operations(context)
    for change in changes:
        _operate(change, operations, table, dialect)
    return tuple(buffer.statements)


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Keep a library from writing into an application's log how it works, which is not what we do."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def script(plans: Iterable[Plan], dialect: Dialect, header: str) -> str:
    """A SQL script of plans: one transaction per table, then what may not run in one; empty if nothing is to do."""
    parts = []
    for plan in plans:
        if not plan.runnable:
            continue
        body = render_changes(plan.table, plan.transactional, dialect)
        body = (*dialect.begin, *body, "COMMIT") if body and dialect.begin else body
        body = (*body, *render_changes(plan.table, plan.concurrent, dialect))
        parts.append("\n".join([f"-- {title(plan)}", *(f"{statement};" for statement in body)]))
    head = "\n".join(f"-- {one_line(line)}" for line in (header, dialect.remark) if line)
    return "\n\n".join([head, *parts]) + "\n" if parts else ""


class Step(Struct, frozen=True):
    """What goes into one migration of somebody else's tool: the statements of one transaction, or, not
    ``transactional``, one that may not run in any. ``names`` are all that they hold which is not ours.
    """

    table: TableName
    title: str
    statements: tuple[str, ...]
    names: tuple[str, ...]
    transactional: bool = True


def steps(plans: Iterable[Plan], dialect: Dialect) -> tuple[Step, ...]:
    """The steps of plans: a transaction for each table that has one, then the index builds outside, one by one."""
    runnable = [plan for plan in plans if plan.runnable]
    first, later = [], []
    for plan in runnable:
        names = tuple(name for name in (plan.table.schema, plan.table.name, *(b.name for b in plan.builds)) if name)
        within = render_changes(plan.table, plan.transactional, dialect)
        first += [Step(plan.table, title(plan), within, names)] if within else []
        outside = render_changes(plan.table, plan.concurrent, dialect)
        later += [Step(plan.table, title(plan), (s,), names, transactional=False) for s in outside]
    return (*first, *later)


def title(plan: Plan) -> str:
    """What a plan does, on one line."""
    kinds = ", ".join(plan.kinds)
    return f"{plan.table} ({kinds}): version {plan.version or 'none'} -> {plan.target_version}"


def grants(
    dialect: Dialect, table: TableName, *, role: str, owner: str | None, create: bool, takes_over: bool = False
) -> tuple[str, ...]:
    """What gives a role the right to change a table: to be a member of its owner, or, where that is a superuser, to be
    its owner; and to create in its schema.
    """
    quote = _quote(dialect)
    if dialect.grant:
        return (dialect.grant.format(schema=quote(table.schema or ""), role=role),)
    found = [f"GRANT {quote(owner)} TO {quote(role)}"] if owner is not None and owner != role else []
    if takes_over:
        name = ".".join(quote(part) for part in (table.schema, table.name) if part is not None)
        found.append(f"ALTER TABLE {name} OWNER TO {quote(role)}")
    if create and table.schema is not None:
        found.append(f"GRANT USAGE, CREATE ON SCHEMA {quote(table.schema)} TO {quote(owner or role)}")
    return tuple(found)


def _operate(change: Change, operations: Operations, table: TableName, dialect: Dialect) -> None:
    match change:
        case CreateSchema():
            operations.execute(CreateSchemaElement(change.schema, if_not_exists=True))
        case CreateTable():
            columns = [_column(column, dialect) for column in change.columns]
            operations.create_table(table.name, *columns, schema=table.schema)
        case AddColumn():
            operations.add_column(table.name, _column(change.column, dialect), schema=table.schema)
        case SetDefault():
            default = sa.text(dialect.default_sql(change.column.default) or "NULL")
            operations.alter_column(table.name, change.column.name, server_default=default, schema=table.schema)
        case CreateIndex():
            _create_index(change, operations, table)
        case RebuildIndex() if change.concurrently:
            operations.drop_index(change.name, table.name, schema=table.schema, postgresql_concurrently=True)
            _create_index(change, operations, table)
        case RebuildIndex():
            name = ".".join(_quote(dialect)(part) for part in (table.schema, change.name) if part is not None)
            operations.execute("REINDEX INDEX " + name)
        case _:
            assert_never(change)


def _create_index(build: Build, operations: Operations, table: TableName) -> None:
    operations.create_index(
        build.name,
        table.name,
        list(build.index.columns),
        schema=table.schema,
        postgresql_concurrently=build.concurrently,
    )


def _column(column: Column, dialect: Dialect) -> sa.Column[Any]:
    default = dialect.default_sql(column.default)
    return sa.Column(
        column.name,
        SqlType(dialect.types[column.type].sql),
        primary_key=column.primary_key,
        server_default=sa.text(default) if default else None,
        autoincrement=False,
    )
