"""What programs read of sessions: the documents behind ``-o json`` and ``-o yaml``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from storage_admin.cli.documents import FORMAT, Document, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_admin.sessions import (
        Candidates,
        Changed,
        Copied,
        Exported,
        Loaded,
        Message,
        Page,
        PruneReport,
        Session,
        Statistics,
    )


class SessionRow(Document):
    """A session in a line. Times are seconds since 1970."""

    schema: str | None
    table: str
    kind: str
    session_id: str
    user_id: str | None
    entity_id: str | None
    name: str | None
    created_at: int | None
    updated_at: int | None
    runs: int | None
    bytes: int | None


class PageDocument(Document):
    """sessions list. ``next`` is for --from, null at the end."""

    format: int
    sort: str
    sessions: list[SessionRow]
    next: str | None
    notes: list[str]


class ToolCallRow(Document):
    name: str
    arguments: str


class MessageRow(Document):
    run: int
    role: str
    content: str
    at: int | None
    tool: str | None
    tool_calls: list[ToolCallRow]
    input_tokens: int
    output_tokens: int


class SessionDocument(Document):
    """sessions show."""

    format: int
    schema: str | None
    table: str
    kind: str
    session_id: str
    user_id: str | None
    entity_id: str | None
    name: str | None
    created_at: int | None
    updated_at: int | None
    messages: list[MessageRow]


class GrowthRow(Document):
    period: str
    sessions: int
    bytes: int


class RetentionRow(Document):
    days: int
    sessions: int
    bytes: int


class StatisticsRow(Document):
    schema: str | None
    table: str
    kinds: list[str]
    sessions: int
    users: int
    runs: int
    bytes: int
    oldest: int | None
    newest: int | None
    days: list[GrowthRow]
    months: list[GrowthRow]
    retentions: list[RetentionRow]
    largest: list[SessionRow]


class StatisticsDocument(Document):
    """sessions stats."""

    format: int
    tables: list[StatisticsRow]


class ChangedRow(Document):
    schema: str | None
    table: str
    sessions: int


class ChangedDocument(Document):
    """sessions delete, sessions rename."""

    format: int
    sessions: int
    tables: list[ChangedRow]


class LeftOutRow(Document):
    schema: str | None
    table: str
    session_id: str
    problem: str


class ExportedTableRow(Document):
    schema: str | None
    table: str
    kinds: list[str]
    version: int | None
    sessions: int


class ExportedDocument(Document):
    """sessions export."""

    format: int
    file: str | None
    sessions: int
    bytes: int
    sha256: str
    tables: list[ExportedTableRow]
    left_out: list[LeftOutRow]


class DifferenceRow(Document):
    """How many sessions, and the ids of the first twenty."""

    sessions: int
    ids: list[str]


class ComparedRow(Document):
    schema: str | None
    table: str
    sessions: int
    same: int
    missing: DifferenceRow
    different: DifferenceRow
    target_only: DifferenceRow


class CopiedDocument(Document):
    """sessions copy. ``loaded`` is null where nothing was copied, with --verify; ``compared`` is empty where rows were
    rejected.
    """

    format: int
    loaded: LoadedDocument | None
    compared: list[ComparedRow]


class PrunedRow(Document):
    schema: str | None
    table: str
    sessions: int
    left: int


class CandidatesRow(Document):
    """Times of the last activity, in seconds since 1970."""

    schema: str | None
    table: str
    sessions: int
    bytes: int
    oldest: int | None
    newest: int | None


class CandidatesDocument(Document):
    """sessions prune --dry-run: what would be removed, were it not for --max-rows."""

    format: int
    sessions: int
    tables: list[CandidatesRow]


class PrunedDocument(Document):
    """sessions prune. ``left`` are old, and still there."""

    format: int
    sessions: int
    left: int
    archive: str | None
    sha256: str | None
    tables: list[PrunedRow]


class LoadedTableRow(Document):
    """``added`` are extra columns that the table got."""

    schema: str | None
    table: str
    created: bool
    added: list[str]
    read: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int


class RejectedRow(Document):
    line: int
    session_id: str | None
    problem: str


class LoadedDocument(Document):
    """sessions import, sessions restore. ``rejected`` has the first thousand; the file ``rejects`` has all."""

    format: int
    sessions: int
    rejects: str | None
    tables: list[LoadedTableRow]
    rejected: list[RejectedRow]


def page_document(page: Page) -> PageDocument:
    """The document of a page."""
    rows = [SessionRow(**_facts(session)) for session in page.sessions]
    return PageDocument(format=FORMAT, sort=page.sort, sessions=rows, next=page.next, notes=list(page.notes))


def session_document(session: Session) -> SessionDocument:
    """The document of a session: its conversation."""
    from storage_admin.sessions import conversation

    return SessionDocument(
        format=FORMAT,
        schema=session.table.schema,
        table=session.table.name,
        kind=session.kind,
        session_id=session.session_id,
        user_id=session.user_id,
        entity_id=session.entity_id,
        name=session.name,
        created_at=session.values.get("created_at"),
        updated_at=session.values.get("updated_at"),
        messages=[_message(message) for message in conversation(session)],
    )


def statistics_document(found: Iterable[Statistics]) -> StatisticsDocument:
    """The document of the numbers of some tables."""
    return StatisticsDocument(format=FORMAT, tables=[_statistics(statistics) for statistics in found])


def changed_document(done: Iterable[Changed]) -> ChangedDocument:
    """The document of what was deleted."""
    rows = [ChangedRow(**_facts(changed)) for changed in done]
    return ChangedDocument(format=FORMAT, sessions=sum(row.sessions for row in rows), tables=rows)


def exported_document(done: Exported) -> ExportedDocument:
    """The document of a file that was written."""
    tables = [
        ExportedTableRow(
            schema=t.header.table.schema,
            table=t.header.table.name,
            kinds=list(t.header.kinds),
            version=t.header.version,
            sessions=t.sessions,
        )
        for t in done.tables
    ]
    return ExportedDocument(
        format=FORMAT,
        file=str(done.path) if done.path is not None else None,
        sessions=done.sessions,
        bytes=done.bytes,
        sha256=done.sha256,
        tables=tables,
        left_out=[LeftOutRow(**_facts(left_out)) for left_out in done.left_out],
    )


def pruned_document(report: PruneReport) -> PrunedDocument:
    """The document of a prune."""
    return PrunedDocument(
        format=FORMAT,
        sessions=report.sessions,
        left=report.left,
        archive=str(report.archive) if report.archive is not None else None,
        sha256=report.manifest.sha256 if report.manifest is not None else None,
        tables=[PrunedRow(**_facts(pruned)) for pruned in report.tables],
    )


def candidates_document(found: Iterable[Candidates]) -> CandidatesDocument:
    """The document of what a prune would remove."""
    tables = [CandidatesRow(**_facts(candidates)) for candidates in found]
    return CandidatesDocument(format=FORMAT, sessions=sum(row.sessions for row in tables), tables=tables)


def copied_document(done: Copied) -> CopiedDocument:
    """The document of a copy."""
    compared = [msgspec.convert(_facts(each), ComparedRow, from_attributes=True) for each in done.tables]
    loaded = loaded_document(done.loaded) if done.loaded is not None else None
    return CopiedDocument(format=FORMAT, loaded=loaded, compared=compared)


def loaded_document(done: Loaded) -> LoadedDocument:
    """The document of what became of a file."""
    return LoadedDocument(
        format=FORMAT,
        sessions=done.sessions,
        rejects=str(done.rejects) if done.rejects is not None else None,
        tables=[LoadedTableRow(**_facts(table)) for table in done.tables],
        rejected=[RejectedRow(line=r.line, session_id=r.session_id, problem=r.problem) for r in done.rejected],
    )


def _facts(value: msgspec.Struct) -> dict[str, Any]:
    """The fields of a value, with the name of its table in two."""
    facts = msgspec.structs.asdict(value)
    table = facts.pop("table")
    return {"schema": table.schema, "table": table.name, **facts}


def _message(message: Message) -> MessageRow:
    return MessageRow(
        run=message.run,
        role=message.role,
        content=message.content,
        at=message.at,
        tool=message.tool,
        tool_calls=[ToolCallRow(name=call.name, arguments=call.arguments) for call in message.tool_calls],
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
    )


def _statistics(found: Statistics) -> StatisticsRow:
    values: dict[str, Any] = {
        name: getattr(found, name) for name in ("sessions", "users", "runs", "bytes", "oldest", "newest")
    }
    return StatisticsRow(
        schema=found.table.schema,
        table=found.table.name,
        kinds=list(found.kinds),
        days=rows_of(GrowthRow, found.days),
        months=rows_of(GrowthRow, found.months),
        retentions=rows_of(RetentionRow, found.retentions),
        largest=[SessionRow(**_facts(session)) for session in found.largest],
        **values,
    )
