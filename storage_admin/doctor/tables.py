"""The session tables themselves: how many are current, and what keeps the others from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.changes import Status
from storage_admin.doctor.findings import Finding, Level, have, some
from storage_admin.errors import NoTablesFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage_admin.changes import Plan
    from storage_admin.discovery import Finder


def look_at_tables(finder: Finder) -> tuple[tuple[Plan, ...], list[Finding]]:
    """The plans of all session tables, and what is to be said of them."""
    try:
        plans, notes = finder.survey(None)
    except NoTablesFound as error:
        advice = "Check the URL and --schema. To create one: storage-admin upgrade agent_sessions=agent"
        where = f" in the schema {finder.schema}" if finder.schema else ""
        return (), [
            Finding("no-tables", Level.WARNING, f"there are no session tables{where}.{error.facts['hint']}", advice)
        ]
    found = [*_by_status(plans)]
    found += [Finding("notes", Level.NOTE, note) for note in notes]
    return plans, found


def _by_status(plans: tuple[Plan, ...]) -> Iterator[Finding]:
    behind, drifted, ahead = (
        [p for p in plans if p.status is s] for s in (Status.OUTDATED, Status.DRIFTED, Status.AHEAD)
    )
    if behind:
        seen = (
            f"{len(behind):,} of {len(plans):,} session tables {have(behind, 'is', 'are')} outdated: {_named(behind)}"
        )
        advice = "See what is pending with `storage-admin plan`; then: storage-admin upgrade"
        yield Finding("outdated-tables", Level.WARNING, seen, advice, _names(behind))
    for plan in drifted:
        seen = f"{plan.table} is drifted: {'; '.join(map(str, plan.drifts))}"
        advice = "Only its owner can mend that: docs/upgrade-guide.md has a way for each kind of drift."
        yield Finding("drifted-tables", Level.PROBLEM, seen, advice, (str(plan.table),))
    if ahead:
        seen = f"a newer storage-admin upgraded {_named(ahead)}"
        yield Finding("ahead-tables", Level.PROBLEM, seen, "Upgrade this storage-admin.", _names(ahead))
    if not (behind or drifted or ahead):
        seen = "the session table is current" if len(plans) == 1 else f"all {len(plans):,} session tables are current"
        yield Finding("outdated-tables", Level.OK, seen, "", _names(plans))


def _named(plans: list[Plan]) -> str:
    return some(plan.table for plan in plans)


def _names(plans: list[Plan] | tuple[Plan, ...]) -> tuple[str, ...]:
    return tuple(str(plan.table) for plan in plans)
