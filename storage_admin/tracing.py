"""Spans of OpenTelemetry around what lasts, for a process that uses it. In any other nothing is imported.

Names and attributes follow the semantic conventions for database clients; what they have no word for begins with
``storage_admin.``. No span holds the text of a statement, or anything of a session.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from storage_admin.database import located
from storage_admin.errors import StorageAdminError
from storage_admin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from storage_admin.schema import TableName

# Who makes a provider of spans has imported this; or lets the API make one when it is asked.
API, BY_ENVIRONMENT = "opentelemetry.trace", "OTEL_PYTHON_TRACER_PROVIDER"
PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}


class Traced:
    """A span that goes on, or none."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def set(self, **facts: Any) -> None:
        """Add facts of ours; one that is None is not known."""
        if self._span is not None:
            known = {f"storage_admin.{key}": value for key, value in facts.items() if value is not None}
            self._span.set_attributes(known)

    def failed(self, error: BaseException) -> None:
        """Say what it failed with: our own words hold nothing that is stored, those of others may."""
        if self._span is None:
            return
        from opentelemetry.trace import Status, StatusCode

        said = str(error) if isinstance(error, StorageAdminError) else None
        self._span.set_status(Status(StatusCode.ERROR, said))
        self._span.set_attribute("error.type", getattr(error, "state", None) or type(error).__name__)


def span(operation: str, connection: Connection, table: TableName | None = None) -> AbstractContextManager[Traced]:
    """A span of an operation on a database, or on one table of it, as long as the block lasts."""
    if API not in sys.modules and BY_ENVIRONMENT not in os.environ:
        return nullcontext(Traced())
    try:
        from opentelemetry import trace
    except ImportError:
        return nullcontext(Traced())
    tracer = trace.get_tracer("storage_admin", __version__)
    attributes = _attributes(operation, connection, table)
    name = f"{operation} {table or attributes.get('db.namespace') or attributes['db.system.name']}"
    return _open(tracer, name, attributes)


@contextmanager
def _open(tracer: Any, name: str, attributes: dict[str, Any]) -> Iterator[Traced]:
    # By ourselves: the SDK would record the message of any exception, with its frames.
    quiet = {"record_exception": False, "set_status_on_exception": False}
    with tracer.start_as_current_span(name, attributes=attributes, **quiet) as opened:
        traced = Traced(opened)
        try:
            yield traced
        except BaseException as error:
            traced.failed(error)
            raise


def _attributes(operation: str, connection: Connection, table: TableName | None) -> dict[str, Any]:
    system = "mariadb" if getattr(connection.dialect, "is_mariadb", False) else connection.dialect.name
    url = located(connection.engine.url, connection)
    found: dict[str, Any] = {"db.system.name": system, "db.operation.name": operation}
    optional = {
        "db.namespace": url.database,
        "db.collection.name": str(table) if table is not None else None,
        "server.address": url.host,
        "server.port": url.port if url.port != PORTS.get(system) else None,
    }
    return found | {key: value for key, value in optional.items() if value is not None}
