"""Revisions: a log of upgrades in ``storage_admin_revisions``, in the schema of the tables that it speaks of.

The log is never believed against the shape of a table, with one exception: a revision of a newer catalogue than
ours means that we must not touch the table. Times come from the database, and the order from the number.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from storage_admin.database import send
from storage_admin.errors import LogNotReadable
from storage_admin.schema import TableName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection

    from storage_admin.dialects import Dialect

REVISIONS = "storage_admin_revisions"


class Revision(msgspec.Struct, frozen=True):
    """One upgrade of one table. ``baseline``: the first one of a table that somebody else made.

    ``from_version`` is None where the table was created, or fulfilled no version before. ``duration_ms`` counts from
    the first statement to the last.
    """

    table: TableName
    kinds: tuple[str, ...]
    from_version: int | None
    to_version: int
    baseline: bool
    statements: tuple[str, ...]
    duration_ms: int
    tool_version: str
    number: int = 0
    applied_at: datetime | None = None


class LogAccess(msgspec.Struct, frozen=True):
    """What a role may do with the log of a schema, and whose that is. ``ours``: this connection is its owner, or a
    member of it. ``writes``: add a revision, and amend it. ``keeps_tables``: it may upgrade some table beside the log.
    """

    schema: str
    role: str
    owner: str
    ours: bool
    uses_schema: bool
    selects: bool
    writes: bool
    keeps_tables: bool

    @property
    def reads(self) -> bool:
        """Whether the role can read the log."""
        return self.uses_schema and self.selects

    @property
    def enough(self) -> bool:
        """Whether the role can do what it has to: read the log, and write it where it upgrades tables."""
        return self.reads and (self.writes or not self.keeps_tables)

    @property
    def log(self) -> TableName:
        """The log, by its name."""
        return TableName(self.schema, REVISIONS)


@lru_cache(maxsize=256)  # a new Table would be compiled anew, for each of a thousand upgrades
def _table(schema: str | None) -> sa.Table:
    return sa.Table(
        REVISIONS,
        sa.MetaData(),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), primary_key=True),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("kinds", sa.Text, nullable=False),
        sa.Column("from_version", sa.Integer),
        sa.Column("to_version", sa.Integer, nullable=False),
        sa.Column("baseline", sa.Boolean, nullable=False),
        sa.Column("statements", sa.Text, nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.current_timestamp()),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("tool_version", sa.Text, nullable=False),
        schema=schema,
    )


def exists(connection: Connection, schema: str | None) -> bool:
    """Whether there is a relation of the log's name in a schema."""
    return sa.inspect(connection).has_table(REVISIONS, schema=schema)


def create(connection: Connection, schema: str | None) -> None:
    """Create the log in a schema."""
    connection.execute(CreateTable(_table(schema), if_not_exists=True))


def access(connection: Connection, dialect: Dialect, schema: str | None, role: str | None = None) -> LogAccess | None:
    """What a role may do with the log of a schema, ours without one; None where there is no log, or no such rights."""
    if not dialect.log_access or schema is None:
        return None
    parameters = {"schema": schema, "name": REVISIONS, "role": role}
    row = connection.execute(sa.text(dialect.log_access), parameters).one_or_none()
    return LogAccess(schema, *row) if row is not None else None


def advice(connection: Connection, found: LogAccess) -> str:
    """Who has to run which GRANT, so that a role can do what it has to."""
    return f"let {found.owner} run: {'; '.join(_grants(connection, found))}"


def share(connection: Connection, dialect: Dialect, schema: str | None, owners: Collection[str]) -> None:
    """Give the owners of tables the right to read and write the log beside them, where it is ours to give."""
    for owner in sorted(owners):
        found = access(connection, dialect, schema, owner)
        if found is not None and found.ours and not found.enough:
            for grant in _grants(connection, found):
                send(connection, grant)


def refuse_unreadable(connection: Connection, dialect: Dialect, schemas: Iterable[str | None], database: str) -> None:
    """Refuse logs that we may not read.

    Raises:
        LogNotReadable: with the GRANT that helps.
    """
    for schema in schemas:
        found = access(connection, dialect, schema)
        if found is not None and not found.reads:
            told = advice(connection, found)
            problem = f"{found.log} cannot be read by {found.role}"
            raise LogNotReadable(database=database, problem=problem, advice=told[0].upper() + told[1:])


def _grants(connection: Connection, found: LogAccess) -> list[str]:
    # A dialect of its own: that of the connection doubles a % for the driver.
    own: Any = type(connection.dialect)
    quote = own(paramstyle="named").identifier_preparer.quote
    schema, role = quote(found.schema), quote(found.role)
    rights = "SELECT, INSERT, UPDATE" if found.keeps_tables else "SELECT"
    grants = [] if found.uses_schema or found.ours else [f"GRANT USAGE ON SCHEMA {schema} TO {role}"]
    return grants if found.selects and found.enough else [*grants, f"GRANT {rights} ON {schema}.{REVISIONS} TO {role}"]


def record(connection: Connection, revision: Revision) -> int:
    """Add a revision; return its number. It is the baseline if it is the first one of a table that was there before."""
    insert = _insert(revision.table.schema, revision.baseline, connection.dialect.name in ("mysql", "mariadb"))
    values = {
        "table_name": revision.table.name,
        "kinds": ",".join(revision.kinds),
        "from_version": revision.from_version,
        "to_version": revision.to_version,
        "statements": json.dumps(revision.statements),
        "duration_ms": revision.duration_ms,
        "tool_version": revision.tool_version,
    }
    [number] = connection.execute(insert, values).inserted_primary_key or [0]
    return int(number)


@lru_cache(maxsize=256)
def _insert(schema: str | None, baseline: bool, zoned: bool) -> sa.Insert:
    table = _table(schema)
    # A subquery of its own: MySQL reads a table that it inserts into only through a derived one (error 1093).
    known = sa.select(table.c.id).where(table.c.table_name == sa.bindparam("table_name")).limit(1).subquery()
    first = sa.not_(sa.exists().select_from(known)) if baseline else sa.false()
    # MySQL's CURRENT_TIMESTAMP is the time of the session's zone, and its columns know no zone.
    now = {"applied_at": sa.func.utc_timestamp()} if zoned else {}
    filled = ("table_name", "kinds", "from_version", "to_version", "statements", "duration_ms", "tool_version")
    return table.insert().values({name: sa.bindparam(name) for name in filled} | {"baseline": first} | now)


def amend(connection: Connection, number: int, revision: Revision) -> None:
    """Say of a revision what was done since: statements, duration and the version that was reached."""
    table = _table(revision.table.schema)
    changed = {
        "to_version": revision.to_version,
        "statements": json.dumps(revision.statements),
        "duration_ms": revision.duration_ms,
    }
    connection.execute(table.update().where(table.c.id == number).values(changed))


def has(connection: Connection, name: TableName, number: int) -> bool:
    """Whether the log has a revision of this number."""
    table = _table(name.schema)
    return bool(connection.scalar(sa.select(sa.exists().where(table.c.id == number))))


def recorded_versions(connection: Connection, schemas: Collection[str | None]) -> dict[TableName, int]:
    """The highest version that was ever recorded for each table, from the logs of these schemas, in one query."""
    tables = [_table(schema) for schema in schemas]
    selects = [
        sa.select(sa.literal(t.schema, sa.Text), t.c.table_name, sa.func.max(t.c.to_version)).group_by(t.c.table_name)
        for t in tables
    ]
    rows = connection.execute(sa.union_all(*selects)) if selects else ()
    return {TableName(schema, name): version for schema, name, version in rows}


def list_revisions(connection: Connection, schemas: Iterable[str | None]) -> tuple[Revision, ...]:
    """All revisions in the logs of these schemas, in the order of their numbers."""
    found: list[Revision] = []
    for schema in schemas:
        table = _table(schema)
        found.extend(_revision(schema, row) for row in connection.execute(table.select().order_by(table.c.id)))
    return tuple(found)


def _revision(schema: str | None, row: sa.Row[Any]) -> Revision:
    at = row.applied_at
    return Revision(
        table=TableName(schema, row.table_name),
        kinds=tuple(row.kinds.split(",")),
        from_version=row.from_version,
        to_version=row.to_version,
        baseline=row.baseline,
        statements=tuple(json.loads(row.statements)),
        duration_ms=row.duration_ms,
        tool_version=row.tool_version,
        number=row.id,
        applied_at=at.replace(tzinfo=timezone.utc) if at.tzinfo is None else at.astimezone(timezone.utc),
    )
