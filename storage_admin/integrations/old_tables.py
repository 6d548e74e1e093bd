"""Tables in a database as old releases of phidata and Agno left them, for tests: made, filled, and removed again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, StaticPool
from sqlalchemy.schema import DropSchema, DropTable
from typing_extensions import Self

from storage_admin.admin import StorageAdmin
from storage_admin.catalog import load_catalog
from storage_admin.database import connected, dialect_of, parse_url
from storage_admin.errors import NoPlaceForTables, TableInTheWay
from storage_admin.history import REVISIONS
from storage_admin.inspector import existing_schemas
from storage_admin.messages import displayed_url
from storage_admin.naming import TableRef
from storage_admin.schema import TableName
from storage_admin.storage.releases import version_at
from storage_admin.storage.samples import sample_rows
from storage_admin.storage.sessions import DEFAULT_KIND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from storage_admin.dialects import Dialect

MEMORY = "sqlite://"
PATIENCE = {"postgresql": "SET lock_timeout = '10s'", "mysql": "SET SESSION lock_wait_timeout = 10"}


class OldTable:
    """A table as a release left it: empty, or with sample sessions, and without a log of ours.

    ``url`` holds the password; ``engine`` has it as an application would make it. ``name`` is the table's name with its
    schema, ``argument`` what the command line takes (NAME=KIND), ``version`` its version in the catalogue.
    """

    def __init__(self, engine: sa.Engine, name: TableName, kinds: tuple[str, ...], version: int) -> None:
        self.engine, self.name, self.kinds, self.version = engine, name, kinds, version
        self.url = engine.url.render_as_string(hide_password=False)
        self.argument = f"{name}={','.join(kinds)}"

    def __repr__(self) -> str:
        return f"<{self.argument} at version {self.version}>"

    @property
    def admin(self) -> StorageAdmin:
        """The facade for its database."""
        return StorageAdmin(self.engine)

    def rows(self) -> list[dict[str, Any]]:
        """What is stored in it now, as the driver gives it."""
        table = sa.table(self.name.name, schema=self.name.schema)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.select(sa.text("*")).select_from(table)).mappings()]


class OldTables:
    """Makes old tables; at the end it removes, from a database that stays, what it has made there.

    ``file`` gives the path of a SQLite file, ``server`` the URL of a database that somebody else makes and drops;
    ``url`` names a database that stays.
    """

    def __init__(self, file: Callable[[], Path], server: Callable[[], str | sa.URL], url: str | None = None) -> None:
        self._file, self._server, self._url = file, server, url
        self._engines: dict[str, sa.Engine] = {}
        self._made: list[_Made] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for made in reversed(self._made):
                made.remove()
        finally:
            for engine in self._engines.values():
                engine.dispose()

    def __call__(
        self,
        release: str | int,
        *,
        kind: str | Sequence[str] = DEFAULT_KIND,
        table: str | None = None,
        schema: str | None = None,
        sessions: int = 0,
        on: str = "sqlite",
    ) -> OldTable:
        """A table as a release made it: "1.1.10" or "agno 1.1.10", "phidata 2.5.21", or version 4 of the catalogue.

        ``kind`` is one or several (a storage may change its mode); ``table`` is KIND_sessions and ``schema`` is ai,
        if not given. ``sessions`` is how many sample sessions it has. ``on`` says where: "sqlite" (one file a test),
        "memory", "postgresql" (the fixture of pytest-postgresql), "configured" (storage_admin_url), or a URL.

        Raises:
            UnknownRelease, NotReleasedYet, UnknownKind, UnknownVersion, KindNotInVersion, NoPlaceForTables
            TableInTheWay, CannotConnect
        """
        catalog, engine = load_catalog(), self._engine(on)
        dialect = dialect_of(engine)
        kinds = tuple(catalog.known_kind(one) for one in ([kind] if isinstance(kind, str) else kind))
        version = version_at(release, kinds, catalog, dialect)
        home = (schema or dialect.default_schema) if dialect.has_schemas else None
        name = TableName(home, table or f"{kinds[0]}_sessions")
        made = _Made(engine, name, *_state(engine, name, dialect))
        if self._stays(on):
            self._made.append(made)
        StorageAdmin(engine).upgrade([TableRef(name.name, home, kinds)], to=version)
        with engine.begin() as connection:
            made.forget(connection)  # those releases kept no log
            columns = catalog.target_for(kinds, version, dialect.name).column_names
            for row in sample_rows(kinds, columns, sessions):
                target = sa.table(name.name, *map(sa.column, row), schema=home)
                connection.execute(sa.insert(target).values(row))
        return OldTable(engine, name, kinds, version)

    def _stays(self, on: str) -> bool:
        return on not in ("sqlite", "memory", "postgresql")

    def _engine(self, place: str) -> sa.Engine:
        if place not in self._engines:
            if place == "memory":
                options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
                self._engines[place] = sa.create_engine(MEMORY, **options)
            else:
                self._engines[place] = sa.create_engine(self._address(place), poolclass=NullPool)
        return self._engines[place]

    def _address(self, place: str) -> sa.URL:
        if place == "sqlite":
            return sa.URL.create("sqlite", database=str(self._file()))
        if place == "postgresql":
            found = self._server()
            return parse_url(found) if isinstance(found, str) else found
        if place == "configured":
            if self._url is None:
                raise NoPlaceForTables(on=place, problem="there is no storage_admin_url in the settings of pytest")
            return parse_url(self._url)
        if "://" not in place:
            raise NoPlaceForTables(on=place, problem="that is no URL")
        return parse_url(place)


class _Made(NamedTuple):
    """A table that was made, and what was there before it."""

    engine: sa.Engine
    name: TableName
    schema_was_there: bool
    log_was_there: bool

    def forget(self, connection: sa.Connection) -> None:
        """Take every revision of the table out of the log, and the log away if there was none."""
        log = sa.Table(REVISIONS, sa.MetaData(), sa.Column("table_name"), schema=self.name.schema)
        if self.log_was_there:
            connection.execute(sa.delete(log).where(log.c.table_name == self.name.name))
        else:
            connection.execute(DropTable(log, if_exists=True))

    def remove(self) -> None:
        """Remove the table, its revisions, and its schema where that was made with it and is empty."""
        with self.engine.begin() as connection:
            if self.engine.dialect.name in PATIENCE:  # a test may have left a transaction open, which must not hang us
                connection.execute(sa.text(PATIENCE[self.engine.dialect.name]))
            connection.execute(
                DropTable(sa.Table(self.name.name, sa.MetaData(), schema=self.name.schema), if_exists=True)
            )
            self.forget(connection)
            found, schema = sa.inspect(connection), self.name.schema
            if schema is not None and not self.schema_was_there:
                others = [*found.get_table_names(schema), *found.get_view_names(schema)]
                if not others and schema in found.get_schema_names():
                    connection.execute(DropSchema(schema))


def _state(engine: sa.Engine, name: TableName, dialect: Dialect) -> tuple[bool, bool]:
    """Whether there is the schema of a table, and a log in it.

    Raises:
        TableInTheWay: there is such a table.
    """
    with connected(engine) as connection:
        home = name.schema is None or name.schema in existing_schemas(connection, dialect)
        found = sa.inspect(connection)
        if home and found.has_table(name.name, schema=name.schema):
            raise TableInTheWay(table=name, database=displayed_url(engine.url))
        return home, home and found.has_table(REVISIONS, schema=name.schema)
