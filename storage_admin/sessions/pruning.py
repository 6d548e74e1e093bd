"""Removing old sessions beside their writers: in small transactions, each row locked, archived, and only then deleted.

What is old is asked three times: of all rows, to find them; of each row once it is locked, so that a session that was
used meanwhile stays; and by the DELETE itself. A row that somebody else holds is passed over and tried again, so nobody
waits for us but for the few milliseconds of one batch, whose size follows from how long the last one took.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from storage_admin.database import renew, transaction
from storage_admin.errors import ConnectionLost, LockNotObtained, UsageError
from storage_admin.locking import Patience, attempts, is_lock_timeout
from storage_admin.messages import displayed_url, driver_message
from storage_admin.schema import TableName  # noqa: TC001
from storage_admin.sessions.archive import Manifest  # noqa: TC001
from storage_admin.sessions.exporting import Source, header, key_of
from storage_admin.sessions.filters import Filter, active
from storage_admin.sessions.formats import form_of
from storage_admin.sessions.growing import GrowingArchive
from storage_admin.sessions.measures import size
from storage_admin.sessions.tables import SESSION_ID, USER_ID, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from storage_admin.sessions.tables import SessionTable

    Told = Callable[[int, int | None, int], None]  # sessions so far, of how many, bytes

PAGE = 2_000  # ids that are looked for at a time, with nothing locked
SMALLEST, FIRST, LARGEST = 5, 50, 1_000  # rows of a batch
AIM = 0.02  # seconds, for which a batch may hold its rows
PASSES = 3  # over a table, as long as rows are left that somebody held

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
        return msgspec.structs.replace(self.wanted, before=self._moment).condition(table)

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
    def _moment(self) -> int:
        return self.before if self.wanted.before is None else min(self.before, self.wanted.before)


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
            LockNotObtained: somebody held the table until the time was over. ConnectionLost. NotWrittenToFile: the disk
                is full, or the like; what is not in the archive was not deleted.
        """
        self._settle(table)
        before = self.removed
        for _ in range(PASSES):
            at_start = self.removed
            for ids in self._pages(table):
                self._remove_page(table, ids)
                if self.left_to_do == 0:
                    break
            if self.removed == at_start or self.left_to_do == 0:
                break
        left = self.connection.scalar(sa.select(sa.func.count()).select_from(table.sql).where(self.old.all(table)))
        return Pruned(table.name, self.removed - before, left or 0)

    # --- inside --------------------------------------------------------------------------------------------

    def _pages(self, table: SessionTable) -> Iterator[list[Any]]:
        """Ids of old rows, with nothing locked and no transaction open."""
        key = table.sql.c[SESSION_ID]
        if self.old.keep_last is not None:  # who is the newest is asked once
            ids = list(self.connection.scalars(sa.select(key).where(self.old.all(table))))
            yield from (ids[first : first + PAGE] for first in range(0, len(ids), PAGE))
            return
        place: sa.ColumnElement[bool] = sa.true()
        while True:
            query = sa.select(key).where(self.old.condition(table), place).order_by(key).limit(PAGE)
            ids = list(self.connection.scalars(query))
            if ids:
                yield ids
            if len(ids) < PAGE:
                return
            place = key > ids[-1]

    def _remove_page(self, table: SessionTable, ids: list[Any]) -> None:
        done = 0
        while done < len(ids) and self.left_to_do != 0:
            rows = self._rows if self.left_to_do is None else min(self._rows, self.left_to_do)
            batch = ids[done : done + rows]
            began = time.perf_counter()
            self._patiently(table, batch)
            self._adapt(time.perf_counter() - began, len(batch))
            done += len(batch)
            if self.told is not None:
                self.told(self.removed, self.total, self.bytes)
            if self.pause:
                time.sleep(self.pause)

    def _adapt(self, seconds: float, rows: int) -> None:
        wanted = rows * AIM / max(seconds, 1e-6)
        self._rows = int(min(max(wanted, self._rows / 4, SMALLEST), self._rows * 1.5 + 1, LARGEST))

    def _patiently(self, table: SessionTable, ids: Sequence[Any]) -> None:
        waited = ""
        for _ in attempts(self.patience):
            try:
                self._remove(table, ids)
            except exc.DBAPIError as error:
                waited = driver_message(error)
                lost = error.connection_invalidated or self.connection.invalidated
                with suppress(exc.DBAPIError):
                    if lost:
                        renew(self.connection)
                    self._settle(table)
                if not (lost or is_lock_timeout(error, table.dialect)):
                    raise
            else:
                return
        if self.connection.invalidated:
            database = displayed_url(self.connection.engine.url)
            raise ConnectionLost(database=database, table=str(table.name), problem=waited)
        done = f"{self.removed:,} sessions were removed before"
        raise LockNotObtained(table=str(table.name), waited=waited, done=done)

    def _remove(self, table: SessionTable, ids: Sequence[Any]) -> None:
        """One transaction: lock what is still old and free, archive it, delete it."""
        key, dialect = table.sql.c[SESSION_ID], table.dialect
        milliseconds = int(self.patience.lock_timeout_ms)
        facts = {"lock_timeout": milliseconds, "seconds": max(1, -(-milliseconds // 1000))}
        opening = [statement.format_map(facts) for statement in OPENING[dialect.name]]
        with transaction(self.connection, opening):
            meant = sa.and_(one_of(key, ids, dialect), self.old.condition(table))
            locked = list(self.connection.scalars(sa.select(key).where(meant).with_for_update(skip_locked=True)))
            archived = self._archived(table, locked)
            if not archived:
                return
            gone = sum(self._deleted(table, some) for some in self._at_once(archived, dialect.name))
        self.removed += gone
        if self.left_to_do is not None:
            self.left_to_do -= gone

    def _at_once(self, ids: Sequence[Any], dialect: str) -> Iterator[Sequence[Any]]:
        # MySQL may read a small table whole for a list of ids, and wait for a row that is not in it.
        rows = 1 if dialect == "mysql" else len(ids)
        return (ids[first : first + rows] for first in range(0, len(ids), rows))

    def _deleted(self, table: SessionTable, ids: Sequence[Any]) -> int:
        this = one_of(table.sql.c[SESSION_ID], ids, table.dialect)
        return self.connection.execute(sa.delete(table.sql).where(this, self.old.condition(table))).rowcount

    def _archived(self, table: SessionTable, locked: Sequence[Any]) -> Sequence[Any]:
        """The ids of those that are on the disk now. What has no form in a file stays in its table."""
        if self.archive is None or not locked:
            return locked
        source = Source(self.connection, table, Filter(ids=tuple(locked)), keyset=False)
        lines = [data for block in source.lines() for data in block]
        self.archive.append(header(table), lines)
        self.bytes += sum(map(len, lines))
        return [key_of(data) for data in lines]

    def _settle(self, table: SessionTable) -> None:
        """Take out of the archive what its last transaction did not delete in the end, because it was cut off."""
        last = self.archive.last_of(header(table), LARGEST) if self.archive is not None else []
        if self.archive is None or not last:
            return
        ids = tuple(key_of(data) for data in last)
        source = Source(self.connection, table, Filter(ids=ids), keyset=False)
        still = {data for block in source.lines() for data in block}
        self.archive.take_back(data for data in last if data in still)


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
        return PruneReport(tuple(pruner.prune(table) for table in tables))
    form, compression = form_of(path)
    if form != ".jsonl":
        raise UsageError(problem=f"an archive is JSONL (NAME.jsonl, .jsonl.gz or .jsonl.zst), not {path.name}")
    with GrowingArchive(path, compression) as archive:
        pruner = Pruner(connection, old, archive, patience, **options)
        done = tuple(pruner.prune(table) for table in tables)
        manifest = archive.finish({"before": old.before, "keep_last": old.keep_last, **old.wanted.given})
    return PruneReport(done, path if manifest is not None else None, manifest)
