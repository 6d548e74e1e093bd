"""The driver itself, where SQLAlchemy would make an object of each row: its errors become what they are elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import exc

from storage_admin.messages import query_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


@contextmanager
def driver_errors(connection: Connection, statement: str) -> Iterator[None]:
    """An error of the driver becomes the one that SQLAlchemy would make of it.

    Raises:
        DBAPIError
    """
    dbapi = connection.dialect.loaded_dbapi
    driver = connection.connection.dbapi_connection
    try:
        yield
    except dbapi.Error as error:
        broken = driver is None or connection.dialect.is_disconnect(error, driver, None)
        raise exc.DBAPIError.instance(
            statement, None, error, dbapi.Error, connection_invalidated=broken, dialect=connection.dialect
        ) from error


@contextmanager
def in_words(connection: Connection, where: str) -> Iterator[None]:
    """An error of the database becomes one of ours; ``where`` names the table.

    Raises:
        QueryFailed, DatabaseBusy
    """
    try:
        yield
    except exc.DBAPIError as error:
        raise query_error(connection.engine.url, error, where) from error
