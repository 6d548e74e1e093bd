"""What is looked at on PostgreSQL: who is in the way at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.access import Client, duration, snapshots
from storage_admin.doctor.findings import Check, Finding, Level, Patient, some
from storage_admin.doctor.postgres_tables import name_of, ours

if TYPE_CHECKING:
    from collections.abc import Iterator

# One row per session, with the tables that it holds. The query of a client is shown without its literals.
HELD = """
SELECT l.pid, a.application_name, a.usename, extract(epoch FROM clock_timestamp() - a.xact_start)::float8, a.state,
       a.query, json_agg(DISTINCT json_build_array(ours.nspname, ours.relname)::text)
  FROM pg_catalog.pg_locks l
  JOIN ours ON ours.oid = l.relation
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.pid <> pg_backend_pid() AND l.granted AND l.locktype = 'relation' AND l.database = (SELECT oid FROM here)
   AND clock_timestamp() - a.xact_start >= make_interval(secs => :long)
 GROUP BY l.pid, a.application_name, a.usename, a.xact_start, a.state, a.query
 ORDER BY a.xact_start
"""

WAITING = """
SELECT DISTINCT l.pid, a.application_name, a.usename, extract(epoch FROM clock_timestamp() - a.query_start)::float8,
       a.state, a.query, ours.nspname, ours.relname, l.mode, pg_blocking_pids(l.pid)::text
  FROM pg_catalog.pg_locks l
  JOIN ours ON ours.oid = l.relation
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.pid <> pg_backend_pid() AND NOT l.granted AND l.locktype = 'relation' AND l.database = (SELECT oid FROM here)
"""

PREPARED = """
SELECT p.gid, p.owner::text, extract(epoch FROM clock_timestamp() - p.prepared)::float8,
       (SELECT json_agg(DISTINCT json_build_array(ours.nspname, ours.relname)::text)
          FROM pg_catalog.pg_locks x JOIN pg_catalog.pg_locks l USING (virtualtransaction)
          JOIN ours ON ours.oid = l.relation
         WHERE x.pid IS NULL AND x.locktype = 'transactionid' AND x.transactionid = p.transaction
           AND l.pid IS NULL AND l.database = (SELECT oid FROM here))
  FROM pg_catalog.pg_prepared_xacts p
 WHERE p.database = current_database()
 ORDER BY p.prepared
"""

BUILDS = """
SELECT a.pid, a.application_name, a.usename, extract(epoch FROM clock_timestamp() - a.query_start)::float8, a.state,
       a.query, ours.nspname, ours.relname, p.phase
  FROM pg_catalog.pg_stat_progress_create_index p
  JOIN ours ON ours.oid = p.relid
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = p.pid
 WHERE p.datname = current_database()
"""


def _held(patient: Patient) -> Iterator[Finding]:
    for *client, tables in ours(patient, HELD, long=patient.long):
        names = name_of(tables)
        seen = f"{Client(*client)} holds {some(names)}"
        advice = (
            f"End its transaction, or let its application do so; by force: SELECT pg_terminate_backend({client[0]})"
        )
        yield Finding("held-locks", Level.WARNING, seen, advice, (*names, str(client[0])))


def _waiting(patient: Patient) -> Iterator[Finding]:
    for *client, schema, table, mode, blockers in ours(patient, WAITING):
        who = Client(*client)
        [name] = name_of([(schema, table)])
        pids = str(blockers).strip("{}").replace(",", ", ")
        seen = f"{who} waits for {mode} on {name}, and all who come after it wait too; in its way: pid {pids}"
        level = Level.PROBLEM if (who.seconds or 0) >= patient.long else Level.WARNING
        advice = f"End what is in its way (pid {pids}), or what waits: SELECT pg_cancel_backend({who.pid})"
        yield Finding("waiting-sessions", level, seen, advice, (name, str(who.pid)))


def _open(patient: Patient) -> Iterator[Finding]:
    for client in snapshots(patient.connection, patient.dialect):
        if client.seconds is not None and client.seconds >= patient.long:
            seen = f"an index build would wait for {client}"
            advice = "Let it end before you upgrade a large table; `upgrade --wait SECONDS` says for how long to wait."
            yield Finding("open-transactions", Level.WARNING, seen, advice, (str(client.pid),))


def _prepared(patient: Patient) -> Iterator[Finding]:
    for gid, owner, seconds, tables in ours(patient, PREPARED):
        names = name_of(tables or ())
        held = f" and holds {some(names)}" if names else ""
        seen = f"the transaction {gid!r} of {owner} is prepared since {duration(seconds)}{held}"
        literal = "'" + gid.replace("'", "''") + "'"
        advice = f"Whoever coordinates it must finish it: COMMIT PREPARED {literal}, or ROLLBACK PREPARED {literal}"
        level = Level.PROBLEM if names else Level.WARNING
        yield Finding("prepared-transactions", level, seen, advice, (*names, str(gid)))


def _builds(patient: Patient) -> Iterator[Finding]:
    for *client, schema, table, phase in ours(patient, BUILDS):
        [name] = name_of([(schema, table)])
        seen = f"an index on {name} is being built by {Client(*client)}: {phase}"
        yield Finding("index-builds", Level.NOTE, seen, "`upgrade` and `repair` wait for it.", (name,))


CHECKS = (
    Check("held-locks", "no session holds a table for long", _held),
    Check("waiting-sessions", "no session waits for a table", _waiting),
    Check("open-transactions", "no transaction is open for long", _open),
    Check("prepared-transactions", "no transaction is prepared", _prepared),
    Check("index-builds", "no index is being built", _builds),
)
