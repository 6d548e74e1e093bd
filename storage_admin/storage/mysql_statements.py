"""The statements of MySQL and MariaDB, which return nothing of what they wrote, and by whose default 'A' is 'a'."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from storage_admin.storage.sessions import SESSION_ID
from storage_admin.storage.statements import NOW, JsonText, Statements

UTF8 = mysql.VARCHAR(charset="utf8mb4")


class MySQLStatements(Statements):
    """As `Statements`, where an upsert is followed by a look at what has become of it: `stored`.

    Columns compare as their collation says, without regard to case or to spaces at the end. An id is one text only, so
    each comparison is made twice: by the column, which finds the row by its index, and byte by byte.
    """

    @cached_property
    def upsert(self) -> sa.UpdateBase:
        """Insert or replace: the stored columns, ``:created_at`` and ``:now``; nothing where the row is another's."""
        statement = mysql.insert(self.table).values(
            {name: sa.bindparam(name, type_=sa.Text) for name in self.text_columns}
            | {name: sa.bindparam(name, type_=JsonText) for name in self.json_columns}
            | {"created_at": sa.bindparam("created_at", type_=sa.BigInteger)}
        )
        new, old = statement.inserted, self.table.c
        # The key of the row may be another text that compares as equal.
        ours = _bytes(old.session_id) == _bytes(new.session_id)
        if self.keep_owner:
            ours &= sa.or_(old.user_id.is_(None), new.user_id.is_(None), _bytes(old.user_id) == _bytes(new.user_id))
        replaced: dict[str, sa.ColumnElement[Any]] = {
            name: new[name] for name in self.stored_columns if name not in (SESSION_ID, "user_id")
        }
        for name in self.kept_if_empty:
            empty = sa.cast(new[name], sa.Text).in_([sa.literal_column("'{}'"), sa.literal_column("'null'")])
            replaced[name] = sa.case((empty, old[name]), else_=new[name])
        replaced["updated_at"] = sa.bindparam(NOW, type_=sa.BigInteger)
        # An assignment counts for the conditions of those after it, so that of the owner is the last.
        replaced["user_id"] = sa.func.coalesce(new.user_id, old.user_id)
        done: sa.UpdateBase = statement.on_duplicate_key_update(
            [(name, sa.case((ours, value), else_=old[name])) for name, value in replaced.items()]
        )
        return done

    @cached_property
    def stored(self) -> sa.Select[Any]:
        """What is in the row of ``:session_id``, or of what compares as equal to it, after an upsert.

        All ids, the times, and what an empty value did not replace. To be read as it is now, and not as it was when the
        transaction began, it is locked, as it is already.
        """
        kept = [column for column in self._read_columns if column.name in self.kept_if_empty]
        columns = [self.table.c[name] for name in (*self.text_columns, "created_at", "updated_at")]
        this = self.table.c.session_id == sa.bindparam(SESSION_ID, type_=sa.Text)
        return sa.select(*columns, *kept).where(this).with_for_update()

    @cached_property
    def _read_columns(self) -> tuple[sa.ColumnElement[Any], ...]:
        return tuple(self.table.c)

    def _is(self, column: sa.ColumnElement[str], name: str) -> sa.ColumnElement[bool]:
        bound = sa.bindparam(name, type_=sa.Text)
        return sa.and_(column == bound, _bytes(sa.cast(column, UTF8)) == _bytes(sa.cast(bound, UTF8)))


def _bytes(text: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
    return sa.cast(text, mysql.BINARY)
