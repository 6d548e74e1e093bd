"""What the facade answers with, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from storage_admin.changes import Plan, Status
from storage_admin.dialects import dialect_named

if TYPE_CHECKING:
    from storage_admin.dialects import Dialect
    from storage_admin.errors import StorageAdminError


class DatabaseInfo(msgspec.Struct, frozen=True):
    """The database that was looked at. ``url`` holds no password; ``product`` is its name, MariaDB or MySQL for one."""

    dialect: str
    server_version: str
    url: str
    product: str = ""

    @property
    def server(self) -> str:
        """The product, and its version where that is known."""
        return f"{self.product or self.dialect} {self.server_version}".strip()

    @property
    def record(self) -> Dialect:
        """What is known of a database of this sort and version."""
        version = tuple(int(part) for part in self.server_version.split(".") if part.isdecimal())
        return dialect_named(self.dialect).of_version(version)


class Survey(msgspec.Struct, frozen=True):
    """Every table that was asked for, compared with the catalogue. ``notes`` are worth a reader's while."""

    database: DatabaseInfo
    head: int
    plans: tuple[Plan, ...]
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """The gravest status of all: ahead, drifted, outdated (a missing table counts as that), current."""
        found = {plan.status for plan in self.plans}
        grave = (Status.AHEAD, Status.DRIFTED, Status.OUTDATED)
        if Status.MISSING in found:
            found.add(Status.OUTDATED)
        return next((status for status in grave if status in found), Status.CURRENT)


class Outcome(msgspec.Struct, frozen=True):
    """What `upgrade` did with one table. ``plan`` is what was pending; ``error`` says why it is pending still.

    ``reached`` is the version that was recorded, 0 for none of them; None where nothing was done.
    """

    plan: Plan
    statements: tuple[str, ...] = ()
    seconds: float = 0.0
    error: StorageAdminError | None = None
    reached: int | None = None

    @property
    def version(self) -> int | None:
        """The version that the table is at now; None where it fulfils none."""
        if self.error is not None:
            return self.plan.version
        if self.reached is not None:
            return self.reached or None
        return self.plan.version if self.plan.beyond_repair or self.plan.deferred else self.plan.target_version

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return bool(self.statements)

    def __str__(self) -> str:
        done = "; ".join(map(str, self.plan.changes)) if self.changed else "nothing to do"
        return f"{self.plan.table} ({', '.join(self.plan.kinds)}): {self.error or done}"


class UpgradeReport(msgspec.Struct, frozen=True):
    """What `upgrade` did, table by table."""

    database: DatabaseInfo
    head: int
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[StorageAdminError, ...]:
        """The errors of the tables that could not be upgraded."""
        return tuple(outcome.error for outcome in self.outcomes if outcome.error is not None)
