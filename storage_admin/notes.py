"""What is worth a reader's while about the tables that were found, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.changes import AddColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from storage_admin.access import TableFacts
    from storage_admin.changes import Plan
    from storage_admin.compare import Resemblance
    from storage_admin.schema import TableName

SHOWN = 3


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


def near_miss(name: TableName, like: Resemblance) -> str:
    """A table that lacks one column of a kind: most likely one of ours, from which somebody dropped it."""
    return (
        f"{name} looks like a table for {like.kind}, but has no column {like.missing[0]}; if it is one, name it: "
        f"{name}={like.kind}"
    )
