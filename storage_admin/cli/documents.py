"""What programs read: the documents behind ``-o json`` and ``-o yaml``. docs/json/ has their JSON Schemas.

``format`` stays 1 as long as a program that reads today's documents can read them: fields are added, never taken away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec
from typing_extensions import assert_never

from storage_admin import changes as c
from storage_admin.errors import SchemaAhead, SchemaDrifted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_admin.catalog import Catalog
    from storage_admin.dialects import Dialect
    from storage_admin.history import Revision
    from storage_admin.reports import DatabaseInfo, Outcome, Survey, UpgradeReport

FORMAT = 1
Result = Literal["created", "upgraded", "unchanged", "drifted", "ahead", "failed"]
REFUSED: dict[type, Result] = {SchemaDrifted: "drifted", SchemaAhead: "ahead"}


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a document."""


Row = TypeVar("Row", bound=Document)


class Database(Document):
    dialect: str
    server_version: str
    url: str


class CreateSchema(Document, tag_field="change", tag="create_schema"):
    schema: str


class CreateTable(Document, tag_field="change", tag="create_table"):
    columns: list[str]


class AddColumn(Document, tag_field="change", tag="add_column"):
    column: str
    type: str


class SetDefault(Document, tag_field="change", tag="set_default"):
    column: str
    default: str


class CreateIndex(Document, tag_field="change", tag="create_index"):
    columns: list[str]
    name: str


class RebuildIndex(Document, tag_field="change", tag="rebuild_index"):
    columns: list[str]
    name: str


class WrongType(Document, tag_field="drift", tag="wrong_type"):
    column: str
    expected: str
    found: str
    message: str


class NotNull(Document, tag_field="drift", tag="not_null"):
    column: str
    message: str


class Generated(Document, tag_field="drift", tag="generated"):
    column: str
    message: str


class WrongPrimaryKey(Document, tag_field="drift", tag="wrong_primary_key"):
    expected: list[str]
    found: list[str]
    message: str


class Extra(Document, omit_defaults=True):
    """A column (with ``type``) or an index (with ``columns``) that is kept; ``retired``: an older version had it."""

    column: str | None = None
    index: str | None = None
    type: str | None = None
    columns: list[str] | None = None
    retired: bool = False


Change = CreateSchema | CreateTable | AddColumn | SetDefault | CreateIndex | RebuildIndex
Drift = WrongType | NotNull | Generated | WrongPrimaryKey


class Table(Document):
    """One table compared. ``rows`` (an estimate on PostgreSQL) and ``bytes`` are of inspect alone, else null."""

    schema: str | None
    name: str
    kinds: list[str]
    status: c.Status
    version: int | None
    released: str | None
    target_version: int
    changes: list[Change]
    drifts: list[Drift]
    extras: list[Extra]
    alternatives: list[str]
    rows: int | None
    bytes: int | None
    statements: list[str] | msgspec.UnsetType = msgspec.UNSET


class SurveyDocument(Document):
    """inspect, plan (with statements), check, upgrade --dry-run."""

    format: int
    database: Database
    head: int
    status: c.Status
    tables: list[Table]
    notes: list[str]


class UpgradedTable(Document):
    """One table after upgrade. ``error`` and ``exit_code`` where it is drifted, ahead or failed."""

    schema: str | None
    name: str
    kinds: list[str]
    result: Result
    from_version: int | None
    to_version: int
    statements: list[str]
    seconds: float
    error: str | None
    exit_code: int


class UpgradeDocument(Document):
    """upgrade."""

    format: int
    database: Database
    head: int
    changed: bool
    tables: list[UpgradedTable]
    notes: list[str]


class RevisionRow(Document):
    schema: str | None
    table: str
    revision: int
    kinds: list[str]
    from_version: int | None
    to_version: int
    baseline: bool
    applied_at: str
    duration_ms: int
    tool_version: str
    statements: list[str]


class HistoryDocument(Document):
    """history."""

    format: int
    revisions: list[RevisionRow]


class ColumnRow(Document):
    name: str
    type: str
    primary_key: bool
    default: str | None


class IndexRow(Document):
    columns: list[str]
    only: list[str] | None


class KindRow(Document):
    kind: str
    changed: bool
    columns: list[ColumnRow]
    indexes: list[IndexRow]


class VersionRow(Document):
    version: int
    released: str
    summary: str
    file: str
    kinds: list[KindRow]


class VersionsDocument(Document):
    """versions."""

    format: int
    head: int
    versions: list[VersionRow]


# --- from values -------------------------------------------------------------------------------------------


def survey_document(
    survey: Survey, catalog: Catalog, *, statements: dict[c.Plan, tuple[str, ...]] | None = None
) -> SurveyDocument:
    """The document of a survey, with the statements of each plan where they are given."""
    dialect = survey.database.record
    tables = [table_row(plan, catalog, dialect) for plan in survey.plans]
    if statements is not None:
        for table, plan in zip(tables, survey.plans, strict=True):
            table.statements = list(statements.get(plan, ()))
    return SurveyDocument(
        format=FORMAT,
        database=database_row(survey.database),
        head=survey.head,
        status=survey.status,
        tables=tables,
        notes=list(survey.notes),
    )


def database_row(info: DatabaseInfo) -> Database:
    """What is known of a database."""
    return msgspec.convert(info, Database, from_attributes=True)


def rows_of(row: type[Row], values: Iterable[msgspec.Struct]) -> list[Row]:
    """Values as rows that have fields of the same names."""
    return [msgspec.convert(value, row, from_attributes=True) for value in values]


def table_row(plan: c.Plan, catalog: Catalog, dialect: Dialect) -> Table:
    """One table compared."""
    return Table(
        schema=plan.table.schema,
        name=plan.table.name,
        kinds=list(plan.kinds),
        status=plan.status,
        version=plan.version,
        released=catalog.version(plan.version).released if plan.version is not None else None,
        target_version=plan.target_version,
        changes=[_change(change, dialect) for change in plan.changes],
        drifts=[_drift(drift) for drift in plan.drifts],
        extras=[_extra(extra) for extra in plan.extras],
        alternatives=list(plan.alternatives),
        rows=plan.live.rows if plan.live else None,
        bytes=plan.live.bytes if plan.live else None,
    )


def _change(change: c.Change, dialect: Dialect) -> Change:
    match change:
        case c.CreateSchema():
            return CreateSchema(schema=change.schema)
        case c.CreateTable():
            return CreateTable(columns=[column.name for column in change.columns])
        case c.AddColumn():
            return AddColumn(column=change.column.name, type=dialect.types[change.column.type].sql)
        case c.SetDefault():
            return SetDefault(column=change.column.name, default=dialect.default_sql(change.column.default) or "")
        case c.CreateIndex():
            return CreateIndex(columns=list(change.index.columns), name=change.name)
        case c.RebuildIndex():
            return RebuildIndex(columns=list(change.index.columns), name=change.name)
        case _:
            assert_never(change)


def _drift(drift: c.Drift) -> Drift:
    match drift:
        case c.WrongType():
            return WrongType(column=drift.column, expected=drift.expected, found=drift.found, message=str(drift))
        case c.NotNull():
            return NotNull(column=drift.column, message=str(drift))
        case c.Generated():
            return Generated(column=drift.column, message=str(drift))
        case c.WrongPrimaryKey():
            return WrongPrimaryKey(expected=list(drift.expected), found=list(drift.found), message=str(drift))
        case _:
            assert_never(drift)


def _extra(extra: c.Extra) -> Extra:
    if isinstance(extra, c.ExtraColumn):
        return Extra(column=extra.column.name, type=extra.column.type, retired=extra.retired)
    return Extra(index=extra.name, columns=list(extra.columns), retired=extra.retired)


def upgrade_document(report: UpgradeReport) -> UpgradeDocument:
    """The document of an upgrade."""
    return UpgradeDocument(
        format=FORMAT,
        database=database_row(report.database),
        head=report.head,
        changed=any(outcome.changed for outcome in report.outcomes),
        tables=[_upgraded(outcome) for outcome in report.outcomes],
        notes=list(report.notes),
    )


def result_of(outcome: Outcome) -> Result:
    """What became of a table; drifted and ahead mean that it was left alone for that reason."""
    if outcome.error is not None:
        return REFUSED.get(type(outcome.error), "failed")
    if not outcome.changed:
        return "unchanged"
    return "created" if outcome.plan.live is None else "upgraded"


def _upgraded(outcome: Outcome) -> UpgradedTable:
    plan = outcome.plan
    return UpgradedTable(
        schema=plan.table.schema,
        name=plan.table.name,
        kinds=list(plan.kinds),
        result=result_of(outcome),
        from_version=plan.version,
        to_version=plan.target_version if outcome.error else outcome.version or 0,
        statements=list(outcome.statements),
        seconds=round(outcome.seconds, 6),
        error=str(outcome.error) if outcome.error else None,
        exit_code=outcome.error.exit_code if outcome.error else 0,
    )


def history_document(revisions: tuple[Revision, ...]) -> HistoryDocument:
    """The document of a history."""
    return HistoryDocument(
        format=FORMAT,
        revisions=[
            RevisionRow(
                schema=r.table.schema,
                table=r.table.name,
                revision=r.number,
                kinds=list(r.kinds),
                from_version=r.from_version,
                to_version=r.to_version,
                baseline=r.baseline,
                applied_at=r.applied_at.strftime("%Y-%m-%dT%H:%M:%SZ") if r.applied_at else "",
                duration_ms=r.duration_ms,
                tool_version=r.tool_version,
                statements=list(r.statements),
            )
            for r in revisions
        ],
    )


def versions_document(catalog: Catalog, numbers: list[int]) -> VersionsDocument:
    """The document of some versions of a catalogue."""
    return VersionsDocument(
        format=FORMAT, head=catalog.head, versions=[_version(catalog, number) for number in numbers]
    )


def _version(catalog: Catalog, number: int) -> VersionRow:
    version = catalog.version(number)
    kinds = [
        KindRow(
            kind=kind,
            changed=kind in version.changed,
            columns=[
                ColumnRow(name=col.name, type=col.type.value, primary_key=col.primary_key, default=col.default)
                for col in schema.columns
            ],
            indexes=[
                IndexRow(columns=list(i.columns), only=sorted(i.only) if i.only else None) for i in schema.indexes
            ],
        )
        for kind, schema in version.kinds.items()
    ]
    return VersionRow(
        version=number, released=version.released, summary=version.summary, file=version.file, kinds=kinds
    )
