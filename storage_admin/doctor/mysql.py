"""What is looked at on MySQL and MariaDB: the connection, the server, its settings; and all checks in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage_admin.access import is_lenient, narrow_texts, server_facts
from storage_admin.doctor import mysql_tables as tables
from storage_admin.doctor.findings import Check, Finding, Level, Patient, is_local, some
from storage_admin.notes import LENIENT, NARROW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

# Nothing that is sent can change anything, and nothing waits for long for a table that somebody holds.
BEGIN = ("SET SESSION lock_wait_timeout = 1", "START TRANSACTION READ ONLY")
END = ("ROLLBACK", "SET SESSION lock_wait_timeout = DEFAULT")

MEBIBYTE = 2**20
# name, its unit in seconds, the least that is enough, what happens below it
SHORTEST = (
    ("lock_wait_timeout", 5, "a statement that meets a change of its table fails instead of waiting for it"),
    ("innodb_lock_wait_timeout", 5, "of two who write one session at once, one may fail instead of waiting"),
)
# name, the least MB that are enough, what happens below it
SMALLEST = (
    ("max_allowed_packet", 16, "a session with more than that cannot be stored"),
    ("innodb_online_alter_log_max_size", 64, "an index build on a table that is written to meanwhile may fail"),
)


def without_connection(_url: URL) -> Iterator[Finding]:
    """Nothing: all there is to see is on the server."""
    return iter(())


def _encryption(patient: Patient) -> Iterator[Finding]:
    host = patient.connection.engine.url.host or ""
    if any(cipher for _, cipher in patient.rows("SHOW SESSION STATUS LIKE 'Ssl_cipher'")):
        yield Finding("encryption", Level.OK, "the connection is encrypted")
    elif not is_local(host):
        advice = "Add ?ssl_ca=FILE to the URL, with the certificate of whoever signed the server's."
        seen = f"passwords and sessions go to {host} in the clear: the connection is not encrypted"
        yield Finding("encryption", Level.WARNING, seen, advice)


def _version(patient: Patient) -> Iterator[Finding]:
    dialect: Any = patient.connection.dialect
    product = "MariaDB" if dialect.is_mariadb else "MySQL"
    found, oldest = dialect.server_version_info or (), patient.dialect.oldest[product]
    name, least = (".".join(str(part) for part in version[:2]) for version in (found, oldest))
    if found < oldest:
        seen = f"this is {product} {name}, which is looked at and planned for, and not upgraded"
        advice = f"Upgrade the server to {least} or later, or run by hand what `storage-admin plan --sql` prints."
        yield Finding("version", Level.PROBLEM, seen, advice)
    else:
        yield Finding("version", Level.OK, f"{product} {name} is supported")


def _read_only(patient: Patient) -> Iterator[Finding]:
    server = server_facts(patient.connection, patient.dialect)
    if server is not None and server.read_only:
        yield Finding("read-only", Level.PROBLEM, *patient.dialect.read_only)


def _timeouts(patient: Patient) -> Iterator[Finding]:
    if getattr(patient.connection.dialect, "is_mariadb", False):
        [(longest,)] = patient.rows("SELECT @@global.max_statement_time")
        if longest:
            seen = f"max_statement_time is {longest:g} s: the server ends a change of a large table that takes longer"
            yield Finding("timeouts", Level.WARNING, seen, "SET GLOBAL max_statement_time = 0", ("max_statement_time",))
    for name, least, so in SHORTEST:
        [(seconds,)] = patient.rows(f"SELECT @@global.{name}")
        if seconds < least:
            seen = f"{name} is {seconds:g} s: {so}"
            yield Finding("timeouts", Level.NOTE, seen, f"SET GLOBAL {name} = {least}, or more", (name,))


def _limits(patient: Patient) -> Iterator[Finding]:
    for name, least, so in SMALLEST:
        [(size,)] = patient.rows(f"SELECT @@global.{name}")
        if size < least * MEBIBYTE:
            seen = f"{name} is {size / MEBIBYTE:.3g} MB: {so}"
            yield Finding("limits", Level.NOTE, seen, f"SET GLOBAL {name} = {least * MEBIBYTE}, or more", (name,))


def _sql_mode(patient: Patient) -> Iterator[Finding]:
    if is_lenient(patient.connection, patient.dialect):
        yield Finding("sql-mode", Level.WARNING, *LENIENT)


def _character_set(patient: Patient) -> Iterator[Finding]:
    found = narrow_texts(patient.connection, patient.dialect, [plan.table for plan in patient.plans])
    for character_set, names in found.items():
        objects = tuple(map(str, names))
        seen, advice = (text.format(tables=some(objects), character_set=character_set) for text in NARROW)
        yield Finding("character-set", Level.WARNING, seen, advice, objects)


CHECKS = (
    Check("encryption", "the connection does not leave this machine", _encryption),
    Check("version", "", _version),
    Check("read-only", "the server takes changes", _read_only),
    Check("timeouts", "no timeout is in the way", _timeouts),
    Check("limits", "the limits of the server are wide enough", _limits),
    Check("sql-mode", "the server is strict: it cuts no text in silence", _sql_mode),
    Check("character-set", "all texts are in utf8mb4", _character_set),
    *tables.CHECKS,
)
