"""What is looked at on MySQL and MariaDB: who is in the way, and what stands beside the session tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from storage_admin.access import Client, holders, server_facts
from storage_admin.doctor.findings import Check, Finding, Level, Patient, have, some
from storage_admin.locking import lock_key
from storage_admin.schema import TableName

if TYPE_CHECKING:
    from collections.abc import Iterator

# All that an account may do with a table; the name of a schema in a grant is a pattern.
PRIVILEGES = """
SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = :account
 UNION SELECT PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES
        WHERE GRANTEE = :account AND :schema LIKE TABLE_SCHEMA
 UNION SELECT PRIVILEGE_TYPE FROM information_schema.TABLE_PRIVILEGES
        WHERE GRANTEE = :account AND TABLE_SCHEMA = :schema AND TABLE_NAME = :name
"""
NEEDED = ("ALTER", "CREATE", "INDEX", "INSERT")

# Empty where the performance schema is off, as on MariaDB by default.
HELD = """
SELECT p.ID, NULL, p.USER, TIMESTAMPDIFF(SECOND, x.trx_started, NOW()), p.COMMAND, p.INFO,
       m.OBJECT_SCHEMA, m.OBJECT_NAME
  FROM performance_schema.metadata_locks m
  JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID
  JOIN information_schema.PROCESSLIST p ON p.ID = t.PROCESSLIST_ID
  JOIN information_schema.INNODB_TRX x ON x.trx_mysql_thread_id = p.ID
 WHERE m.OBJECT_TYPE = 'TABLE' AND m.LOCK_STATUS = 'GRANTED' AND p.ID <> CONNECTION_ID()
   AND JSON_CONTAINS(:names, JSON_QUOTE(m.OBJECT_NAME))
 ORDER BY 4 DESC
"""

WAITING = """
SELECT ID, NULL, USER, TIME, STATE, INFO FROM information_schema.PROCESSLIST
 WHERE STATE LIKE 'Waiting for table%lock' AND ID <> CONNECTION_ID() ORDER BY TIME DESC
"""

# Each index as one text, of which equal ones do the same.
INDEXES = """
SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, MIN(NON_UNIQUE),
       GROUP_CONCAT(CONCAT_WS(':', COALESCE(COLUMN_NAME, INDEX_NAME), SUB_PART, COLLATION, INDEX_TYPE)
                    ORDER BY SEQ_IN_INDEX)
  FROM information_schema.STATISTICS
 WHERE JSON_CONTAINS(:names, JSON_QUOTE(TABLE_NAME))
 GROUP BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME
 ORDER BY 1, 2, INDEX_NAME <> 'PRIMARY', 4, 3
"""

UNUSED = """
SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME FROM information_schema.STATISTICS
 WHERE JSON_CONTAINS(:names, JSON_QUOTE(TABLE_NAME)) AND {0} ORDER BY 1, 2, 3
"""
# The flag of an index that no query uses, which each product has named otherwise, and since when.
FLAGS = {
    "MySQL": ((8, 0), "IS_VISIBLE = 'NO'", "VISIBLE"),
    "MariaDB": ((10, 6), "IGNORED = 'YES'", "NOT IGNORED"),
}

ENGINES = """
SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE FROM information_schema.TABLES
 WHERE JSON_CONTAINS(:names, JSON_QUOTE(TABLE_NAME)) AND TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB'
 ORDER BY 1, 2
"""

TRIGGERS = """
SELECT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, GROUP_CONCAT(TRIGGER_NAME ORDER BY TRIGGER_NAME SEPARATOR ', ')
  FROM information_schema.TRIGGERS
 WHERE JSON_CONTAINS(:names, JSON_QUOTE(EVENT_OBJECT_TABLE))
 GROUP BY 1, 2 ORDER BY 1, 2
"""


def ours(patient: Patient, query: str, *, at: int = 0) -> Iterator[tuple[TableName, tuple[Any, ...]]]:
    """The rows of a query that are about a session table, and the table, whose name they have ``at`` a place."""
    tables = {plan.table for plan in patient.plans}
    names = json.dumps(sorted({table.name for table in tables}), ensure_ascii=False)
    for row in patient.rows(query, names=names):
        table = TableName(*row[at : at + 2])
        if table in tables:
            yield table, (*row[:at], *row[at + 2 :])


def _rights(patient: Patient) -> Iterator[Finding]:
    server = server_facts(patient.connection, patient.dialect)
    if server is None or _has_a_role(patient):  # what a role may do is not told
        return
    for plan in patient.plans:
        table = plan.table
        held = patient.rows(PRIVILEGES, account=server.role, schema=table.schema, name=table.name)
        lacking = [privilege for privilege in NEEDED if (privilege,) not in held]
        if not lacking:
            continue
        lacks = f"{server.role} lacks {', '.join(lacking)}"
        level, seen = Level.NOTE, f"{table} could not be upgraded, if it had to be: {lacks}"
        if plan.runnable:
            level, seen = Level.PROBLEM, f"{table} cannot be upgraded: {lacks}"
        grant = f"GRANT {', '.join(lacking)} ON {patient.quote(table.schema, table.name)} TO {server.role}"
        yield Finding("rights", level, seen, f"Let whoever runs the server run this: {grant}", (str(table),))


def _has_a_role(patient: Patient) -> bool:
    dialect: Any = patient.connection.dialect
    if not dialect.is_mariadb and (dialect.server_version_info or ()) < (8, 0):
        return False
    [(role,)] = patient.rows("SELECT CURRENT_ROLE()")
    return role not in (None, "", "NONE")


def _held(patient: Patient) -> Iterator[Finding]:
    held: dict[Client, list[TableName]] = {}
    for table, facts in ours(patient, HELD, at=6):
        held.setdefault(Client(*facts), []).append(table)
    for client, tables in held.items():
        if (client.seconds or 0) >= patient.long:
            names = tuple(sorted({str(table) for table in tables}))
            advice = f"End its transaction, or let its application do so; by force: KILL {client.pid}"
            yield Finding(
                "held-locks", Level.WARNING, f"{client} holds {some(names)}", advice, (*names, str(client.pid))
            )


def _waiting(patient: Patient) -> Iterator[Finding]:
    names = {plan.table.name.lower(): str(plan.table) for plan in patient.plans}
    for row in patient.rows(WAITING):
        who = Client(*row)
        meant = [shown for name, shown in names.items() if name in (who.query or "").lower()]
        if not meant:
            continue
        seen = f"{who} waits for {some(meant)}, and all who come after it wait too"
        level = Level.PROBLEM if (who.seconds or 0) >= patient.long else Level.WARNING
        advice = f"End what is in its way: see open-transactions and held-locks; or what waits: KILL QUERY {who.pid}"
        yield Finding("waiting-sessions", level, seen, advice, (*meant, str(who.pid)))


def _open(patient: Patient) -> Iterator[Finding]:
    if not patient.plans:
        return
    table = patient.plans[0].table  # the server does not tell which ones a transaction has used
    for client in holders(patient.connection, patient.dialect, table, lock_key(table)):
        if client.seconds is not None and client.seconds >= patient.long:
            seen = f"the transaction of {client} is open: an upgrade of a table that it has used waits for its end"
            advice = f"End it, or let its application do so; by force: KILL {client.pid}"
            yield Finding("open-transactions", Level.WARNING, seen, advice, (str(client.pid),))


def _unused(patient: Patient) -> Iterator[Finding]:
    dialect: Any = patient.connection.dialect
    since, flag, cure = FLAGS["MariaDB" if dialect.is_mariadb else "MySQL"]
    if (dialect.server_version_info or ()) < since:
        return
    for table, (index,) in ours(patient, UNUSED.format(flag)):
        name = patient.quote(table.schema, table.name)
        seen = f"{table} has the index {index}, which no query may use and every write pays for"
        advice = f"ALTER TABLE {name} ALTER INDEX {patient.quote(index)} {cure}; or drop it"
        yield Finding("invalid-indexes", Level.WARNING, seen, advice, (str(table), str(index)))


def _duplicate(patient: Patient) -> Iterator[Finding]:
    same: dict[tuple[TableName, str], list[str]] = {}
    for table, (index, _, columns) in ours(patient, INDEXES):
        same.setdefault((table, columns), []).append(index)
    for (table, _), (kept, *others) in same.items():
        if others:
            name = patient.quote(table.schema, table.name)
            seen = f"{table} has the same index {len(others) + 1} times: {some([kept, *others])}"
            drops = "; ".join(f"ALTER TABLE {name} DROP INDEX {patient.quote(other)}" for other in others)
            objects = (str(table), kept, *others)
            yield Finding("duplicate-indexes", Level.NOTE, f"{seen}; every write pays for it", drops, objects)


def _engine(patient: Patient) -> Iterator[Finding]:
    by_engine: dict[str, list[str]] = {}
    for table, (engine,) in ours(patient, ENGINES):
        by_engine.setdefault(engine, []).append(str(table))
    for engine, names in by_engine.items():
        seen = (
            f"{some(names)} {have(names, 'is', 'are')} kept by {engine}, not by InnoDB: what is refused after it was "
            "written stays written, and an upgrade copies the table"
        )
        advice = "In a quiet hour, since it copies the table: ALTER TABLE ... ENGINE = InnoDB"
        yield Finding("engine", Level.WARNING, seen, advice, tuple(names))


def _triggers(patient: Patient) -> Iterator[Finding]:
    for table, (names,) in ours(patient, TRIGGERS):
        advice = "They run at each write of a session. `upgrade` writes no row."
        yield Finding("triggers", Level.NOTE, f"{table} has triggers: {names}", advice, (str(table),))


CHECKS = (
    Check("rights", "the account may upgrade the tables, or it is not known what its role may do", _rights),
    Check("held-locks", "no session is known to hold a table for long", _held),
    Check("waiting-sessions", "no session waits for a table", _waiting),
    Check("open-transactions", "no transaction is open for long", _open),
    Check("invalid-indexes", "queries may use every index", _unused),
    Check("duplicate-indexes", "no index is there twice", _duplicate),
    Check("engine", "all tables are kept by InnoDB", _engine),
    Check("triggers", "no table has triggers", _triggers),
)
