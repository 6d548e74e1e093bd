"""PostgreSQL makes the line of each row itself, and COPY brings it: a message for each, binary, so without escapes."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import sqlalchemy as sa

from storage_admin.database import tell
from storage_admin.errors import UsageError
from storage_admin.sessions.driver import driver_errors
from storage_admin.sessions.formats import BASE64, NULL_FORM, OWN, TEXT_FORM, Block
from storage_admin.sessions.tables import SESSION_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg
    from sqlalchemy import Connection

    from storage_admin.sessions.tables import SessionColumn, SessionTable

BLOCK = 1 << 20  # bytes of lines that are handed on together
LARGE = 8 << 20  # bytes as they are stored, of a row that may be too large for one message when it is written out
SIGNATURE = b"PGCOPY\n\xff\r\n\0"
FILE_HEAD = 19  # bytes before the first row
ROW_HEAD = 6  # bytes before its only field
KEY = b'"'  # begins what is no line
ARGUMENTS = 90  # of a function; PostgreSQL takes a hundred
PLAIN = frozenset(
    {"boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric"}
    | {"character varying", "text", "character"}
)


def base_type(live: str) -> str:
    """A type without its length."""
    return live.split("(", 1)[0].strip().lower()


class _Field(NamedTuple):
    """A column on its way into a line: ``value`` is JSON as a text, ``form`` what is said about it."""

    key: str
    value: sa.ColumnElement[Any]
    form: sa.ColumnElement[Any] | None


def line_query(
    table: SessionTable,
    columns: Sequence[SessionColumn],
    condition: sa.ColumnElement[bool],
    limit: int | None = None,
    *,
    large: bool = False,
) -> sa.Select[Any]:
    """A query that makes the line of each row. One that may be too ``large`` gives its key alone, unless asked for."""
    inner: list[sa.ColumnElement[Any]] = []
    for number, column in enumerate(columns):
        value, form = _written(table.sql.c[column.name], column)
        inner += [value.label(f"v{number}"), *([form.label(f"f{number}")] if form is not None else [])]
    sizes = [sa.func.coalesce(sa.func.pg_column_size(table.sql.c[c.name]), 0) for c in columns]
    key = table.sql.c[SESSION_ID]
    query = sa.select(*inner, sum(sizes[1:], sizes[0]).label("size"), key.label("key")).where(condition)
    # OFFSET 0 keeps the two apart, so that a value is written out once and then looked at.
    row = (query.order_by(key).limit(limit) if limit is not None else query.offset(0)).subquery("s")
    line = _line([_field(row, number, column) for number, column in enumerate(columns)])
    if not large:
        line = sa.case((row.c.size > LARGE, sa.cast(sa.func.to_json(row.c.key), sa.Text)), else_=line)
    return sa.select(line)


def _written(
    column: sa.ColumnElement[Any], facts: SessionColumn
) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any] | None]:
    """A value as a JSON text; and what is said about it, where it takes a look at the column itself."""
    kind, text = base_type(facts.live), sa.cast(column, sa.Text)
    if kind == "jsonb":
        return text, None
    if kind == "json":  # as it was sent: with its white space
        odd = text.regexp_match(r"[\r\n]|^\s|\s$")
        form = sa.case((odd, TEXT_FORM), (text == "null", NULL_FORM))
        return sa.case((odd, _quoted(text)), else_=text), form
    if facts.is_json:
        return _quoted(text), sa.case((column.is_not(None), TEXT_FORM))
    if kind in PLAIN:
        return _quoted(column), None
    if kind == "bytea":
        encoded = sa.func.translate(sa.func.encode(column, "base64"), "\n", "")
        built = sa.cast(sa.func.json_build_object(sa.literal(BASE64, sa.Text), encoded), sa.Text)
        return sa.case((column.is_not(None), built)), None
    return _quoted(text), None


def _quoted(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.cast(sa.func.to_json(value), sa.Text)


def _field(row: sa.Subquery, number: int, column: SessionColumn) -> _Field:
    value = row.c[f"v{number}"]
    form: sa.ColumnElement[Any] | None = None
    if column.is_json:
        form = sa.case((value == "null", NULL_FORM)) if base_type(column.live) == "jsonb" else row.c[f"f{number}"]
    return _Field(json.dumps(column.name, ensure_ascii=False), value, form)


def _line(fields: Sequence[_Field]) -> sa.ColumnElement[Any]:
    parts: list[sa.ColumnElement[Any]] = []
    for number, field in enumerate(fields):
        parts += [_text(f"{',' if number else '{'}{field.key}:"), sa.func.coalesce(field.value, "null")]
    forms = [(field.key, field.form) for field in fields if field.form is not None]
    told = [sa.case((form.is_not(None), sa.func.concat(_text(f",{key}:"), '"', form, '"'))) for key, form in forms]
    if forms:
        some = sa.or_(*(form.is_not(None) for _, form in forms))
        inside = sa.func.ltrim(sa.func.concat(*told), ",")
        parts.append(sa.case((some, sa.func.concat(_text(f',"{OWN}":{{'), inside, "}"))))
    parts.append(_text("}\n"))
    while len(parts) > 1:
        parts = [sa.func.concat(*parts[at : at + ARGUMENTS]) for at in range(0, len(parts), ARGUMENTS)]
    return parts[0]


def _text(text: str) -> sa.ColumnElement[str]:
    return sa.literal(text, sa.Text)


# --- COPY --------------------------------------------------------------------------------------------------


def driver_of(connection: Connection) -> psycopg.Connection[Any]:
    """The connection of the driver.

    Raises:
        UsageError: the driver is another one, which has no COPY of this kind.
    """
    if connection.dialect.driver != "psycopg":
        raise UsageError(problem=f"{connection.dialect.driver} cannot do this; write postgresql+psycopg:// in the URL.")
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


@contextmanager
def spoken_utf8(driver: psycopg.Connection[Any]) -> Iterator[None]:
    """Let the server speak UTF-8 meanwhile, whatever the encoding of the database."""
    if driver.info.encoding == "utf-8":
        yield
        return
    driver.execute("SET client_encoding TO 'UTF8'")
    yield
    driver.execute("RESET client_encoding")


class CopyOut:
    """A query that makes lines, compiled once: it may be run again, with other values for its parameters.

    Once its lines were read, ``large`` has the keys of the rows that may be too large, and ``last`` that of the last
    row, in JSON; a line is there in its place.
    """

    def __init__(self, connection: Connection, query: sa.Select[Any]) -> None:
        self.connection = connection
        compiled = query.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
        self._statement: Any = f"COPY ({compiled}) TO STDOUT (FORMAT binary)"
        self._values = compiled.params
        self.large: list[bytes] = []
        self.last: bytes | None = None

    def lines(self, **values: Any) -> Iterator[Block]:
        """The lines that it makes, some at a time.

        Raises:
            DBAPIError. UsageError: as `driver_of`.
        """
        driver = driver_of(self.connection)
        tell(self._statement)
        self.large, self.last = [], None
        errors, values = driver_errors(self.connection, "COPY"), self._values | values
        with errors, spoken_utf8(driver), driver.cursor() as cursor, cursor.copy(self._statement, values) as copy:
            yield from self._blocks(copy)

    def _blocks(self, copy: psycopg.Copy) -> Iterator[Block]:
        lines: list[bytes] = []
        size = 0
        for data in copy:
            message = bytes(data)
            if message.startswith(SIGNATURE):
                message = message[FILE_HEAD:]
            line = message[ROW_HEAD:]
            if not line:  # the end of the data has no field
                continue
            self.last = line
            if line.startswith(KEY):
                self.large.append(line)
                continue
            lines.append(line)
            size += len(line)
            if size >= BLOCK:
                yield Block.of(lines)
                lines, size = [], 0
        if lines:
            yield Block.of(lines)
