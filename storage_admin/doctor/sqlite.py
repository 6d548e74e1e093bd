"""What is looked at on SQLite: the file, its folder, the journal, who writes to it now, and whether it is sound."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from storage_admin.doctor.findings import Check, Finding, Level, Patient, some
from storage_admin.files import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

BEGIN: tuple[str, ...] = ()  # the file is open for reading only, unless an application's own engine is used
END: tuple[str, ...] = ()

OLDEST, STORAGE = (3, 26), (3, 35)
SMALL_BYTES = 64 * 1024 * 1024  # what quick_check reads within a second
ERRORS_SHOWN = 3
WRITER_SECONDS = 0.1
LEFTOVERS = {"-journal": "a rollback journal", "-wal": "a write-ahead log"}

INDEXES = """
SELECT m.name, json_group_array(i.name), i.columns
  FROM (SELECT m.name AS "table", i.name, i."unique", i.partial,
               (SELECT group_concat(json_array(x.cid, x.name, x."desc", x.coll)) FROM pragma_index_xinfo(i.name) x
                 WHERE x.key) AS columns
          FROM main.sqlite_master m JOIN pragma_index_list(m.name) i WHERE m.type = 'table' AND m.rootpage > 0) i
  JOIN main.sqlite_master m ON m.name = i."table"
 WHERE NOT i.partial AND i.columns NOT LIKE '%[-2,%'
 GROUP BY m.name, i.columns HAVING count(*) > 1
"""
TRIGGERS = "SELECT tbl_name, group_concat(name, ', ') FROM main.sqlite_master WHERE type = 'trigger' GROUP BY tbl_name"


def without_connection(url: URL) -> Iterator[Finding]:
    """What the file system says of the file, its folder and what lies beside it."""
    file = Path(url.database or "")
    if in_memory(url) or not os.path.isfile(file):  # noqa: PTH113 - False, and no error, where we may not look
        return
    if not os.access(file, os.W_OK):
        seen = f"the file {file} cannot be written by this user"
        yield Finding("file", Level.PROBLEM, seen, "Change its permissions, or run as its owner.", (str(file),))
    elif not os.access(file.resolve().parent, os.W_OK | os.X_OK):
        seen = f"the folder of {file} cannot be written by this user, so no journal can be made and no change either"
        advice = f"Change the permissions of {file.resolve().parent}, or run as its owner."
        yield Finding("file", Level.PROBLEM, seen, advice, (str(file),))
    else:
        yield Finding("file", Level.OK, "the file and its folder can be written")
    for ending, what in LEFTOVERS.items():
        beside = Path(f"{file.resolve()}{ending}")
        with suppress(OSError):
            if beside.stat().st_size:
                seen = (
                    f"{what} lies beside the file ({beside.name}): somebody has it open, or was stopped while writing"
                )
                advice = (
                    "Never remove it, and never copy the file without it: the next who writes completes what it holds."
                )
                yield Finding("journal", Level.NOTE, seen, advice, (str(beside),))


def _version(_patient: Patient) -> Iterator[Finding]:
    found, shown = sqlite3.sqlite_version_info, sqlite3.sqlite_version
    if found < OLDEST:
        seen = f"this Python has SQLite {shown}, and storage-admin needs 3.26"
        yield Finding("version", Level.PROBLEM, seen, "Use a newer Python.")
    elif found < STORAGE:
        seen = f"this Python has SQLite {shown}: enough to upgrade, but SqliteStorage needs 3.35"
        yield Finding("version", Level.WARNING, seen, "Run your application with a newer Python.")
    else:
        yield Finding("version", Level.OK, f"SQLite {shown} is supported")


def _journal(patient: Patient) -> Iterator[Finding]:
    [(mode,)] = patient.rows("PRAGMA journal_mode")
    [(pages,)] = patient.rows("PRAGMA page_size")
    seen = f"journal mode {mode}, pages of {pages} bytes"
    if mode in ("off", "memory"):
        advice = "PRAGMA journal_mode = WAL, once, while nobody else has the file open."
        yield Finding("journal", Level.WARNING, f"{seen}: a crash while writing destroys the file", advice)
    elif mode == "wal":
        yield Finding("journal", Level.OK, f"{seen}: readers and a writer do not wait for each other")
    else:
        advice = "For an application with many readers: PRAGMA journal_mode = WAL (not on a network file system)."
        yield Finding("journal", Level.NOTE, f"{seen}: a writer waits for all readers", advice)


def _other_writers(patient: Patient) -> Iterator[Finding]:
    url = patient.connection.engine.url
    file = Path(url.database or "")
    if in_memory(url) or not os.access(file, os.W_OK):
        return
    # The lock of a writer is taken and given back; nothing is written. Our other connection stays open, so that this
    # one is not the last, which would tidy up the write-ahead log when it closes.
    address = f"{file.resolve().as_uri()}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=WRITER_SECONDS)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            if "locked" not in str(error):
                yield Finding("not-looked-at", Level.NOTE, f"other-writers: {error}", "", ("other-writers",))
                return
            advice = "`upgrade` waits for it, for --wait seconds. To see who it is: fuser " + str(file)
            yield Finding("other-writers", Level.WARNING, "somebody is writing to the file at this moment", advice)


def _integrity(patient: Patient) -> Iterator[Finding]:
    [(pages,)], [(page,)] = patient.rows("PRAGMA page_count"), patient.rows("PRAGMA page_size")
    size = pages * page
    if size > SMALL_BYTES:
        seen = f"not checked: the file has {size / 2**20:,.0f} MB"
        yield Finding("not-looked-at", Level.NOTE, f"integrity: {seen}", "Check it: PRAGMA quick_check", ("integrity",))
        return
    errors = [str(error) for (error,) in patient.rows(f"PRAGMA quick_check({ERRORS_SHOWN})")]
    if errors != ["ok"]:
        advice = "Stop writing, keep a copy of the file, and restore a backup, or try: sqlite3 FILE .recover"
        yield Finding("integrity", Level.PROBLEM, f"the file is damaged: {'; '.join(errors)}", advice)


def _duplicate(patient: Patient) -> Iterator[Finding]:
    import json

    ours = {plan.table.name: str(plan.table) for plan in patient.plans}
    for table, indexes, _ in patient.rows(INDEXES):
        if table in ours:
            kept, *others = sorted(json.loads(indexes), key=lambda name: (not name.startswith("sqlite_"), name))
            seen = f"{ours[table]} has the same index {len(others) + 1} times: {some([kept, *others])}"
            drops = "; ".join(f"DROP INDEX {patient.quote(other)}" for other in others)
            objects = (ours[table], kept, *others)
            yield Finding("duplicate-indexes", Level.NOTE, f"{seen}; every write pays for it", drops, objects)


def _triggers(patient: Patient) -> Iterator[Finding]:
    ours = {plan.table.name: str(plan.table) for plan in patient.plans}
    for table, names in patient.rows(TRIGGERS):
        if name := ours.get(table):
            advice = "They run at each write of a session. `upgrade` writes no row."
            yield Finding("triggers", Level.NOTE, f"{name} has triggers: {names}", advice, (name,))


CHECKS = (
    Check("version", "", _version),
    Check("journal", "", _journal),
    Check("other-writers", "nobody is writing to the file", _other_writers),
    Check("integrity", "the file is sound (quick_check)", _integrity),
    Check("duplicate-indexes", "no index is there twice", _duplicate),
    Check("triggers", "no table has triggers", _triggers),
)
