"""What is looked at on PostgreSQL: the connection, the server, the settings; and all checks in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage_admin.access import server_facts
from storage_admin.doctor import postgres_sessions as sessions, postgres_tables as tables
from storage_admin.doctor.findings import Check, Finding, Level, Patient, is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

# Nothing that is sent can change anything, and nothing waits for a lock that somebody holds on one of the tables.
BEGIN = ("BEGIN READ ONLY", "SET LOCAL lock_timeout = '1s'", "SET LOCAL statement_timeout = '30s'")

END = ("ROLLBACK",)

OLDEST, NEWEST = 12, 18

# What RESET would set: the value of the role, the database or the server, not the one of our own transaction.
TIMEOUTS = """
SELECT name, reset_val::bigint, source FROM pg_catalog.pg_settings
 WHERE reset_val::bigint > 0 AND name IN
       ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
 ORDER BY name
"""
SOURCES = {
    "user": "of the role",
    "database": "of the database",
    "database user": "of the role in this database",
    "client": "in the URL",
    "session": "of this session",
}
LIFTED = "`upgrade` lifts it for its own statements, and only for them; your application goes on under it."
NOT_LIFTED = (
    "Behind a connection pooler `upgrade` cannot lift it for an index build on a large table, which it may end. "
    "Upgrade on a connection to the server itself, or as a role without it."
)


def without_connection(_url: URL) -> Iterator[Finding]:
    """Nothing: all there is to see is on the server."""
    return iter(())


def _encryption(patient: Patient) -> Iterator[Finding]:
    raw: Any = patient.connection.connection.dbapi_connection
    host = getattr(getattr(raw, "info", None), "host", "") or ""
    encrypted = getattr(getattr(raw, "pgconn", None), "ssl_in_use", None)
    if encrypted is None:
        encrypted = getattr(getattr(raw, "info", None), "ssl_in_use", False)  # psycopg2
    if encrypted:
        yield Finding("encryption", Level.OK, "the connection is encrypted")
    elif not is_local(host):
        advice = "Add ?sslmode=require to the URL, or verify-full with sslrootcert, which proves whose server it is."
        seen = f"passwords and sessions go to {host} in the clear: the connection is not encrypted"
        yield Finding("encryption", Level.WARNING, seen, advice)


def _version(patient: Patient) -> Iterator[Finding]:
    major = int((patient.connection.dialect.server_version_info or (0,))[0])
    if major < OLDEST:
        seen = f"this is PostgreSQL {major}, and storage-admin works with {OLDEST} to {NEWEST}"
        yield Finding("version", Level.PROBLEM, seen, "Upgrade the server.")
    elif major > NEWEST:
        seen = f"this is PostgreSQL {major}, and this storage-admin was tested with {OLDEST} to {NEWEST}"
        yield Finding("version", Level.NOTE, seen, "Look for a newer storage-admin.")
    else:
        yield Finding("version", Level.OK, f"PostgreSQL {major} is supported")


def _pooler(patient: Patient) -> Iterator[Finding]:
    if patient.pooled:
        seen = "a connection pooler is in between: the server knows this connection by another number than we were told"
        advice = (
            "`upgrade` is made for that. Two things need a connection to the server itself: --role, and time for an "
            "index build on a large table where the role has a statement_timeout."
        )
        yield Finding("pooler", Level.NOTE, seen, advice)


def _standby(patient: Patient) -> Iterator[Finding]:
    server = server_facts(patient.connection, patient.dialect)
    if server is not None and server.standby:
        advice = "Connect to the primary; with several hosts in the URL, target_session_attrs=read-write finds it."
        yield Finding("standby", Level.PROBLEM, "this is a hot standby, which takes no changes", advice)


def _read_only(patient: Patient) -> Iterator[Finding]:
    server = server_facts(patient.connection, patient.dialect)
    if server is not None and server.read_only and not server.standby:
        [(source,)] = patient.rows("SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only'")
        seen = f"transactions are read-only: default_transaction_read_only {SOURCES.get(source, 'of the server')}"
        sql = f"ALTER ROLE {patient.quote(server.session_role)} SET default_transaction_read_only = off"
        yield Finding("read-only", Level.PROBLEM, seen, f"Use another role, or: {sql}")


def _monitoring(patient: Patient) -> Iterator[Finding]:
    [(role, sees)] = patient.rows("SELECT current_user, pg_has_role('pg_read_all_stats', 'USAGE')")
    if not sees:
        seen = f"the role {role} does not see what sessions of other roles do, so some that are in the way are missed"
        advice = f"For a full view: GRANT pg_read_all_stats TO {patient.quote(role)}"
        yield Finding("monitoring", Level.NOTE, seen, advice)


def _timeouts(patient: Patient) -> Iterator[Finding]:
    for name, milliseconds, source in patient.rows(TIMEOUTS):
        seen = f"{name} is {milliseconds / 1000:g} s {SOURCES.get(source, 'of the server')}"
        hurts = patient.pooled and name in ("statement_timeout", "lock_timeout")
        yield Finding(
            "timeouts", Level.WARNING if hurts else Level.NOTE, seen, NOT_LIFTED if hurts else LIFTED, (name,)
        )


CHECKS = (
    Check("encryption", "the connection does not leave this machine", _encryption),
    Check("version", "", _version),
    Check("pooler", "no connection pooler is in between", _pooler),
    Check("standby", "the server is a primary", _standby, outside=True),
    Check("read-only", "sessions may write", _read_only, outside=True),
    Check("monitoring", "the role sees what other sessions do", _monitoring),
    Check("timeouts", "no timeout is set", _timeouts, outside=True),
    *tables.RIGHTS_CHECKS,
    *sessions.CHECKS,
    *tables.CHECKS,
)
