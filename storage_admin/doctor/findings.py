"""The values of a diagnosis, and the rules that a finding may be of. docs/troubleshooting.md has a section for each."""

from __future__ import annotations

import ipaddress
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection

    from storage_admin.changes import Plan
    from storage_admin.dialects import Dialect
    from storage_admin.reports import DatabaseInfo

SHOWN = 3
LOCAL = ("", "localhost")

# What each rule is about, in a few words. A rule keeps its name for ever: programs and links go by it.
RULES = {
    "connection": "the database answers, and how fast",
    "encryption": "the connection is encrypted",
    "version": "the release of the database is supported",
    "pooler": "a connection pooler in between",
    "standby": "the server is a primary",
    "read-only": "the session may write",
    "monitoring": "the role sees what other sessions do",
    "rights": "the role may upgrade the tables",
    "log": "the role may read and write the log of upgrades",
    "timeouts": "timeouts of the role, the database or the server",
    "limits": "limits of the server that a session or an index build may meet",
    "sql-mode": "the server cuts nothing in silence",
    "character-set": "the tables hold every character",
    "no-tables": "session tables are there",
    "outdated-tables": "the tables are at the newest version",
    "drifted-tables": "the tables are as they should be otherwise",
    "ahead-tables": "no table is of a newer release than ours",
    "notes": "what is said of the tables",
    "held-locks": "sessions that hold a table for long",
    "waiting-sessions": "sessions that wait for a table",
    "open-transactions": "transactions that an index build would wait for",
    "prepared-transactions": "transactions prepared and never finished",
    "index-builds": "index builds that go on now",
    "invalid-indexes": "indexes that are there and of no use",
    "leftover-indexes": "what an interrupted REINDEX CONCURRENTLY left",
    "duplicate-indexes": "indexes that do the same",
    "engine": "how the tables are kept",
    "publications": "tables that are replicated to subscribers",
    "replication-slots": "replication slots that nobody reads",
    "row-security": "row-level security",
    "inheritance": "partitioned and inherited tables",
    "triggers": "triggers on the tables",
    "event-triggers": "triggers on changes of tables",
    "autovacuum": "autovacuum is on",
    "lock-slots": "room for the locks of many partitions",
    "file": "the file and its folder can be written",
    "journal": "how the file is written",
    "other-writers": "somebody writes to the file now",
    "integrity": "the file is sound",
    "not-looked-at": "what could not be looked at",
}


class Level(Enum):
    """How grave a finding is."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


GRAVEST_FIRST = (Level.PROBLEM, Level.WARNING, Level.NOTE, Level.OK)


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: the rule, what was seen, what to do about it (empty where nothing is to be done).

    ``objects`` are the names of the tables, indexes or sessions that it is about.
    """

    rule: str
    level: Level
    seen: str
    advice: str = ""
    objects: tuple[str, ...] = ()


class Diagnosis(msgspec.Struct, frozen=True):
    """All that `doctor` found. ``database.server_version`` is empty where there was no answer."""

    database: DatabaseInfo
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The gravest level of all."""
        found = {finding.level for finding in self.findings}
        return next((level for level in GRAVEST_FIRST if level in found), Level.OK)


def alike(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings of one level and rule together, the gravest first; a thousand tables may have the same."""
    groups: dict[tuple[Level, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.level, finding.rule), []).append(finding)
    return sorted(groups.values(), key=lambda found: GRAVEST_FIRST.index(found[0].level))


class Patient(msgspec.Struct, frozen=True):
    """What a check may ask. ``plans`` are those of all session tables; ``long`` is in seconds."""

    connection: Connection
    dialect: Dialect
    plans: tuple[Plan, ...]
    long: float
    pooled: bool = False

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        """What a query answers."""
        from sqlalchemy import text

        return [tuple(row) for row in self.connection.execute(text(query), parameters)]

    def quote(self, *names: str | None) -> str:
        """A name, perhaps with its schema before it, as it is written in SQL."""
        # A dialect of its own: that of the connection doubles a % for the driver.
        own: Any = type(self.connection.dialect)
        quote = own(paramstyle="named").identifier_preparer.quote
        return ".".join(quote(name) for name in names if name is not None)


class Check(msgspec.Struct, frozen=True):
    """One look: what it is about, what to say if it finds nothing, and the function that finds.

    ``outside``: it is not run in the read-only transaction, whose settings it would see.
    """

    rule: str
    fine: str
    find: Callable[[Patient], Iterable[Finding]]
    outside: bool = False


def some(names: Iterable[object]) -> str:
    """Some names, at most three of them, and how many more there are."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN:,} more" if len(shown) > SHOWN else "")


def have(names: Sequence[object], one: str, many: str) -> str:
    """The verb after some names: ``have(["a"], "is", "are")``."""
    return one if len(names) == 1 else many


def is_local(host: str) -> bool:
    """Whether a connection to a host does not leave this machine."""
    if host.startswith("/") or host in LOCAL:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
