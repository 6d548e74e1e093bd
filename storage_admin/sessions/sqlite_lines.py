"""SQLite gives the parts of a line; only rows that hold something odd are looked at value by value.

A column of SQLite holds whatever was put there. What should be JSON comes as it is and is looked at here: its own
judgement of JSON takes longer, and is another one.
"""

from __future__ import annotations

import re
from itertools import chain, repeat
from math import isqrt
from typing import TYPE_CHECKING, Any, cast

import msgspec
import sqlalchemy as sa

from storage_admin.sessions.driver import driver_errors
from storage_admin.sessions.formats import NULL_FORM, OWN, Block, LineMaker, StoredText, is_utf8
from storage_admin.sessions.tables import SESSION_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from storage_admin.sessions.tables import SessionColumn, SessionTable

FIRST, ROWS, BLOCK = 8, 500, 1 << 17  # rows that are fetched together: at first, at most, and their bytes, about
ROWID = "rowid"
UNSAFE = re.compile(rb'[\x00-\x1f"\\]').search  # what has to be escaped in quotes
NULL = b"null"
# The types of the values that are written as they are.
TEXTS, NULLS, NUMBERS, WRITTEN = {bytearray}, {type(None)}, {int, type(None)}, {bytearray, int, type(None)}

_encode = msgspec.json.Encoder().encode
_raws: Callable[[bytes], Sequence[Any]] = msgspec.json.Decoder(list[msgspec.Raw]).decode


def has_rowid(connection: Connection, table: SessionTable) -> bool:
    """Whether a row can be found again by its number."""
    if any(column.name.lower() == ROWID for column in table.columns):
        return False
    try:
        connection.execute(sa.select(sa.column(ROWID)).select_from(table.sql).limit(0))
    except sa.exc.OperationalError as error:
        if f"no such column: {ROWID}" not in str(error.orig):
            raise
        return False
    return True


class _Ends(dict["tuple[str | None, ...]", bytes]):
    """The end of a line, by the JSON columns that hold JSON's null, which is told from NULL there."""

    def __missing__(self, nulls: tuple[str | None, ...]) -> bytes:
        forms = _encode({OWN: {name: NULL_FORM for name in nulls if name is not None}})
        self[nulls] = end = b"," + forms[1:-1] + b"}\n" if any(nulls) else b"}\n"
        return end


class SQLiteLines:
    """The lines of a table that `has_rowid`."""

    def __init__(self, connection: Connection, table: SessionTable, columns: Sequence[SessionColumn]) -> None:
        self._connection, self._table = connection, table
        self._columns = [(column.name, column.is_json, _encode(column.name) + b":") for column in columns]
        self._make = LineMaker({column.name: column.is_json for column in columns})
        self._ends = _Ends()

    def query(self, condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
        """The rows that `lines` makes lines of."""
        columns = [self._table.sql.c[name] for name, *_ in self._columns]
        return sa.select(*columns, sa.column(ROWID)).where(condition)

    def lines(self, query: sa.Select[Any]) -> Generator[Block, None, Any]:
        """The lines of the rows, some at a time. Returns the id of the last row, a text as an array of bytes.

        Raises:
            DBAPIError
        """
        driver: Any = self._connection.connection.driver_connection
        # By the driver itself, since SQLAlchemy makes an object of each row.
        compiled: Any = query.compile(dialect=self._connection.dialect, compile_kwargs={"render_postcompile": True})
        parameters = [compiled.params[name] for name in compiled.positiontup]
        before, last = driver.text_factory, None
        key = [name for name, *_ in self._columns].index(SESSION_ID)
        count = FIRST
        try:
            driver.text_factory = bytearray  # of texts alone: a blob is bytes
            with driver_errors(self._connection, "SELECT"):
                cursor = driver.execute(str(compiled), parameters)
                while rows := cursor.fetchmany(count):
                    blocks = self._blocks(driver, rows)
                    yield from blocks
                    last = rows[-1][key]
                    size = sum(len(block.data) for block in blocks)
                    count = max(1, min(ROWS, BLOCK * len(rows) // (size + 1)))
        finally:
            driver.text_factory = before
        return last

    def _blocks(self, driver: Any, rows: Sequence[tuple[Any, ...]]) -> list[Block]:
        """The lines of these rows. Those that need a closer look may be gone by now."""
        found = list(self._looked_over(rows))
        if not (odd := [number for number in found if isinstance(number, int)]):
            return cast("list[Block]", found)
        lines = self._closer(driver, odd)
        whole = [part if isinstance(part, Block) else lines.get(part) for part in found]
        return [block for block in whole if block is not None]

    def _looked_over(self, rows: Sequence[tuple[Any, ...]]) -> Iterator[Block | int]:
        """The lines of all rows together, and where there is something odd, of fewer; the number of a row that is."""
        if (data := self._together(rows)) is not None:
            yield Block(data, len(rows))
        elif len(rows) == 1:
            yield rows[0][-1]
        else:
            step = isqrt(len(rows))
            for start in range(0, len(rows), step):
                yield from self._looked_over(rows[start : start + step])

    def _together(self, rows: Sequence[tuple[Any, ...]]) -> bytes | None:
        """The lines of all rows, made column by column; None if one of them needs a closer look."""
        parts: list[Iterable[bytes | bytearray]] = []
        jsons: list[bytearray] = []
        others: list[bytearray] = []
        nulls: list[Sequence[str | None]] = []
        between = b"{"  # what is the same in all rows, until the next value
        for (name, is_json, key), values in zip(self._columns, zip(*rows, strict=True), strict=False):
            kinds = set(map(type, values))
            if kinds == NULLS:
                between += key + b"null,"
                continue
            if kinds <= NUMBERS:
                parts += [repeat(between + key), _encode(values)[1:-1].split(b",")]
                between = b","
                continue
            if not kinds <= WRITTEN:
                return None
            texts = values if kinds == TEXTS else [value for value in values if type(value) is bytearray]
            if not is_json:
                others += texts
            else:
                jsons += texts
                if NULL in texts:  # which is equal to such an array
                    nulls.append([name if value == NULL else None for value in values])
            quote = b'"' if kinds == TEXTS and not is_json else b""
            parts += [repeat(between + key + quote), values if kinds == TEXTS else _written(values, is_json)]
            between = quote + b","
        if not (_are_plain(others) and _are_json(jsons)):
            return None
        parts.append(repeat(between[:-1], len(rows)))
        parts.append(map(self._ends.__getitem__, zip(*nulls, strict=True)) if nulls else repeat(self._ends[()]))
        return b"".join(chain.from_iterable(zip(*parts, strict=False)))

    def _closer(self, driver: Any, numbers: Sequence[int]) -> dict[int, Block]:
        """The lines of these rows, looked at value by value."""
        rowid: sa.ColumnElement[Any] = sa.column(ROWID)
        columns = [self._table.sql.c[name] for name, *_ in self._columns]
        driver.text_factory = StoredText
        try:
            rows = self._connection.execute(sa.select(rowid, *columns).where(rowid.in_(numbers)))
            return {number: Block(self._make(values), 1) for number, *values in rows}
        finally:
            driver.text_factory = bytearray


def _written(values: Sequence[Any], is_json: bool) -> list[bytes]:
    """Values of which some are no text."""
    text = b"%b" if is_json else b'"%b"'
    return [b"null" if v is None else b"%d" % v if type(v) is int else text % v for v in values]


def _are_plain(texts: Sequence[bytearray]) -> bool:
    """Whether each can stand in quotes as it is."""
    together = b" ".join(texts)  # apart, so that no two of them are UTF-8 only together
    return not UNSAFE(together) and is_utf8(together)


def _are_json(texts: Sequence[bytearray]) -> bool:
    """Whether each is JSON that can stand in a line as it is: in UTF-8, without space around it or line breaks."""
    together = b",".join(texts)
    if b"\n" in together or b"\r" in together:
        return False
    try:
        # Found again one by one, so that no two of them are JSON only together.
        return _raws(b"".join((b"[", together, b"]"))) == texts and is_utf8(together)
    except (msgspec.MsgspecError, RecursionError):
        return False
