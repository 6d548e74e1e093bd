"""What is looked at on PostgreSQL: rights, indexes, replication and whatever else stands beside a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from storage_admin import history
from storage_admin.changes import AddColumn, RebuildIndex
from storage_admin.doctor.findings import Check, Finding, Level, Patient, have, some
from storage_admin.schema import TableName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The session tables, each with its partitions and its heirs, without a lock on any of them.
OURS = """
WITH RECURSIVE here AS (
  SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()
), named AS (
  SELECT c.oid FROM json_array_elements(CAST(:tables AS json)) t
    JOIN pg_catalog.pg_namespace n ON n.nspname = t->>0
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t->>1
), tree AS (
  SELECT oid, oid AS root FROM named
  UNION
  SELECT i.inhrelid, tree.root FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
), ours AS (
  SELECT tree.oid, tree.root, n.nspname, n.oid AS schema, c.relname, c.relkind, c.relowner, c.reloptions,
         c.relrowsecurity, c.relforcerowsecurity, c.relispartition
    FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
)
"""

RIGHTS = """
SELECT ours.nspname, ours.relname, r.rolname, r.rolsuper, pg_has_role(r.oid, 'USAGE'),
       has_schema_privilege(ours.schema, 'CREATE'),
       has_schema_privilege(r.oid, ours.schema, 'CREATE') AND has_schema_privilege(r.oid, ours.schema, 'USAGE'),
       current_user
  FROM ours JOIN pg_catalog.pg_roles r ON r.oid = ours.relowner
 WHERE ours.oid = ours.root
 ORDER BY 3, 1, 2
"""

INVALID = """
SELECT ours.nspname, ours.relname, i.relname FROM ours
  JOIN pg_catalog.pg_index x ON x.indrelid = ours.oid
  JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
 WHERE NOT (x.indisvalid AND x.indisready)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
                    WHERE p.index_relid = i.oid OR p.index_relid = 0 AND p.relid = ours.oid)
 ORDER BY 1, 2, 3
"""

DUPLICATE = """
SELECT ours.nspname, ours.relname, json_agg(i.relname::text ORDER BY x.indisprimary DESC, x.indisunique DESC, i.relname)
  FROM ours
  JOIN pg_catalog.pg_index x ON x.indrelid = ours.oid AND x.indisvalid
  JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
 WHERE ours.oid = ours.root
 GROUP BY ours.nspname, ours.relname, x.indkey, x.indclass::text, x.indcollation::text, x.indoption::text, i.relam,
          x.indnkeyatts, coalesce(pg_get_expr(x.indexprs, ours.oid), ''), coalesce(pg_get_expr(x.indpred, ours.oid), '')
HAVING count(*) > 1
"""

PUBLICATIONS = """
SELECT DISTINCT ours.nspname, ours.relname, string_agg(p.pubname, ', ' ORDER BY p.pubname)
  FROM ours JOIN pg_catalog.pg_publication_tables p ON p.schemaname = ours.nspname AND p.tablename = ours.relname
 GROUP BY 1, 2 ORDER BY 3, 1, 2
"""

SLOTS = """
SELECT slot_name, slot_type, CASE WHEN NOT pg_is_in_recovery()
       THEN pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) END
  FROM pg_catalog.pg_replication_slots
 WHERE NOT active AND (database = current_database() OR database IS NULL)
 ORDER BY 1
"""

ROW_SECURITY = """
SELECT ours.nspname, ours.relname, row_security_active(ours.oid), ours.relforcerowsecurity, current_user
  FROM ours WHERE ours.relrowsecurity ORDER BY 1, 2
"""

INHERITANCE = """
SELECT ours.nspname, ours.relname, ours.relkind = 'p', (SELECT count(*) FROM ours o WHERE o.root = ours.oid) - 1,
       (SELECT min(p.inhparent::regclass::text) FROM pg_catalog.pg_inherits p WHERE p.inhrelid = ours.oid)
  FROM ours
 WHERE ours.oid = ours.root AND (ours.relkind = 'p'
       OR EXISTS (SELECT FROM pg_catalog.pg_inherits p WHERE ours.oid IN (p.inhparent, p.inhrelid)))
 ORDER BY 1, 2
"""

TRIGGERS = """
SELECT ours.nspname, ours.relname, string_agg(t.tgname, ', ' ORDER BY t.tgname)
  FROM ours JOIN pg_catalog.pg_trigger t ON t.tgrelid = ours.oid
 WHERE ours.oid = ours.root AND NOT t.tgisinternal AND t.tgenabled <> 'D'
 GROUP BY 1, 2 ORDER BY 1, 2
"""

EVENT_TRIGGERS = """
SELECT e.evtname, e.evtevent FROM pg_catalog.pg_event_trigger e WHERE e.evtenabled <> 'D' ORDER BY 1
"""

AUTOVACUUM = """
SELECT ours.nspname, ours.relname FROM ours
 WHERE EXISTS (SELECT FROM unnest(ours.reloptions) o WHERE lower(o) ~ '^autovacuum_enabled=(false|off|no|0|f|n)')
 ORDER BY 1, 2
"""

LOCK_SLOTS = """
SELECT n.nspname, c.relname, needed, current_setting('max_locks_per_transaction')::int
  FROM (SELECT root, count(*) + sum((SELECT count(*) FROM pg_catalog.pg_index x WHERE x.indrelid = ours.oid)) AS needed
          FROM ours GROUP BY root) r
  JOIN pg_catalog.pg_class c ON c.oid = r.root JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE needed > current_setting('max_locks_per_transaction')::int
"""


def ours(patient: Patient, query: str, **parameters: object) -> list[tuple[Any, ...]]:
    """What a query over ``ours``, the session tables, answers."""
    tables = json.dumps([[plan.table.schema, plan.table.name] for plan in patient.plans])
    return patient.rows(OURS + query, tables=tables, **parameters)


def name_of(pairs: Iterable[Any]) -> tuple[str, ...]:
    """Tables as the command line reads them, from pairs of schema and name, or from JSON of one."""
    read = (json.loads(pair) if isinstance(pair, str) else pair for pair in pairs)
    return tuple(sorted({str(TableName(schema, name)) for schema, name in read}))


def _rights(patient: Patient) -> Iterator[Finding]:
    pending = {plan.table for plan in patient.plans if plan.runnable}
    groups: dict[tuple[Any, ...], list[TableName]] = {}
    for schema, table, *rights in ours(patient, RIGHTS):
        name = TableName(schema, table)
        groups.setdefault((schema, name in pending, *rights), []).append(name)
    for (_, wanted, owner, is_superuser, may_alter, may_create, owner_may_create, role), names in groups.items():
        if may_alter and may_create:
            continue
        if not may_alter:
            lacks = f"{role} is no member of {owner}, whose {have(names, 'it is', 'they are')}"
        else:
            lacks = f"{role} may not create an index in that schema"
        if wanted:
            level, seen = Level.PROBLEM, f"{some(names)} cannot be upgraded: {lacks}"
        else:
            level, seen = Level.NOTE, f"{some(names)} could not be upgraded, if it had to be: {lacks}"
        joined = None if may_alter or is_superuser else owner
        create = not (owner_may_create if joined else may_create)
        over = is_superuser and not may_alter
        advice = _ask(patient, names[0], role=role, owner=joined, create=create, takes_over=over)
        yield Finding("rights", level, seen, advice, name_of((n.schema, n.name) for n in names))


def _ask(patient: Patient, table: TableName, *, role: str, owner: str | None, create: bool, takes_over: bool) -> str:
    from storage_admin.render import grants

    given = grants(patient.dialect, table, role=role, owner=owner, create=create, takes_over=takes_over)
    as_owner = f", then storage-admin upgrade --role {owner}" if owner else ""
    return (
        f"To upgrade as {role}, ask for: {'; '.join(given)}{as_owner}. Or let the owner run storage-admin, or what "
        "`storage-admin plan --sql` prints."
    )


def _log(patient: Patient) -> Iterator[Finding]:
    for schema in sorted({plan.table.schema for plan in patient.plans if plan.table.schema is not None}):
        found = history.access(patient.connection, patient.dialect, schema)
        if found is None or found.enough:
            continue
        if found.reads:
            level, seen = Level.WARNING, f"{found.role} may not write {found.log}: what it upgrades is not recorded"
        else:
            level = Level.WARNING if found.keeps_tables else Level.NOTE
            seen = f"{found.role} may not read {found.log}: a table of a newer storage-admin is not told from others"
        told = history.advice(patient.connection, found)
        yield Finding("log", level, seen, told[0].upper() + told[1:], (str(found.log),))


def _invalid(patient: Patient) -> Iterator[Finding]:
    known = {(p.table, c.name) for p in patient.plans for c in p.builds if isinstance(c, RebuildIndex)}
    for schema, table, index in ours(patient, INVALID):
        name, [shown] = TableName(schema, table), name_of([(schema, table)])
        drop = f"DROP INDEX CONCURRENTLY {patient.quote(schema, index)}"
        if (name, index) in known:
            seen = f"the index {index} on {shown} is invalid: no query uses it, and every write pays for it"
            yield Finding("invalid-indexes", Level.PROBLEM, seen, "storage-admin repair", (shown, index))
        elif index.rstrip("0123456789").endswith(("_ccnew", "_ccold")):
            seen = f"an interrupted REINDEX CONCURRENTLY left {index} on {shown}; every write pays for it"
            yield Finding("leftover-indexes", Level.WARNING, seen, drop, (shown, index))
        else:
            seen = (
                f"{index} on {shown}, which is none of ours, is invalid: no query uses it, and every write pays for it"
            )
            yield Finding("invalid-indexes", Level.WARNING, seen, f"{drop}, or build it anew.", (shown, index))


def _duplicate(patient: Patient) -> Iterator[Finding]:
    for schema, table, indexes in ours(patient, DUPLICATE):
        [name], (kept, *others) = name_of([(schema, table)]), indexes
        seen = (
            f"{name} has the same index {len(others) + 1} times: {', '.join([kept, *others])}; every write pays for it"
        )
        drops = "; ".join(f"DROP INDEX CONCURRENTLY {patient.quote(schema, other)}" for other in others)
        yield Finding("duplicate-indexes", Level.NOTE, seen, f"{kept} is enough: {drops}", (name, kept, *others))


def _publications(patient: Patient) -> Iterator[Finding]:
    growing = {p.table for p in patient.plans if p.runnable and any(isinstance(c, AddColumn) for c in p.changes)}
    for schema, table, publications in ours(patient, PUBLICATIONS):
        [name] = name_of([(schema, table)])
        seen = f"{name} is published by {publications}"
        if TableName(schema, table) in growing:
            advice = (
                "Upgrade the subscribers first, or replication stops at the first row with a column that they lack."
            )
            yield Finding("publications", Level.WARNING, f"{seen}, and is to get columns", advice, (name,))
        else:
            yield Finding(
                "publications", Level.NOTE, seen, "Before its next upgrade, upgrade the subscribers.", (name,)
            )


def _slots(patient: Patient) -> Iterator[Finding]:
    for slot, kind, kept in patient.rows(SLOTS):
        seen = f"nobody reads the {kind} replication slot {slot}" + (
            f", and the server keeps {kept} for it" if kept else ""
        )
        advice = "Start its reader again, or, if there is none any more: "
        literal = "'" + slot.replace("'", "''") + "'"
        advice += f"SELECT pg_drop_replication_slot({literal})"
        yield Finding("replication-slots", Level.WARNING, seen, advice, (slot,))


def _row_security(patient: Patient) -> Iterator[Finding]:
    for schema, table, active, forced, role in ours(patient, ROW_SECURITY):
        [name] = name_of([(schema, table)])
        how = "forced, also on its owner" if forced else "on, but not for its owner"
        if active:
            seen = f"row-level security of {name} is {how}: {role} sees only what its policies show"
            advice = "Upgrades are not touched by it. Count and export rows as the owner, or as a role with BYPASSRLS."
            yield Finding("row-security", Level.WARNING, seen, advice, (name,))
        else:
            seen = f"row-level security of {name} is {how}; {role} sees all rows"
            yield Finding("row-security", Level.NOTE, seen, "", (name,))


def _inheritance(patient: Patient) -> Iterator[Finding]:
    for schema, table, partitioned, heirs, parent in ours(patient, INHERITANCE):
        [name] = name_of([(schema, table)])
        if partitioned:
            seen = f"{name} is partitioned ({heirs} below it)"
            advice = "It is upgraded with its partitions. On a large one the indexes are yours to build, one by one."
        elif parent:
            seen, advice = (
                f"{name} inherits from {parent}",
                "Columns that the parent is to have too belong there first.",
            )
        else:
            seen, advice = f"{name} has {heirs} heirs", "A column that it gets, they get too; an index they do not."
        yield Finding("inheritance", Level.NOTE, seen, advice, (name,))


def _triggers(patient: Patient) -> Iterator[Finding]:
    for schema, table, names in ours(patient, TRIGGERS):
        [name] = name_of([(schema, table)])
        seen = f"{name} has triggers: {names}"
        advice = "They run at each write of a session. `upgrade` writes no row."
        yield Finding("triggers", Level.NOTE, seen, advice, (name,))


def _event_triggers(patient: Patient) -> Iterator[Finding]:
    found = [(str(name), str(event)) for name, event in patient.rows(EVENT_TRIGGERS)]
    if found:
        listed = ", ".join(f"{name} ({event})" for name, event in found)
        advice = "They run at each statement of an upgrade, and may refuse or undo it; then nothing is changed."
        names = tuple(name for name, _ in found)
        seen = f"{len(found)} event {have(found, 'trigger', 'triggers')} on this database: {listed}"
        yield Finding("event-triggers", Level.NOTE, seen, advice, names)


def _autovacuum(patient: Patient) -> Iterator[Finding]:
    [(setting,)] = patient.rows("SELECT current_setting('autovacuum')")
    if setting == "off":
        advice = "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()"
        yield Finding("autovacuum", Level.WARNING, "autovacuum is off on the server: tables grow, and get slow", advice)
    for schema, table in ours(patient, AUTOVACUUM):
        [name] = name_of([(schema, table)])
        advice = f"ALTER TABLE {patient.quote(schema, table)} RESET (autovacuum_enabled)"
        yield Finding(
            "autovacuum", Level.WARNING, f"autovacuum is off for {name}: it grows, and gets slow", advice, (name,)
        )


def _lock_slots(patient: Patient) -> Iterator[Finding]:
    for schema, table, needed, limit in ours(patient, LOCK_SLOTS):
        [name] = name_of([(schema, table)])
        seen = f"a change of {name} locks {needed} partitions and indexes, and max_locks_per_transaction is {limit}"
        advice = f"If it fails with `out of shared memory`, raise max_locks_per_transaction to {needed} and restart."
        yield Finding("lock-slots", Level.WARNING, seen, advice, (name,))


RIGHTS_CHECKS = (
    Check("rights", "the role may upgrade every table", _rights),
    Check("log", "the role may do with the log of upgrades what it has to", _log),
)
CHECKS = (
    Check("invalid-indexes", "no index is invalid", _invalid),
    Check("duplicate-indexes", "no index is there twice", _duplicate),
    Check("publications", "no table is published", _publications),
    Check("replication-slots", "no replication slot is idle", _slots),
    Check("row-security", "no table has row-level security", _row_security),
    Check("inheritance", "no table is partitioned or inherits", _inheritance),
    Check("triggers", "no table has triggers", _triggers),
    Check("event-triggers", "there are no event triggers", _event_triggers),
    Check("autovacuum", "autovacuum is on", _autovacuum),
    Check("lock-slots", "there is room for the locks of each table", _lock_slots),
)
