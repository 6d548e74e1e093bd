"""What is worth a reader's while about the tables that were found, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.access import is_lenient, narrow_texts
from storage_admin.changes import AddColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection

    from storage_admin.access import TableFacts
    from storage_admin.changes import Plan
    from storage_admin.compare import Resemblance
    from storage_admin.dialects import Dialect
    from storage_admin.schema import TableName

SHOWN = 3

# What was seen, and what to do about it; `doctor` says the same.
LENIENT = (
    (
        "the server is not strict (sql_mode has no STRICT_TRANS_TABLES): it cuts a text that is too long for its column"
        " and says nothing; MySQLStorage of storage-admin refuses such a session, Agno's own class does not notice"
    ),
    "SET GLOBAL sql_mode = CONCAT(@@GLOBAL.sql_mode, ',STRICT_TRANS_TABLES'), and the same in the server's settings",
)
NARROW = (
    (
        "texts of {tables} are in {character_set}, which lacks some characters: an id or a name with an emoji, perhaps,"
        " cannot be stored"
    ),
    "In a quiet hour, since it copies the table: ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4",
)


def publication_notes(plans: Iterable[Plan], facts: Mapping[TableName, TableFacts]) -> Iterator[str]:
    """A note for each set of publications whose tables get columns that their subscribers may lack."""
    published: dict[str, list[str]] = {}
    for plan in plans:
        known = facts.get(plan.table)
        if known is not None and known.publications and any(isinstance(c, AddColumn) for c in plan.changes):
            published.setdefault(known.publications, []).append(str(plan.table))
    for publications, tables in published.items():
        others = f" and {len(tables) - SHOWN} more" if len(tables) > SHOWN else ""
        yield (
            f"{', '.join(tables[:SHOWN])}{others}: published by {publications}; upgrade the subscribers first, or "
            "replication stops at the first row with a column that they lack"
        )


def text_notes(connection: Connection, dialect: Dialect, plans: Iterable[Plan]) -> Iterator[str]:
    """A server that stores in silence what is not what was sent; character sets, other than utf8mb4, of some tables."""
    if is_lenient(connection, dialect):
        seen, advice = LENIENT
        yield f"{seen}; to have it strict: {advice}"
    found = narrow_texts(connection, dialect, [plan.table for plan in plans if plan.live is not None])
    for character_set, names in found.items():
        others = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        tables = ", ".join(map(str, names[:SHOWN])) + others
        seen, advice = (text.format(tables=tables, character_set=character_set) for text in NARROW)
        yield f"{seen}; {advice[0].lower()}{advice[1:]}"


def near_miss(name: TableName, like: Resemblance) -> str:
    """A table that lacks one column of a kind: most likely one of ours, from which somebody dropped it."""
    return (
        f"{name} looks like a table for {like.kind}, but has no column {like.missing[0]}; if it is one, name it: "
        f"{name}={like.kind}"
    )
