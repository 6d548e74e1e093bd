"""Asks the database for all that is in a picture of it: shapes, findings, log, and the numbers of the rows. Reads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import exc

from storage_admin.database import dialect_of
from storage_admin.doctor import Finding, Level, reading
from storage_admin.errors import QueryFailed
from storage_admin.inspector import holds_more_than
from storage_admin.messages import driver_message, redact, secrets_in
from storage_admin.overview.values import Gap, Overview, TableView
from storage_admin.sessions.filters import Filter
from storage_admin.sessions.statistics import RETENTIONS, statistics
from storage_admin.sessions.tables import session_tables
from storage_admin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection

    from storage_admin.admin import StorageAdmin
    from storage_admin.changes import Plan
    from storage_admin.dialects import Dialect
    from storage_admin.history import Revision
    from storage_admin.schema import TableName
    from storage_admin.sessions import Statistics

    Told = Callable[[Plan, int, int], None]
    Counted = dict[TableName, Statistics | str]

COUNT_UP_TO = 1_000_000  # rows
STATUSES = frozenset({"outdated-tables", "drifted-tables", "ahead-tables"})  # what the status of a table says already
SMALLEST_ROW = 24  # bytes, with which no database keeps one


def look(
    admin: StorageAdmin,
    tables: Iterable[str] | None = None,
    *,
    count_up_to: int = COUNT_UP_TO,
    retentions: Sequence[int] = RETENTIONS,
    told: Told | None = None,
) -> Overview:
    """A picture of the named tables of a database, or of all that are found. Changes nothing.

    The rows of a table are read, for their numbers, if it has no more than ``count_up_to``; with 0 none are. What
    cannot be read is in ``gaps``. ``retentions`` are numbers of days to be tried. ``told`` is called after each table:
    with its plan, how many are done, and how many there are.

    Raises:
        As `StorageAdmin.inspect`.
    """
    survey = admin.inspect(tables)
    now = int(time.time())
    diagnosis, (revisions, gaps) = admin.doctor(), _revisions(admin)
    counted = _counted(admin, survey.plans, now, count_up_to, retentions, told or (lambda *_: None))
    secrets = secrets_in(admin.url.render_as_string(hide_password=False))
    # What inspect notes is said by the diagnosis too, in fewer words.
    found = [_redacted(finding, secrets) for finding in diagnosis.findings if finding.rule != "notes"]
    dialect = survey.database.record
    views = tuple(_view(plan, counted, found, revisions, dialect) for plan in survey.plans)
    gaps += _unread(views)
    gaps += [Gap(f.objects[0], f.seen.partition(": ")[2]) for f in found if f.rule == "not-looked-at"]
    return Overview(
        made=now,
        tool=__version__,
        database=survey.database,
        status=survey.status,
        tables=views,
        catalog=admin.catalog,
        findings=tuple(found),
        notes=tuple(redact(note, secrets) for note in survey.notes),
        gaps=tuple(Gap(gap.what, redact(gap.why, secrets)) for gap in gaps),
    )


def _redacted(finding: Finding, secrets: tuple[str, ...]) -> Finding:
    seen, advice = redact(finding.seen, secrets), redact(finding.advice, secrets)
    return Finding(finding.rule, finding.level, seen, advice, finding.objects)


def _revisions(admin: StorageAdmin) -> tuple[dict[TableName, Revision], list[Gap]]:
    """The newest revision of each table."""
    try:
        return {revision.table: revision for revision in admin.history()}, []
    except QueryFailed as error:
        return {}, [Gap("the log of upgrades", str(error.facts["problem"]))]


def _view(
    plan: Plan, counted: Counted, found: Iterable[Finding], revisions: dict[TableName, Revision], dialect: Dialect
) -> TableView:
    from storage_admin.render import render

    name, numbers = str(plan.table), counted.get(plan.table, "it is not there yet")
    about = tuple(f for f in found if name in f.objects and f.level is not Level.OK and f.rule not in STATUSES)
    return TableView(
        plan=plan,
        statements=render(plan, dialect) if plan.runnable else (),
        statistics=None if isinstance(numbers, str) else numbers,
        unread=numbers if isinstance(numbers, str) else "",
        findings=about,
        revision=revisions.get(plan.table),
    )


def _counted(
    admin: StorageAdmin, plans: Sequence[Plan], now: int, limit: int, retentions: Sequence[int], told: Told
) -> Counted:
    """The numbers of each table that is there, or why there are none."""
    here = [plan for plan in plans if plan.live is not None]
    if limit == 0 or not here:
        return {plan.table: "rows were not to be read" for plan in here}
    found: Counted = {}
    with admin.opened([]) as (connection, _):
        dialect = dialect_of(connection.engine)
        for number, plan in enumerate(here, 1):
            found[plan.table] = _numbers(connection, plan, admin, dialect, now, limit, retentions)
            told(plan, number, len(here))
    return found


def _numbers(
    connection: Connection,
    plan: Plan,
    admin: StorageAdmin,
    dialect: Dialect,
    now: int,
    limit: int,
    retentions: Sequence[int],
) -> Statistics | str:
    [table] = session_tables([plan], admin.catalog, dialect)
    try:
        with reading(connection, dialect.name):
            if _is_large(connection, plan, dialect, limit):
                return f"it has more than {limit:,} rows"
            return statistics(connection, table, Filter(), now=now, retentions=retentions, largest=False)
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise
        return driver_message(error)


def _is_large(connection: Connection, plan: Plan, dialect: Dialect, limit: int) -> bool:
    rows = plan.live.rows if plan.live is not None else None
    size = plan.live.bytes if plan.live is not None else None
    if rows:
        return rows > limit
    if size is not None and size <= limit * SMALLEST_ROW:
        return False
    return holds_more_than(connection, dialect, plan.table, limit)


def _unread(views: Iterable[TableView]) -> list[Gap]:
    """The tables without numbers, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for view in views:
        if view.unread and view.plan.live is not None:
            reasons.setdefault(view.unread, []).append(str(view.plan.table))
    return [Gap(_named(names), why) for why, names in reasons.items()]


def _named(names: Sequence[str]) -> str:
    return f"the sessions in {names[0]}" if len(names) == 1 else f"the sessions in {len(names):,} tables"
