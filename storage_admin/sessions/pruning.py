"""Removing old sessions beside their writers: archived first, then deleted in small transactions if still as archived.

What is old is asked of all rows, to find them; of each row once it is locked, when its line is compared with the one
in the archive too, so that a session that was used meanwhile stays; and by the DELETE itself. A row that somebody else
holds is passed over and tried again, so nobody waits for us but for the few milliseconds of one batch, whose size
follows from how long the last one held its rows. The disk that takes the archive is waited for with nothing locked.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from storage_admin.database import renew, transaction
from storage_admin.errors import ConnectionLost, LockNotObtained, NotDeleted
from storage_admin.locking import Patience, attempts, is_lock_timeout
from storage_admin.messages import displayed_url, driver_message
from storage_admin.sessions.exporting import Source, header, key_of
from storage_admin.sessions.filters import Filter, active
from storage_admin.sessions.growing import GrowingArchive, compression_of
from storage_admin.sessions.measures import size
from storage_admin.sessions.tables import SESSION_ID, USER_ID, one_of
from storage_admin.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import URL, Connection

    from storage_admin.schema import TableName
    from storage_admin.sessions.archive import Manifest
    from storage_admin.sessions.tables import SessionTable

    Told = Callable[[int, int | None, int], None]  # sessions so far, of how many, bytes

Result = TypeVar("Result")
PAGE = 2_000  # ids that are looked for at a time, with nothing locked
SMALLEST, FIRST, LARGEST = 5, 50, 1_000  # rows of a batch
AIM = 0.01  # seconds, for which a batch may hold its rows
PASSES = 3  # over a table, as long as rows are left that somebody held

# What is another text after each change of a row: where that is known, a line need not be made again to be compared.
VERSIONS = {"postgresql": "concat(xmin, ' ', ctid)"}
OPENING: dict[str, tuple[str, ...]] = {
    "postgresql": ("BEGIN", "SELECT set_config('lock_timeout', '{lock_timeout}', true)"),
    "sqlite": ("BEGIN IMMEDIATE",),
    # Without gap locks, which would keep others from adding rows.
    "mysql": (
        "SET SESSION lock_wait_timeout = {seconds}",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "START TRANSACTION",
    ),
}


class Candidates(msgspec.Struct, frozen=True):
    """What a prune would remove of a table. Times of the last activity, in seconds since 1970."""

    table: TableName
    sessions: int
    bytes: int
    oldest: int | None
    newest: int | None


class Pruned(msgspec.Struct, frozen=True):
    """What was removed of a table. ``left`` are sessions that are old and still there: held by somebody, or over
    ``max_rows``.
    """

    table: TableName
    sessions: int
    left: int


class Old(msgspec.Struct, frozen=True):
    """What is old: not used since ``before`` (seconds since 1970), of those that a filter means; and of these never the
    ``keep_last`` newest of a user. Sessions without a user are of one user here.
    """

    before: int
    wanted: Filter = Filter()
    keep_last: int | None = None

    def condition(self, table: SessionTable) -> sa.ColumnElement[bool]:
        """What is true of an old row by itself: all but the newest of a user."""
        return self.aged.condition(table)

    def all(self, table: SessionTable) -> sa.ColumnElement[bool]:
        """What is true of a row that would be removed now."""
        if self.keep_last is None:
            return self.condition(table)
        columns = table.sql.c
        newest_first = (active(table).desc(), columns[SESSION_ID])
        place = sa.func.row_number().over(partition_by=columns[USER_ID], order_by=newest_first)
        ranked = sa.select(columns[SESSION_ID], place.label("place")).subquery()
        beyond = sa.select(ranked.c[SESSION_ID]).where(ranked.c.place > self.keep_last)
        return sa.and_(self.condition(table), columns[SESSION_ID].in_(beyond))

    @property
    def aged(self) -> Filter:
        """The filter with the age in it."""
        before = self.before if self.wanted.before is None else min(self.before, self.wanted.before)
        return msgspec.structs.replace(self.wanted, before=before)


def candidates(connection: Connection, table: SessionTable, old: Old) -> Candidates:
    """What would go, in numbers. It reads the whole table."""
    used = active(table)
    query = sa.select(
        sa.func.count(), sa.func.coalesce(sa.func.sum(size(table)), 0), sa.func.min(used), sa.func.max(used)
    )
    count, size_, oldest, newest = connection.execute(query.select_from(table.sql).where(old.all(table))).one()
    return Candidates(table.name, count, int(size_), oldest, newest)


class Pruner:
    """Removes the old sessions of some tables, batch by batch, into an archive or into nothing.

    ``pause`` are seconds between two batches. ``told`` gets how many sessions were removed, of about how many, and the
    bytes that were archived.
    """

    def __init__(
        self,
        connection: Connection,
        old: Old,
        archive: GrowingArchive | None,
        patience: Patience,
        *,
        max_rows: int | None = None,
        pause: float = 0.0,
        total: int | None = None,
        told: Told | None = None,
    ) -> None:
        self.connection, self.old, self.archive, self.patience = connection, old, archive, patience
        self.left_to_do = max_rows
        self.pause, self.total, self.told = pause, total, told
        self.removed = self.bytes = 0
        self._rows = FIRST

    def prune(self, table: SessionTable) -> Pruned:
        """Remove what is old of a table.

        Raises:
            LockNotObtained: somebody held the table until the time was over. ConnectionLost.
            ArchiveNotWritten: the disk is full, or the like; what is not in the archive was not deleted.
        """
        self._patiently(table, lambda: self._settle(table))
        self._source = self._patiently(table, lambda: Source(self.connection, table, self.old.aged, keyset=True))
        before = self.removed
        for _ in range(PASSES):
            at_start = self.removed
            for ids in self._pages(table):
                self._remove_page(table, ids)
                if self.left_to_do == 0:
                    break
            if self.removed == at_start or self.left_to_do == 0:
                break
        count = sa.select(sa.func.count()).select_from(table.sql).where(self.old.all(table))
        left = self._patiently(table, lambda: self.connection.scalar(count))
        return Pruned(table.name, self.removed - before, left or 0)

    # --- inside --------------------------------------------------------------------------------------------

    def _pages(self, table: SessionTable) -> Iterator[list[Any]]:
        """Ids of old rows, with nothing locked and no transaction open."""
        key = table.sql.c[SESSION_ID]
        if self.old.keep_last is not None:  # who is the newest is asked once
            ids = self._ids(table, sa.select(key).where(self.old.all(table)))
            yield from (ids[first : first + PAGE] for first in range(0, len(ids), PAGE))
            return
        place: sa.ColumnElement[bool] = sa.true()
        while True:
            query = sa.select(key).where(self.old.condition(table), place).order_by(key).limit(PAGE)
            ids = self._ids(table, query)
            if ids:
                yield ids
            if len(ids) < PAGE:
                return
            place = key > ids[-1]

    def _ids(self, table: SessionTable, query: sa.Select[Any]) -> list[Any]:
        return self._patiently(table, lambda: list(self.connection.scalars(query)))

    def _remove_page(self, table: SessionTable, ids: list[Any]) -> None:
        done = 0
        while done < len(ids) and self.left_to_do != 0:
            rows = self._rows if self.left_to_do is None else min(self._rows, self.left_to_do)
            batch = ids[done : done + rows]
            self._patiently(table, partial(self._remove, table, batch))
            done += len(batch)
            if self.told is not None:
                self.told(self.removed, self.total, self.bytes)
            if self.pause:
                time.sleep(self.pause)

    def _adapt(self, seconds: float, rows: int) -> None:
        wanted = rows * AIM / max(seconds, 1e-6)
        self._rows = int(min(max(wanted, self._rows / 4, SMALLEST), self._rows * 1.5 + 1, LARGEST))

    def _patiently(self, table: SessionTable, work: Callable[[], Result]) -> Result:
        """The result of this work, which is tried again where somebody holds the table, or the connection broke."""
        waited, lost = "", False
        for _ in attempts(self.patience):
            try:
                if lost:
                    renew(self.connection)
                    self._settle(table)
                return work()
            except exc.DBAPIError as error:
                waited = driver_message(error)
                lost = lost or error.connection_invalidated or self.connection.invalidated
                if not (lost or is_lock_timeout(error, table.dialect)):
                    with suppress(exc.DBAPIError):
                        self._settle(table)
                    raise
        if lost:
            database = displayed_url(self.connection.engine.url)
            raise ConnectionLost(database=database, table=str(table.name), problem=waited)
        done = f"{self.removed:,} sessions were removed before"
        raise LockNotObtained(table=str(table.name), waited=waited, done=done)

    def _remove(self, table: SessionTable, ids: Sequence[Any]) -> None:
        """Archive what is still old, then, in one transaction: lock what is free and as it was archived; delete it."""
        before = self._versions(table, ids)
        archived = self._archived(table, ids)
        if self.archive is not None and not (ids := list(archived)):
            return
        try:
            gone = self._delete_unchanged(table, ids, before, archived)
        except exc.DBAPIError as error:
            if not error.connection_invalidated and is_lock_timeout(error, table.dialect):
                self._take_back(archived)  # it was rolled back; of anything else nobody knows before a look
            raise
        self._take_back(archived, but=gone)
        self.removed += len(gone)
        if self.left_to_do is not None:
            self.left_to_do -= len(gone)

    def _take_back(self, archived: dict[Any, bytes], but: Sequence[Any] = ()) -> None:
        if self.archive is not None:
            deleted = set(but)
            self.archive.take_back([data for key, data in archived.items() if key not in deleted])

    def _delete_unchanged(
        self, table: SessionTable, ids: Sequence[Any], before: dict[Any, str | None], archived: dict[Any, bytes]
    ) -> list[Any]:
        """The ids of those that went, in one transaction."""
        began = time.perf_counter()
        with transaction(self.connection, self._opening(table.dialect.name)):
            opened = time.perf_counter()
            locked = self._versions(table, ids, lock=True)
            gone = list(locked) if self.archive is None else self._unchanged(table, locked, before, archived)
            for some in self._at_once(gone, table.dialect.name):
                self._delete(table, some)
            done = time.perf_counter()
        # SQLite waits for its writers before that, and for its readers after it, however few the rows are.
        waits = table.dialect.name == "sqlite"
        self._adapt(done - opened if waits else time.perf_counter() - began, len(ids))
        return gone

    def _opening(self, dialect: str) -> list[str]:
        milliseconds = int(self.patience.lock_timeout_ms)
        facts = {"lock_timeout": milliseconds, "seconds": max(1, -(-milliseconds // 1000))}
        return [statement.format_map(facts) for statement in OPENING[dialect]]

    def _versions(self, table: SessionTable, ids: Sequence[Any], *, lock: bool = False) -> dict[Any, str | None]:
        """Those of these ids that are still old, with the version of the row where the database has one. To ``lock``
        them: those that nobody else holds.
        """
        key = table.sql.c[SESSION_ID]
        meant = sa.and_(one_of(key, ids, table.dialect), self.old.condition(table))
        query = sa.select(key, sa.literal_column(VERSIONS.get(table.dialect.name, "NULL"))).where(meant)
        rows = self.connection.execute(query.with_for_update(skip_locked=True) if lock else query)
        return {row[0]: row[1] for row in rows}

    def _unchanged(
        self,
        table: SessionTable,
        locked: dict[Any, str | None],
        before: dict[Any, str | None],
        archived: dict[Any, bytes],
    ) -> list[Any]:
        """The ids of those that are ours until the end, and in the archive as they are now."""
        if table.dialect.name in VERSIONS:
            return [key for key, version in locked.items() if before.get(key) == version]
        now = self._lines(self._source, list(locked)) if locked else {}
        return [key for key, data in now.items() if archived[key] == data]

    def _at_once(self, ids: Sequence[Any], dialect: str) -> Iterator[Sequence[Any]]:
        # MySQL may read a small table whole for a list of ids, and wait for a row that is not in it.
        rows = 1 if dialect == "mysql" else max(len(ids), 1)
        return (ids[first : first + rows] for first in range(0, len(ids), rows))

    def _delete(self, table: SessionTable, ids: Sequence[Any]) -> None:
        this = one_of(table.sql.c[SESSION_ID], ids, table.dialect)
        gone = self.connection.execute(sa.delete(table.sql).where(this, self.old.condition(table))).rowcount
        if gone != len(ids):
            raise NotDeleted(table=str(table.name), sessions=len(ids), gone=gone)

    def _archived(self, table: SessionTable, ids: Sequence[Any]) -> dict[Any, bytes]:
        """The lines of those that are still old, by id, on the disk now; nothing is locked while it takes its time."""
        if self.archive is None:
            return {}
        lines = self._lines(self._source, ids)
        self.archive.append(header(table), list(lines.values()))
        self.bytes += sum(map(len, lines.values()))
        return lines

    def _lines(self, source: Source, ids: Sequence[Any]) -> dict[Any, bytes]:
        """Lines by id. A session that has no form in a file has none, and stays in its table."""
        return {key_of(data): data for block in source.only(ids) for data in block.lines}

    def _settle(self, table: SessionTable) -> None:
        """Take out of the archive what its last transaction did not delete in the end, because it was cut off."""
        last = self.archive.last_of(header(table), LARGEST) if self.archive is not None else []
        if self.archive is None or not last:
            return
        every = Source(self.connection, table, Filter(), keyset=True)
        still = set(self._lines(every, [key_of(data) for data in last]).values())
        self.archive.take_back([data for data in last if data in still])


class PruneReport(msgspec.Struct, frozen=True):
    """What was removed of each table, and the archive that has it; None without one, or where nothing was removed."""

    tables: tuple[Pruned, ...]
    archive: Path | None = None
    manifest: Manifest | None = None

    @property
    def sessions(self) -> int:
        """How many were removed."""
        return sum(table.sessions for table in self.tables)

    @property
    def left(self) -> int:
        """How many are old and still there."""
        return sum(table.left for table in self.tables)


def prune(
    connection: Connection,
    tables: Sequence[SessionTable],
    old: Old,
    path: Path | None,
    patience: Patience | None,
    **options: Any,
) -> PruneReport:
    """Remove what is old, into the file at ``path``, or without an archive. Raises as `Sessions.prune`."""
    tables, patience = [table for table in tables if old.wanted.fits(table)], patience or Patience()
    if path is None:
        pruner = Pruner(connection, old, None, patience, **options)
        return PruneReport(_each(pruner, tables))
    with archive_of(connection.engine.url, old, path) as archive:
        pruner = Pruner(connection, old, archive, patience, **options)
        done = _each(pruner, tables)
        manifest = archive.finish({"before": old.before, "keep_last": old.keep_last, **old.wanted.given})
    return PruneReport(done, path if manifest is not None else None, manifest)


def archive_of(url: URL, old: Old, path: Path) -> GrowingArchive:
    """The archive of a prune, to be entered.

    Raises:
        UsageError: its name does not say JSONL. ExtraMissing: at the end, when it is needed, the rows are gone.
    """
    compression = compression_of(path)
    source = {"database": displayed_url(url), **old.wanted.given, "keep_last": old.keep_last}
    return GrowingArchive(path, compression, source)


def _each(pruner: Pruner, tables: Sequence[SessionTable]) -> tuple[Pruned, ...]:
    try:
        return tuple(_traced(pruner, table) for table in tables)
    except KeyboardInterrupt:  # in the middle of a statement, whose answer nobody waits for
        pruner.connection.invalidate()
        raise


def _traced(pruner: Pruner, table: SessionTable) -> Pruned:
    with span("prune", pruner.connection, table.name) as traced:
        done = pruner.prune(table)
        traced.set(sessions=done.sessions, left=done.left)
    return done
