"""What is known of the storage of one database at one moment, as values. Nothing of what the sessions hold."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from storage_admin.changes import Build, Status
from storage_admin.doctor import GRAVEST_FIRST, Level
from storage_admin.sessions import Growth, Retention

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_admin.catalog import Catalog
    from storage_admin.changes import Plan
    from storage_admin.doctor import Finding
    from storage_admin.history import Revision
    from storage_admin.reports import DatabaseInfo
    from storage_admin.sessions import Statistics

GRAVITY = (Status.AHEAD, Status.DRIFTED, Status.OUTDATED, Status.MISSING, Status.CURRENT)


class Gap(msgspec.Struct, frozen=True):
    """What was not measured, and why."""

    what: str
    why: str


class IndexView(msgspec.Struct, frozen=True):
    """An index: ``state`` is "valid", "invalid" or, where `upgrade` would create it, "missing"."""

    name: str
    columns: tuple[str, ...]
    unique: bool
    state: str


class Age(msgspec.Struct, frozen=True):
    """Sessions by their last use: at least ``days`` ago, and less than ``below`` (None: any number of) days ago."""

    days: int
    below: int | None
    sessions: int
    bytes: int


class TableView(msgspec.Struct, frozen=True):
    """One table: what would be run, its numbers, what `doctor` says of it beside its status, and its last revision.

    ``statistics`` is None where the rows were not read; ``unread`` says why. The largest sessions are never in it.
    """

    plan: Plan
    statements: tuple[str, ...] = ()
    statistics: Statistics | None = None
    unread: str = ""
    findings: tuple[Finding, ...] = ()
    revision: Revision | None = None

    @property
    def sessions(self) -> int | None:
        """How many there are: counted, else as the database estimates it; None where nobody knows."""
        if self.statistics is not None:
            return self.statistics.sessions
        return self.plan.live.rows if self.plan.live is not None else None

    @property
    def bytes(self) -> int | None:
        """Table, indexes and long values together; None where the database cannot say."""
        return self.plan.live.bytes if self.plan.live is not None else None

    @property
    def level(self) -> Level:
        """The gravest finding about it."""
        found = {finding.level for finding in self.findings}
        return next((level for level in GRAVEST_FIRST if level in found), Level.OK)

    @property
    def indexes(self) -> tuple[IndexView, ...]:
        """Those that are there, then those that are missing."""
        live, plan = self.plan.live, self.plan
        named = zip(live.index_names, live.shape.indexes, strict=True) if live is not None else ()
        here = [IndexView(n, i.columns, i.unique, "valid" if i.valid else "invalid") for n, i in named]
        known = {index.name for index in here}
        builds = (*plan.builds, *(change for change in plan.deferred if isinstance(change, Build)))
        lacking = [IndexView(b.name, b.index.columns, unique=False, state="missing") for b in builds]
        return (*here, *(index for index in lacking if index.name not in known))

    @property
    def ages(self) -> tuple[Age, ...]:
        """The sessions by their last use; empty where the rows were not read."""
        return ages([self.statistics]) if self.statistics is not None else ()


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of the storage. ``made`` is in seconds since 1970.

    ``findings`` are of the whole database, whichever tables were named. ``gaps`` are what was not measured.
    """

    made: int
    tool: str
    database: DatabaseInfo
    status: Status
    tables: tuple[TableView, ...]
    catalog: Catalog
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def counted(self) -> tuple[Statistics, ...]:
        """The numbers of the tables whose rows were read."""
        return tuple(view.statistics for view in self.tables if view.statistics is not None)

    @property
    def sessions(self) -> int:
        """All sessions that are known of, counted or estimated."""
        return sum(view.sessions or 0 for view in self.tables)

    @property
    def bytes(self) -> int | None:
        """The size of all tables; None where the database cannot say."""
        sizes = [view.bytes for view in self.tables if view.bytes is not None]
        return sum(sizes) if sizes else None

    @property
    def by_status(self) -> dict[Status, int]:
        """How many tables have each status, the gravest first; those without a table left out."""
        found = Counter(view.plan.status for view in self.tables)
        return {status: found[status] for status in GRAVITY if found[status]}

    @property
    def by_version(self) -> dict[int | None, int]:
        """How many tables are at each version; None for those that fulfil none."""
        return dict(Counter(view.plan.version for view in self.tables))

    @property
    def days(self) -> tuple[Growth, ...]:
        """What was created in each day, over all tables that were read."""
        return _summed(growth for each in self.counted for growth in each.days)

    @property
    def months(self) -> tuple[Growth, ...]:
        """What was created in each month, over all tables that were read."""
        return _summed(growth for each in self.counted for growth in each.months)

    @property
    def retentions(self) -> tuple[Retention, ...]:
        """What each retention would remove, over all tables that were read."""
        sums: dict[int, Retention] = {}
        for each in self.counted:
            for one in each.retentions:
                so_far = sums.get(one.days, Retention(one.days, 0, 0))
                sums[one.days] = Retention(one.days, so_far.sessions + one.sessions, so_far.bytes + one.bytes)
        return tuple(sums[days] for days in sorted(sums))

    @property
    def ages(self) -> tuple[Age, ...]:
        """The sessions by their last use, over all tables that were read."""
        return ages(self.counted)


def ages(counted: Iterable[Statistics]) -> tuple[Age, ...]:
    """Sessions by their last use, from what each retention would remove."""
    found: dict[int, Age] = {}
    for each in counted:
        older = sorted(each.retentions, key=lambda one: one.days)
        edges = [Retention(0, each.sessions, each.bytes), *older]
        for one, next_ in zip(edges, [*older, None], strict=True):
            gone = next_ or Retention(0, 0, 0)
            below = next_.days if next_ is not None else None
            so_far = found.get(one.days, Age(one.days, below, 0, 0))
            sessions = so_far.sessions + one.sessions - gone.sessions
            found[one.days] = Age(one.days, below, sessions, so_far.bytes + one.bytes - gone.bytes)
    return tuple(found[days] for days in sorted(found))


def _summed(growth: Iterable[Growth]) -> tuple[Growth, ...]:
    sessions: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for one in growth:
        sessions[one.period] += one.sessions
        sizes[one.period] += one.bytes
    return tuple(Growth(period, sessions[period], sizes[period]) for period in sorted(sessions))
