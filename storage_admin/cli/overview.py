"""The document of `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.changes import Status
from storage_admin.cli.diagnosis import Finding, finding_row
from storage_admin.cli.documents import FORMAT, Database, Document, Table, database_row, rows_of, table_row
from storage_admin.cli.sessions.documents import GrowthRow, RetentionRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_admin.history import Revision
    from storage_admin.overview import Age, Overview, TableView
    from storage_admin.sessions import Statistics


class AgeRow(Document):
    """Sessions used last at least ``days`` days ago, and less than ``below`` days ago, where that is not null."""

    days: int
    below: int | None
    sessions: int
    bytes: int


class NumbersRow(Document):
    """What was counted of a table. ``oldest`` and ``newest`` are seconds since 1970."""

    sessions: int
    users: int
    runs: int
    bytes: int
    oldest: int | None
    newest: int | None
    months: list[GrowthRow]
    ages: list[AgeRow]
    retentions: list[RetentionRow]


class IndexRow(Document):
    """An index; ``state`` is valid, invalid, or missing: upgrade creates it."""

    name: str
    columns: list[str]
    unique: bool
    state: str


class UpgradeRow(Document):
    """The newest revision of a table."""

    applied_at: str
    from_version: int | None
    to_version: int


class ReportedTable(Document):
    """One table. ``numbers`` is null where its rows were not read, and ``unread`` says why."""

    table: Table
    indexes: list[IndexRow]
    findings: list[Finding]
    numbers: NumbersRow | None
    unread: str
    last_upgrade: UpgradeRow | None


class GapRow(Document):
    """What was not measured, and why."""

    what: str
    why: str


class OverviewDocument(Document):
    """report. ``made`` is in seconds since 1970; the sums are of all tables whose rows were read."""

    format: int
    made: int
    database: Database
    head: int
    status: Status
    tables: list[ReportedTable]
    findings: list[Finding]
    days: list[GrowthRow]
    months: list[GrowthRow]
    ages: list[AgeRow]
    retentions: list[RetentionRow]
    notes: list[str]
    not_measured: list[GapRow]


def overview_document(overview: Overview) -> OverviewDocument:
    """The document of an overview."""
    return OverviewDocument(
        format=FORMAT,
        made=overview.made,
        database=database_row(overview.database),
        head=overview.catalog.head,
        status=overview.status,
        tables=[_table(overview, view) for view in overview.tables],
        findings=[finding_row(finding) for finding in overview.findings],
        days=rows_of(GrowthRow, overview.days),
        months=rows_of(GrowthRow, overview.months),
        ages=rows_of(AgeRow, overview.ages),
        retentions=rows_of(RetentionRow, overview.retentions),
        notes=list(overview.notes),
        not_measured=rows_of(GapRow, overview.gaps),
    )


def _table(overview: Overview, view: TableView) -> ReportedTable:
    table = table_row(view.plan, overview.catalog, overview.database.record)
    table.statements = list(view.statements)
    return ReportedTable(
        table=table,
        indexes=rows_of(IndexRow, view.indexes),
        findings=[finding_row(finding) for finding in view.findings],
        numbers=_numbers(view.statistics, view.ages) if view.statistics is not None else None,
        unread=view.unread,
        last_upgrade=_upgrade(view.revision) if view.revision is not None else None,
    )


def _numbers(counted: Statistics, ages: Iterable[Age]) -> NumbersRow:
    return NumbersRow(
        sessions=counted.sessions,
        users=counted.users,
        runs=counted.runs,
        bytes=counted.bytes,
        oldest=counted.oldest,
        newest=counted.newest,
        months=rows_of(GrowthRow, counted.months),
        ages=rows_of(AgeRow, ages),
        retentions=rows_of(RetentionRow, counted.retentions),
    )


def _upgrade(revision: Revision) -> UpgradeRow:
    return UpgradeRow(
        applied_at=f"{revision.applied_at:%Y-%m-%dT%H:%M:%SZ}" if revision.applied_at is not None else "",
        from_version=revision.from_version,
        to_version=revision.to_version,
    )
