"""What is worth a reader's while about the tables that were found, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.access import is_lenient, narrow_texts
from storage_admin.changes import AddColumn, Status
from storage_admin.compare import difference, identify
from storage_admin.naming import argument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from storage_admin.access import TableFacts
    from storage_admin.catalog import Catalog
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
        yield (
            f"{_some(tables)}: published by {publications}; upgrade the subscribers first, or "
            "replication stops at the first row with a column that they lack"
        )


def plan_notes(plans: Sequence[Plan], catalog: Catalog, dialect: Dialect, *, details: bool) -> Iterator[str]:
    """What a repair leaves, a log that says more than the shape, and with ``details`` kinds that may be meant too."""
    if beyond := [plan for plan in plans if plan.beyond_repair and plan.status is not Status.DRIFTED]:
        pending = ", ".join(dict.fromkeys(str(change) for plan in beyond for change in plan.beyond_repair))
        yield f"{_some([str(plan.table) for plan in beyond])}: left for `storage-admin upgrade`: {pending}"
    for plan in plans:
        if _behind_its_record(plan, catalog, dialect):
            yield (
                f"{plan.table} was recorded at version {plan.recorded}, but its shape lacks something of it; "
                "the shape counts"
            )
    # What an older release retired was there before the younger kind was.
    ambiguous = [p for p in plans if p.alternatives and not any(e.retired for e in p.extras)] if details else []
    if ambiguous:
        first, kind = ambiguous[0], ambiguous[0].alternatives[0]
        others = f" (and {len(ambiguous) - 1} more)" if len(ambiguous) > 1 else ""
        yield (
            f"{first.table}{others} has the shape of {' and '.join(first.kinds)}, and tables for {kind} began with "
            f"the same one; if it is to hold {kind}, say so once: storage-admin upgrade {argument(first.table, kind)}"
        )


def _behind_its_record(plan: Plan, catalog: Catalog, dialect: Dialect) -> bool:
    if plan.recorded is None or plan.live is None or plan.status in (Status.AHEAD, Status.CURRENT):
        return False
    kinds = identify(plan.live.shape, catalog, dialect).kinds  # those that the user adds now were not promised
    if not kinds or catalog.first_version(kinds) > plan.recorded:
        return False
    return not difference(plan.live.shape, kinds, catalog, dialect, plan.recorded).nothing_missing


def text_notes(connection: Connection, dialect: Dialect, plans: Iterable[Plan]) -> Iterator[str]:
    """A server that stores in silence what is not what was sent; character sets, other than utf8mb4, of some tables."""
    if is_lenient(connection, dialect):
        seen, advice = LENIENT
        yield f"{seen}; to have it strict: {advice}"
    found = narrow_texts(connection, dialect, [plan.table for plan in plans if plan.live is not None])
    for character_set, names in found.items():
        tables = _some([str(name) for name in names])
        seen, advice = (text.format(tables=tables, character_set=character_set) for text in NARROW)
        yield f"{seen}; {advice[0].lower()}{advice[1:]}"


def near_miss(name: TableName, like: Resemblance) -> str:
    """A table that lacks one column of a kind: most likely one of ours, from which somebody dropped it."""
    return (
        f"{name} looks like a table for {like.kind}, but has no column {like.missing[0]}; if it is one, name it: "
        f"{name}={like.kind}"
    )


def _some(tables: Sequence[str]) -> str:
    others = f" and {len(tables) - SHOWN} more" if len(tables) > SHOWN else ""
    return ", ".join(tables[:SHOWN]) + others
