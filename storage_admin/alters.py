"""MySQL's way to change a table: one ALTER TABLE with all columns, and one with all indexes.

Each statement of DDL is committed at once there, so the fewer there are, the less can be left half done. The two are
not one, since a table that gets an index cannot get its columns in no time: the whole table would be written anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.changes import AddColumn, CreateIndex, CreateSchema, CreateTable, RebuildIndex, SetDefault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from storage_admin.changes import Change
    from storage_admin.dialects import Dialect
    from storage_admin.schema import TableName

    Render = Callable[[Iterable[Change]], tuple[str, ...]]
    Quote = Callable[[str], str]


def combined(
    table: TableName, changes: Iterable[Change], dialect: Dialect, render: Render, quote: Quote
) -> tuple[str, ...]:
    """The statements of some changes, with those of one sort in one ALTER TABLE; ``render`` renders one by one."""
    changes = tuple(changes)
    name = ".".join(quote(part) for part in (table.schema, table.name) if part is not None)
    head = f"ALTER TABLE {name} "
    made = render(change for change in changes if isinstance(change, (CreateSchema, CreateTable)))
    columns = [
        statement.removeprefix(head)
        for statement in render(change for change in changes if isinstance(change, (AddColumn, SetDefault)))
    ]
    indexes = []
    for change in changes:
        if isinstance(change, (CreateIndex, RebuildIndex)):
            listed = ", ".join(quote(column) for column in change.index.columns)
            indexes.append(f"ADD INDEX {quote(change.name)} ({listed})")
    parts = ((columns, dialect.algorithms[0]), (indexes, dialect.algorithms[-1]))
    return (*made, *(f"{head}{', '.join(clauses)}{algorithm}" for clauses, algorithm in parts if clauses))


def ways(statement: str, dialect: Dialect, *, copy: bool) -> tuple[str, ...]:
    """A statement, and the same with each algorithm that comes after its own; at last, with ``copy``, with none."""
    for place, algorithm in enumerate(dialect.algorithms):
        if statement.endswith(algorithm):
            bare = statement.removesuffix(algorithm)
            return (*(bare + later for later in dialect.algorithms[place:]), *((bare,) if copy else ()))
    return (statement,)
