"""A session to a row and back. Nothing is sent from here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from storage_admin.errors import NotASession, NotStorable, SessionUnreadable
from storage_admin.storage.encoding import Unencodable, decode
from storage_admin.storage.old_runs import readable_by_both
from storage_admin.storage.sessions import SESSION_ID, session_class, session_from, values_of
from storage_admin.storage.statements import NOW

if TYPE_CHECKING:
    from sqlalchemy import Row

    from storage_admin.storage.encoding import Encoder
    from storage_admin.storage.statements import Statements


LAST_SECOND = 2**63
MEMORY = "memory"  # the column, of all kinds but one


class Packed:
    """A session on its way into the table.

    ``parameters`` are those of the upsert; ``replaced`` has the places of what the database cannot hold as it is, and
    the form in which it is stored.
    """

    def __init__(self, session: Any, kind: str, statements: Statements, encoder: Encoder, table: str) -> None:
        if session.session_id is None:
            raise NotASession(found="a session without a session_id")
        values = values_of(session, kind, statements.stored_columns)
        self._class, self._kind, self._statements, self._table = type(session), kind, statements, table
        self._fresh: dict[str, Any] = {}
        now = int(time.time())
        try:
            created_at = as_epoch(session.created_at, "created_at") or now
            self.parameters: dict[str, Any] = {NOW: now, "created_at": created_at}
            for name in statements.text_columns:
                self.parameters[name] = self._fresh[name] = encoder.text(as_text(values[name]), name)
            for name in statements.json_columns:
                self.parameters[name], self._fresh[name] = encoder.json(values[name], name)
        except Unencodable as error:
            problem = {"path": error.path, "problem": error.problem}
            raise NotStorable(table=table, session_id=session.session_id, **problem) from None
        self.replaced = encoder.replaced

    def stored(self, row: Row[Any]) -> Any:
        """The session as it is stored now, given what the upsert returned: a new object of the same class."""
        return session_from(self._class, self._kind, self._fresh | decoded(row, self._statements, self._table))


def unpacked(row: Row[Any], kind: str, statements: Statements, table: str) -> Any:
    """The session of a row.

    Raises:
        SessionUnreadable: a column holds something else than JSON, or than a session of this kind.
    """
    values = decoded(row, statements, table)
    name = values[SESSION_ID]
    if MEMORY in values:
        values[MEMORY] = readable_by_both(values[MEMORY], name)
    try:
        return session_from(session_class(kind), kind, values)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise SessionUnreadable(table=table, session_id=name, column=f"a column of a {kind}", problem=problem) from None


def decoded(row: Row[Any], statements: Statements, table: str) -> dict[str, Any]:
    """The values of a row, with its JSON decoded. Raises as `unpacked`."""
    values = row._asdict()
    for name in values.keys() & set(statements.json_columns) if statements.json_comes_as_text else ():
        try:
            values[name] = decode(values[name])
        except (ValueError, RecursionError) as error:
            found = {"session_id": values.get(SESSION_ID), "column": name, "problem": str(error)}
            raise SessionUnreadable(table=table, **found) from None
    return values


def as_epoch(value: object, path: str) -> int | None:
    """A time in seconds, None where there is none.

    Raises:
        Unencodable: it is no number of seconds that a column can hold.
    """
    if value is None or (isinstance(value, (int, float)) and abs(value) < LAST_SECOND):
        return int(value) if value is not None else None
    raise Unencodable(path, f"{type(value).__name__} is no time in seconds")


def as_text(value: object) -> str | None:
    """An id as a text: users give UUIDs and numbers too."""
    return value if value is None or isinstance(value, str) else str(value)
