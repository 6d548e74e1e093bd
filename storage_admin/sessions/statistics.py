"""What a table holds, in numbers: one query that reads each row once, and one for the largest."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from storage_admin.sessions.filters import active, whole
from storage_admin.sessions.listing import SessionSummary, summary
from storage_admin.sessions.measures import runs, size
from storage_admin.sessions.tables import USER_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from storage_admin.schema import TableName
    from storage_admin.sessions.filters import Filter
    from storage_admin.sessions.tables import SessionTable

DAY = 86_400
LARGEST = 5
RETENTIONS = (30, 90, 180, 365)


class Growth(msgspec.Struct, frozen=True):
    """What was created in a day (2026-01-31) or a month (2026-01), in UTC."""

    period: str
    sessions: int
    bytes: int


class Retention(msgspec.Struct, frozen=True):
    """What would go if only sessions stayed that were used in the last ``days``."""

    days: int
    sessions: int
    bytes: int


class Statistics(msgspec.Struct, frozen=True):
    """A table in numbers. ``bytes`` are those of the rows (compressed, on PostgreSQL), without indexes.

    ``oldest`` and ``newest`` are the first creation and the last activity, in seconds since 1970.
    """

    table: TableName
    kinds: tuple[str, ...]
    sessions: int
    users: int
    runs: int
    bytes: int
    oldest: int | None
    newest: int | None
    days: tuple[Growth, ...]
    months: tuple[Growth, ...]
    retentions: tuple[Retention, ...]
    largest: tuple[SessionSummary, ...]


def statistics(
    connection: Connection,
    table: SessionTable,
    wanted: Filter,
    *,
    now: int,
    retentions: Sequence[int] = RETENTIONS,
    largest: bool = True,
) -> Statistics:
    """Count the sessions of a table that are meant. Each row is read once, and once more for the ``largest`` ones,
    which say whose they are.
    """
    condition, bytes_ = wanted.condition(table), size(table)
    row = _measured(table, condition, bytes_)
    old = [row.used < whole(now - days * DAY) for days in retentions]
    totals = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.count(row[USER_ID].distinct()),
            _total(row.runs),
            _total(row.bytes),
            sa.func.min(row.created_at),
            sa.func.max(row.used),
            *(_total(sa.case((condition, 1))) for condition in old),
            *(_total(sa.case((condition, row.bytes))) for condition in old),
        )
    ).one()
    sessions, users, all_runs, all_bytes, oldest, newest, *gone = totals
    days = _days(connection, table, condition, bytes_)
    removed = zip(retentions, gone[: len(old)], gone[len(old) :], strict=True)
    return Statistics(
        table=table.name,
        kinds=table.kinds,
        sessions=sessions,
        users=users,
        runs=int(all_runs),
        bytes=int(all_bytes),
        oldest=oldest,
        newest=newest or None,
        days=days,
        months=_months(days),
        retentions=tuple(Retention(days, int(number), int(size)) for days, number, size in removed),
        largest=_largest(connection, table, condition, bytes_) if largest else (),
    )


def _measured(table: SessionTable, condition: sa.ColumnElement[bool], bytes_: sa.ColumnElement[Any]) -> Any:
    # Named once within, or the text, which takes longer to make than a small table to read, would say all five times.
    columns = table.sql.c
    what = (runs(table).label("runs"), bytes_.label("bytes"), active(table).label("used"))
    return sa.select(columns[USER_ID], columns.created_at, *what).where(condition).subquery().c


def _total(expression: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.func.coalesce(sa.func.sum(expression), 0)


def _days(
    connection: Connection, table: SessionTable, condition: sa.ColumnElement[bool], bytes_: sa.ColumnElement[Any]
) -> tuple[Growth, ...]:
    day = (table.sql.c.created_at - table.sql.c.created_at % DAY).label("day")
    query = sa.select(day, sa.func.count(), _total(bytes_)).where(condition, table.sql.c.created_at.is_not(None))
    rows = connection.execute(query.group_by(day).order_by(day))
    return tuple(Growth(_date(start), number, int(size)) for start, number, size in rows)


def _date(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(float(seconds), timezone.utc):%Y-%m-%d}"
    except (OverflowError, ValueError, OSError):  # somebody counted in milliseconds
        return "unknown"


def _months(days: Iterable[Growth]) -> tuple[Growth, ...]:
    sessions: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for day in days:
        sessions[day.period[:7]] += day.sessions
        sizes[day.period[:7]] += day.bytes
    return tuple(Growth(month, sessions[month], sizes[month]) for month in sessions)


def _largest(
    connection: Connection, table: SessionTable, condition: sa.ColumnElement[bool], bytes_: sa.ColumnElement[Any]
) -> tuple[SessionSummary, ...]:
    query = summary(table).where(condition).order_by(bytes_.desc()).limit(LARGEST)
    return tuple(SessionSummary(table.name, *row) for row in connection.execute(query))
