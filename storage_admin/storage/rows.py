"""A session to a row and back. Nothing is sent from here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from storage_admin.errors import NotASession, NotStorable, SessionUnreadable
from storage_admin.storage.encoding import Encoder, Unencodable, decode
from storage_admin.storage.sessions import SESSION_ID, session_class, session_from, values_of
from storage_admin.storage.statements import NOW

if TYPE_CHECKING:
    from sqlalchemy import Row

    from storage_admin.dialects import Dialect
    from storage_admin.storage.statements import Statements


class Packed:
    """A session on its way into the table.

    ``parameters`` are those of the upsert; ``replaced`` has the places of what the database cannot hold as it is, and
    the form in which it is stored.
    """

    def __init__(self, session: Any, kind: str, statements: Statements, dialect: Dialect, table: str) -> None:
        if session.session_id is None:
            raise NotASession(found="a session without a session_id")
        encoder = Encoder(dialect)
        values = values_of(session, kind, statements.stored_columns)
        self._class, self._kind, self._statements, self._table = type(session), kind, statements, table
        self._fresh: dict[str, Any] = {}
        now = int(time.time())
        self.parameters: dict[str, Any] = {NOW: now, "created_at": int(session.created_at or now)}
        for name in statements.text_columns:
            self.parameters[name] = self._fresh[name] = encoder.text(as_text(values[name]), name)
        for name in statements.json_columns:
            try:
                self.parameters[name], self._fresh[name] = encoder.json(values[name], name)
            except Unencodable as error:
                problem = {"path": error.path, "problem": error.problem}
                raise NotStorable(table=table, session_id=self.parameters[SESSION_ID], **problem) from None
        self.replaced = encoder.replaced

    def stored(self, row: Row[Any]) -> Any:
        """The session as it is stored now, given what the upsert returned: a new object of the same class."""
        return session_from(self._class, self._kind, self._fresh | decoded(row, self._statements, self._table))


def unpacked(row: Row[Any], kind: str, statements: Statements, table: str) -> Any:
    """The session of a row.

    Raises:
        SessionUnreadable: a column holds something else than JSON.
    """
    return session_from(session_class(kind), kind, decoded(row, statements, table))


def decoded(row: Row[Any], statements: Statements, table: str) -> dict[str, Any]:
    """The values of a row, with its JSON decoded. Raises as `unpacked`."""
    values = row._asdict()
    for name in values.keys() & set(statements.json_columns) if statements.dialect == "sqlite" else ():
        try:
            values[name] = decode(values[name])
        except ValueError as error:
            found = {"session_id": values.get(SESSION_ID), "column": name, "problem": str(error)}
            raise SessionUnreadable(table=table, **found) from None
    return values


def as_text(value: object) -> str | None:
    """An id as a text: users give UUIDs and numbers too."""
    return value if value is None or isinstance(value, str) else str(value)
