"""Runs the checks of a database, each for itself: one that is not allowed is a finding and stops no other."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from importlib import import_module
from statistics import median
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc

from storage_admin.access import server_facts
from storage_admin.database import send
from storage_admin.doctor.findings import Check, Diagnosis, Finding, Level, Patient
from storage_admin.doctor.tables import look_at_tables
from storage_admin.errors import CannotConnect
from storage_admin.messages import advice_for, driver_message
from storage_admin.reports import DatabaseInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import URL, Connection

    from storage_admin.changes import Plan
    from storage_admin.discovery import Finder
    from storage_admin.errors import StorageAdminError

# Each has BEGIN and END (statements), CHECKS, and without_connection(url, problem), which looks where no connection is
# needed.
MODULES = {
    "postgresql": "storage_admin.doctor.postgres",
    "mysql": "storage_admin.doctor.mysql",
    "sqlite": "storage_admin.doctor.sqlite",
}
TRIPS = 5
SLOW_MS = 50


def examine(finder: Finder, url: URL, info: DatabaseInfo, *, long: float) -> Diagnosis:
    """Look at all that may be in the way of an upgrade. Sends nothing that changes anything.

    A transaction or a lock that is older than ``long`` seconds is worth a word.
    """
    connection, module = finder.connection, _module(finder.dialect.name)
    findings = [_round_trip(connection)]
    plans: tuple[Plan, ...] = ()
    with _noted(findings, "outdated-tables"), _reading(connection, module):
        plans, found = look_at_tables(finder)
        findings += found
    patient = Patient(connection, finder.dialect, plans, long, _pooled(finder))
    for check in module.CHECKS if module else ():
        with _noted(findings, check.rule):
            findings += _run(check, patient, module)
    findings += module.without_connection(url) if module else ()
    return Diagnosis(info, tuple(findings))


def unreachable(error: StorageAdminError, url: URL, shown: str) -> Diagnosis:
    """The diagnosis of a database that could not be reached."""
    if isinstance(error, CannotConnect):
        seen, advice = f"no connection: {error.facts['problem']}", str(error.facts["advice"])
    else:
        seen, advice = str(error), ""
    module = _module(url.get_backend_name())
    found = tuple(module.without_connection(url)) if module else ()
    info = DatabaseInfo(url.get_backend_name(), "", shown)
    return Diagnosis(info, (Finding("connection", Level.PROBLEM, seen, advice), *found))


@contextmanager
def reading(connection: Connection, dialect: str) -> Iterator[None]:
    """A transaction that can change nothing and waits for nobody for long, where the database has such a thing."""
    with _reading(connection, _module(dialect)):
        yield


def _module(dialect: str) -> Any:
    return import_module(MODULES[dialect]) if dialect in MODULES else None


def _run(check: Check, patient: Patient, module: Any) -> Iterable[Finding]:
    if check.outside:
        found = tuple(check.find(patient))
    else:
        with _reading(patient.connection, module):
            found = tuple(check.find(patient))
    return found or (Finding(check.rule, Level.OK, check.fine),)


@contextmanager
def _reading(connection: Connection, module: Any) -> Iterator[None]:
    statements = module.BEGIN if module else ()
    for statement in statements:
        send(connection, statement)
    try:
        yield
    finally:
        if statements and not connection.invalidated:
            with suppress(exc.DBAPIError):
                for statement in module.END:
                    send(connection, statement)


@contextmanager
def _noted(findings: list[Finding], rule: str) -> Iterator[None]:
    """Turn what the database refuses into a finding; that there is none, or none any more, stays an error."""
    try:
        yield
    except exc.DBAPIError as error:
        problem = driver_message(error)
        if error.connection_invalidated or "is not a database" in problem:
            raise
        findings.append(Finding("not-looked-at", Level.NOTE, f"{rule}: {problem}", advice_for(problem), (rule,)))


def _round_trip(connection: Connection) -> Finding:
    taken = []
    for _ in range(TRIPS):
        started = time.perf_counter()
        send(connection, "SELECT 1").close()
        taken.append((time.perf_counter() - started) * 1000)
    took = median(taken)
    if connection.dialect.name == "sqlite":  # where nothing goes over a line
        return Finding("connection", Level.OK, "the file can be read")
    seen = f"connected; a round trip takes {took:.1f} ms"
    if took < SLOW_MS:
        return Finding("connection", Level.OK, seen)
    advice = "Run storage-admin nearer to the database: each table of an upgrade takes some ten round trips."
    return Finding("connection", Level.NOTE, seen, advice)


def _pooled(finder: Finder) -> bool:
    with suppress(exc.DBAPIError):
        server = server_facts(finder.connection, finder.dialect)
        return server is not None and server.pooled
    return False
