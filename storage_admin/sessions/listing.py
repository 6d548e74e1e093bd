"""Which sessions there are: sorted, page by page by key, so that the last page costs what the first one does."""

from __future__ import annotations

import heapq
from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import sqlalchemy as sa

from storage_admin.errors import UsageError
from storage_admin.inspector import holds_more_than
from storage_admin.schema import TableName
from storage_admin.sessions.filters import active, whole, whole_number
from storage_admin.sessions.measures import runs, session_name, size
from storage_admin.sessions.tables import SESSION_ID, USER_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from storage_admin.sessions.filters import Filter
    from storage_admin.sessions.tables import SessionTable

Sort = Literal["updated", "created", "id"]
FEW = 20_000  # rows, that are read and sorted before anybody notices


class SessionSummary(msgspec.Struct, frozen=True):
    """A session in a line. Times are seconds since 1970; ``bytes`` is what its columns take where they are stored.

    ``runs`` is None where there is no list of runs.
    """

    table: TableName
    kind: str
    session_id: str
    user_id: str | None
    entity_id: str | None
    name: str | None
    created_at: int | None
    updated_at: int | None
    runs: int | None
    bytes: int | None


class Page(msgspec.Struct, frozen=True):
    """Some sessions in order. ``next`` goes on after them, None at the end; ``notes`` say what was slow, and why."""

    sessions: tuple[SessionSummary, ...]
    next: str | None
    sort: Sort
    notes: tuple[str, ...] = ()


class _Key(msgspec.Struct, frozen=True):
    """The place of a session in the order: its time (0 when sorted by id), the number of its table, its id."""

    value: int
    table: int
    session_id: str


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    sort: Sort
    value: int
    schema: str | None
    table: str
    session_id: str


def page(
    connection: Connection,
    tables: Sequence[SessionTable],
    wanted: Filter,
    *,
    sort: Sort | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page:
    """One page, the newest sessions first, or in the order of tables and ids.

    Without ``sort`` it is by the last activity, unless that would mean to read a large table: then it is by id, and a
    note says so.

    Raises:
        UsageError: ``after`` is not what a page of this listing gave.
    """
    tables = [table for table in tables if wanted.fits(table)]
    cursor = _read_cursor(after, tables) if after is not None else None
    slow = [t for t in tables if not wanted.is_indexed(t) and holds_more_than(connection, t.dialect, t.name, FEW)]
    notes = []
    if sort is None:
        sort = cursor.sort if cursor is not None else ("id" if slow else "updated")
        if slow and cursor is None:
            notes.append(f"{_named(slow)}: too large to be sorted by time, so this is by id; --sort updated does it")
    elif slow and sort != "id":
        notes.append(f"{_named(slow)}: no index serves this order, so each row was read")
    if slow and not msgspec.structs.replace(wanted, kind=None).empty:
        notes.append(f"{_named(slow)}: no index serves this filter, so many rows were read, or all")
    keys = _keys(connection, tables, wanted, sort, limit + 1, cursor)
    found = _details(connection, tables, keys[:limit])
    last = keys[limit - 1] if len(keys) > limit else None
    return Page(found, _written(last, sort, tables) if last is not None else None, sort, tuple(notes))


def _named(tables: Iterable[SessionTable]) -> str:
    return ", ".join(str(table.name) for table in tables)


# --- keys --------------------------------------------------------------------------------------------------


def _keys(
    connection: Connection,
    tables: Sequence[SessionTable],
    wanted: Filter,
    sort: Sort,
    limit: int,
    cursor: _Cursor | None,
) -> list[_Key]:
    start = _Key(cursor.value, _place(cursor, tables), cursor.session_id) if cursor is not None else None
    if sort == "id":
        found: list[_Key] = []
        for number in range(start.table if start else 0, len(tables)):
            found += _keys_of(connection, tables, number, wanted, sort, limit - len(found), start)
            if len(found) == limit:
                break
        return found
    streams = [_keys_of(connection, tables, n, wanted, sort, limit, start) for n in range(len(tables))]
    return list(islice(heapq.merge(*streams, key=lambda key: (-key.value, key.table)), limit))


def _keys_of(
    connection: Connection,
    tables: Sequence[SessionTable],
    number: int,
    wanted: Filter,
    sort: Sort,
    limit: int,
    start: _Key | None,
) -> list[_Key]:
    table = tables[number]
    name = table.sql.c[SESSION_ID]
    value: sa.ColumnElement[Any] = sa.literal_column("0")
    if sort != "id":
        value = active(table) if sort == "updated" else whole_number(sa.func.coalesce(table.sql.c.created_at, 0), table)
    query = sa.select(value, name).where(wanted.condition(table)).limit(limit)
    query = query.order_by(name) if sort == "id" else query.order_by(value.desc(), name)
    if start is not None:
        later, moment = name > sa.literal(start.session_id, sa.Text), whole(start.value)
        if sort == "id":
            query = query.where(later) if number == start.table else query
        elif number == start.table:
            query = query.where(sa.or_(value < moment, sa.and_(value == moment, later)))
        else:
            query = query.where(value <= moment if number > start.table else value < moment)
    return [_Key(int(row[0]), number, row[1]) for row in connection.execute(query)]


def _place(cursor: _Cursor, tables: Sequence[SessionTable]) -> int:
    name = TableName(cursor.schema, cursor.table)
    return next(number for number, table in enumerate(tables) if table.name == name)


def _written(key: _Key, sort: Sort, tables: Sequence[SessionTable]) -> str:
    name = tables[key.table].name
    data = msgspec.json.encode(_Cursor(sort, key.value, name.schema, name.name, key.session_id))
    return urlsafe_b64encode(data).decode().rstrip("=")


def _read_cursor(text: str, tables: Sequence[SessionTable]) -> _Cursor:
    try:
        cursor = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Cursor)
        _place(cursor, tables)
    except (ValueError, StopIteration, msgspec.MsgspecError):
        raise UsageError(problem="That is no place in this listing. Take the one that the last page named.") from None
    return cursor


# --- details -----------------------------------------------------------------------------------------------


def _details(
    connection: Connection, tables: Sequence[SessionTable], keys: Sequence[_Key]
) -> tuple[SessionSummary, ...]:
    found: dict[tuple[int, str], SessionSummary] = {}
    for number in dict.fromkeys(key.table for key in keys):
        ids = [key.session_id for key in keys if key.table == number]
        query = summary(tables[number]).where(tables[number].sql.c[SESSION_ID].in_(ids))
        for row in connection.execute(query):
            found[number, row[1]] = SessionSummary(tables[number].name, *row)
    places = ((key.table, key.session_id) for key in keys)
    return tuple(found[place] for place in places if place in found)  # one may be gone since


def summary(table: SessionTable) -> sa.Select[Any]:
    """The rows of `SessionSummary`, without the table."""
    columns = table.sql.c
    return sa.select(
        table.kind,
        columns[SESSION_ID],
        columns[USER_ID],
        sa.func.coalesce(*table.entities.values(), sa.null()),
        session_name(table),
        columns.created_at,
        columns.updated_at,
        runs(table),
        size(table),
    )
