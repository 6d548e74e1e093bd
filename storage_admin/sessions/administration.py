"""Sessions, the facade: what `storage-admin sessions` does, as values."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from storage_admin.admin import StorageAdmin
from storage_admin.database import dialect_of
from storage_admin.errors import NoSuchSession, UsageError
from storage_admin.sessions import editing, listing, reading
from storage_admin.sessions.filters import Filter
from storage_admin.sessions.statistics import Statistics, statistics
from storage_admin.sessions.tables import session_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import URL, Connection, Engine

    from storage_admin.sessions.editing import Changed
    from storage_admin.sessions.listing import Page, SessionSummary, Sort
    from storage_admin.sessions.reading import Session
    from storage_admin.sessions.tables import SessionTable


class Sessions:
    """The sessions in the tables of one database. Where a method takes tables, None means all that are found.

    ``database`` is a URL, an SQLAlchemy engine, or a `StorageAdmin`.

    Raises:
        As `StorageAdmin`, and the methods as `StorageAdmin.inspect`.
    """

    def __init__(self, database: str | URL | Engine | StorageAdmin) -> None:
        self.admin = database if isinstance(database, StorageAdmin) else StorageAdmin(database)

    def page(
        self,
        wanted: Filter | None = None,
        tables: Iterable[str] | None = None,
        *,
        sort: Sort | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page:
        """One page of sessions, the newest first; ``after`` is the ``next`` of the page before.

        Without ``sort`` it is by the last activity, or by id where that would mean to read a large table.

        Raises:
            UsageError: ``after`` is not what a page of this listing gave.
        """
        with self._opened(tables) as (connection, found):
            return listing.page(connection, found, wanted or Filter(), sort=sort, limit=limit, after=after)

    def iterate(
        self, wanted: Filter | None = None, tables: Iterable[str] | None = None, *, sort: Sort = "id"
    ) -> Iterator[SessionSummary]:
        """All sessions, a page at a time, on a connection that is given back at the end."""
        with self._opened(tables) as (connection, found):
            after = None
            while True:
                page = listing.page(connection, found, wanted or Filter(), sort=sort, limit=500, after=after)
                yield from page.sessions
                after = page.next
                if after is None:
                    return

    def show(self, session_id: str, tables: Iterable[str] | None = None) -> tuple[Session, ...]:
        """The session of an id; several where several tables have one.

        Raises:
            NoSuchSession
        """
        with self._opened(tables) as (connection, found):
            sessions = reading.read(connection, found, session_id)
        if not sessions:
            raise NoSuchSession(session_id=session_id, tables=", ".join(str(table.name) for table in found))
        return sessions

    def count(self, wanted: Filter | None = None, tables: Iterable[str] | None = None) -> tuple[Changed, ...]:
        """How many sessions each table has that are meant; tables without one are left out."""
        with self._opened(tables) as (connection, found):
            return editing.count(connection, found, wanted or Filter())

    def rename(self, session_id: str, name: str, tables: Iterable[str] | None = None) -> tuple[Changed, ...]:
        """Name a session, in each table that has it. It does not count as used.

        Raises:
            NoSuchSession
        """
        with self._opened(tables, writable=True) as (connection, found):
            done = editing.rename(connection, found, session_id, name)
        if not any(changed.sessions for changed in done):
            raise NoSuchSession(session_id=session_id, tables=", ".join(str(table.name) for table in found))
        return tuple(changed for changed in done if changed.sessions)

    def delete(self, wanted: Filter, tables: Iterable[str] | None = None) -> tuple[Changed, ...]:
        """Delete the sessions that are meant; tables without one are left out.

        Raises:
            UsageError: the filter is empty.
        """
        if wanted.empty:
            raise UsageError(problem="an empty filter would delete every session; name ids or a user")
        with self._opened(tables, writable=True) as (connection, found):
            done = editing.delete(connection, found, wanted)
        return tuple(changed for changed in done if changed.sessions)

    def statistics(
        self,
        wanted: Filter | None = None,
        tables: Iterable[str] | None = None,
        *,
        retentions: Sequence[int] = (30, 90, 180, 365),
    ) -> tuple[Statistics, ...]:
        """Each table in numbers. It reads each row twice. ``retentions`` are numbers of days to be tried."""
        wanted, now = wanted or Filter(), int(time.time())
        with self._opened(tables) as (connection, found):
            return tuple(
                statistics(connection, table, wanted, now=now, retentions=retentions)
                for table in found
                if wanted.fits(table)
            )

    @contextmanager
    def _opened(
        self, tables: Iterable[str] | None, *, writable: bool = False
    ) -> Iterator[tuple[Connection, tuple[SessionTable, ...]]]:
        with self.admin.opened(tables, writable=writable) as (connection, plans):
            yield connection, session_tables(plans, self.admin.catalog, dialect_of(connection.engine))
