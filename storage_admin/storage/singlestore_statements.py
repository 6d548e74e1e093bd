"""The statements of SingleStore: none that its documentation, or Agno, does not show.

``VALUES(column)`` stands alone there, so that an upsert knows no condition. Who may write is found out afterwards, from
the row that the transaction has locked; what was written in vain is rolled back.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.dml import Insert

from storage_admin.storage.mysql_statements import MySQLStatements
from storage_admin.storage.sessions import SESSION_ID
from storage_admin.storage.statements import NOW, JsonText

EMPTY = (b"{}", b"null")


class Upsert(Insert):
    """An INSERT with an ON DUPLICATE KEY UPDATE of MySQL 5, whatever release the server says that it is.

    ``replaced`` are the columns that take the new value, apart from ``updated_at``, which takes ``:now``.
    """

    inherit_cache = False  # the columns to be replaced are no part of what SQLAlchemy tells statements apart by

    def __init__(self, table: sa.TableClause, replaced: tuple[str, ...]) -> None:
        super().__init__(table)
        self.replaced = replaced


@compiles(Upsert)
def _upsert(statement: Upsert, compiler: Any, **options: Any) -> str:
    quote = compiler.preparer.quote
    assignments = [f"{quote(name)} = VALUES({quote(name)})" for name in statement.replaced]
    now = compiler.process(sa.bindparam(NOW, type_=sa.BigInteger), **options)
    assignments.append(f"{quote('updated_at')} = {now}")
    return f"{compiler.visit_insert(statement, **options)} ON DUPLICATE KEY UPDATE {', '.join(assignments)}"


class SingleStoreStatements(MySQLStatements):
    """As `MySQLStatements`; an upsert leaves the owner of a row as it is, and ``own`` changes it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._upserts: dict[tuple[str, ...], sa.UpdateBase] = {}

    def upsert_of(self, parameters: dict[str, Any]) -> sa.UpdateBase:
        """The upsert of one session, which leaves out of what it replaces what an empty value is not to replace."""
        kept = tuple(name for name in self.kept_if_empty if parameters[name] in EMPTY)
        if kept not in self._upserts:
            skipped = {SESSION_ID, "user_id", *kept}
            replaced = tuple(name for name in self.stored_columns if name not in skipped)
            self._upserts[kept] = Upsert(self.table, replaced).values(
                {name: sa.bindparam(name, type_=sa.Text) for name in self.text_columns}
                | {name: sa.bindparam(name, type_=JsonText) for name in self.json_columns}
                | {"created_at": sa.bindparam("created_at", type_=sa.BigInteger)}
            )
        return self._upserts[kept]

    @cached_property
    def stored(self) -> sa.Select[Any]:
        """What is in the row of ``:session_id``, or of what compares as equal: a transaction reads its own writes."""
        this = self.table.c.session_id == sa.bindparam(SESSION_ID, type_=sa.Text)
        return sa.select(*self._read_columns).where(this)

    @cached_property
    def own(self) -> sa.Update:
        """Give the row of ``:this`` to ``:owner``."""
        this = self.table.c.session_id == sa.bindparam("this", type_=sa.Text)
        return sa.update(self.table).where(this).values(user_id=sa.bindparam("owner", type_=sa.Text))

    def _is(self, column: sa.ColumnElement[str], name: str) -> sa.ColumnElement[bool]:
        bound = sa.bindparam(name, type_=sa.Text)
        return sa.and_(column == bound, sa.func.BINARY(column) == sa.func.BINARY(bound))
