"""A URL becomes an engine here, and an engine a connection; one transaction."""

from __future__ import annotations

import os
import random
import re
import time
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, create_engine, event, exc, make_url, text
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from storage_admin.dialects import DIALECTS, dialect_named
from storage_admin.errors import (
    BadDatabaseURL,
    DatabaseBusy,
    DriverMissing,
    UnsupportedDatabase,
)
from storage_admin.files import in_memory, sqlite_engine
from storage_admin.messages import (
    connection_error,
    displayed_url,
    driver_message,
    query_error,
    sql_state,
    without_literals,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import URL, Connection, CursorResult

    from storage_admin.dialects import Dialect

BUSY_SECONDS = 30

# A server that is gone, or a firewall that forgot us, is noticed after half a minute, not after two hours.
KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # ms
}
# A server that will take us soon: it has no connection left, or starts, or stops to start again.
NOT_YET = ("too many", "remaining connection slots", "starting up", "shutting down", "in recovery mode")
CONNECT_SECONDS = 10
DEAD_IN_A_POOL = 30  # connections, that are tried before it is given up
PREPARED = "storage_admin_prepared"

# Of drivers that SQLAlchemy knows.
PACKAGES = {"psycopg2": "psycopg2-binary", "pg8000": "pg8000"}

# What people write, and the driver that we bring.
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
    "sqlite+aiosqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "mysql": "mysql+pymysql",
    "mysql+aiomysql": "mysql+pymysql",
    "mysql+asyncmy": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
}


# --- URL -> engine -----------------------------------------------------------------------------------------


def parse_url(text: str) -> URL:
    """Read a database URL and settle on a driver.

    Raises:
        BadDatabaseURL: it is none; the message holds no part of it.
        UnsupportedDatabase: no dialect is known for it.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        raise BadDatabaseURL(problem="it has no '://'; for a SQLite file write sqlite:///PATH")
    if scheme.lower().startswith("jdbc:"):
        raise BadDatabaseURL(problem="it is one for Java: leave jdbc: away, and put user and password before the host")
    if not scheme.startswith("sqlite") and _password_spills(rest):
        raise BadDatabaseURL(problem="it has an '@' too many, so a password may hold one unescaped, or a / ? or #")
    try:
        url = make_url(f"{DRIVERS.get(scheme, scheme)}://{rest}")
    except (exc.ArgumentError, ValueError):
        raise BadDatabaseURL(problem="host, port or password is not well-formed") from None
    if url.get_backend_name() == "sqlite" and url.host:
        raise BadDatabaseURL(problem="after sqlite: come three slashes and a path, or four for a path from the root")
    if url.get_backend_name() not in DIALECTS:
        raise UnsupportedDatabase(name=url.get_backend_name(), supported=", ".join(DIALECTS))
    return url


def _password_spills(rest: str) -> bool:
    """Whether an unescaped character of a password ends the user and host part too early: its tail would be shown."""
    authority, separator, path = re.split(r"([/?#]|$)", rest, maxsplit=1)
    before_query = path.partition("?")[0]
    return (
        authority.count("@") > 1
        or (separator == "/" and "@" in before_query)
        or (separator in "?#" and "@" not in authority and "@" in path and ":" in authority)
    )


def make_engine(url: URL, *, writable: bool = False, create: bool = False, role: str | None = None) -> Engine:
    """An engine with one connection at a time, for a process that ends soon.

    A SQLite file is opened read-only unless ``writable``, and made only with ``create``. A server's sessions take on
    ``role`` (SET ROLE).

    Raises:
        NoSuchFile: the SQLite file is not there.
        DriverMissing: the driver that the URL names is not installed.
    """
    if url.get_backend_name() == "sqlite":
        return sqlite_engine(url, writable=writable, create=create)
    engine = _server_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    if role is not None:
        event.listen(engine, "connect", partial(_take_on, role))
    return engine


def _take_on(role: str, dbapi_connection: Any, _record: object) -> None:
    from psycopg import sql

    with dbapi_connection.cursor() as cursor:
        cursor.execute(sql.SQL("SET SESSION ROLE {}").format(sql.Identifier(role)))


def pooled_engine(url: URL, json_deserializer: Callable[[Any], Any], *, settings: bool = True) -> Engine:
    """An engine for an application that stays: a pool of connections, and transactions as usual.

    ``json_deserializer`` decodes what the driver of a server reads from JSON columns. A SQLite file is made if it is
    not there; a database in memory is one connection, which threads take in turn. Without ``settings`` a session of
    MySQL is told nothing when it begins.

    Raises:
        DriverMissing: the driver that the URL names is not installed.
    """
    if url.get_backend_name() != "sqlite":
        told: dict[str, Any] = {} if settings else {"init_command": None}
        return _server_engine(url, json_deserializer=json_deserializer, **told)
    arguments: dict[str, Any] = {"timeout": BUSY_SECONDS}
    if not in_memory(url):
        return create_engine(url, connect_args=arguments, hide_parameters=True)
    arguments["check_same_thread"] = False
    return create_engine(
        url, connect_args=arguments, hide_parameters=True, poolclass=QueuePool, pool_size=1, max_overflow=0
    )


def translated_schema(engine: Engine, schema: str | None) -> str | None:
    """The schema that an engine puts in the place of one: its ``schema_translate_map``."""
    names = engine.get_execution_options().get("schema_translate_map") or {}
    found: str | None = names.get(schema, schema)
    return found


def _server_engine(url: URL, **options: Any) -> Engine:
    if url.get_backend_name() == "mysql":
        return _mysql_engine(url, **options)
    ours = {"application_name": "storage-admin", "connect_timeout": 10}
    if os.environ.get("PGCONNECT_TIMEOUT"):
        del ours["connect_timeout"]
    if url.get_driver_name() == "psycopg":
        # What a name is where neither PGAPPNAME nor a service says one.
        ours["fallback_application_name"] = ours.pop("application_name")
    arguments: dict[str, Any] = {key: value for key, value in ours.items() if key not in url.query}
    if url.get_driver_name() == "psycopg":
        # No prepared statements: behind a transaction pooler they meet those of other clients. No look-up of a type
        # that we never read: it costs three round trips.
        arguments["prepare_threshold"] = None
        options["use_native_hstore"] = False
        arguments |= {key: value for key, value in KEEPALIVE.items() if key not in url.query}
    try:
        return create_engine(url, connect_args=arguments, hide_parameters=True, **options)
    except (ModuleNotFoundError, exc.NoSuchModuleError):
        package = PACKAGES.get(url.get_driver_name(), "")
        install = f"Install it (pip install {package}), or write" if package else "Write"
        advice = f"{install} postgresql+psycopg://, whose driver comes with storage-admin"
        raise DriverMissing(driver=url.drivername, advice=advice) from None


def _mysql_engine(url: URL, **options: Any) -> Engine:
    arguments: dict[str, Any] = {}
    # MySQL 5.7 knows no hint in a query for this; see dialects/mysql.py.
    first = options.pop("init_command", "SET SESSION group_concat_max_len = 1000000")
    if url.get_driver_name() == "pymysql":
        ours = {"connect_timeout": 10, "charset": "utf8mb4", "program_name": "storage-admin"}
        arguments = {key: value for key, value in ours.items() if key not in url.query}
        arguments["init_command"] = first
    options.pop("use_native_hstore", None)
    try:
        return create_engine(url, connect_args=arguments, hide_parameters=True, **options)
    except (ModuleNotFoundError, exc.NoSuchModuleError):
        raise DriverMissing(driver=url.drivername, advice="Install it: pip install 'storage-admin[mysql]'") from None


def dialect_of(engine: Engine) -> Dialect:
    """The dialect record of an engine.

    Raises:
        UnsupportedDatabase: there is none.
    """
    return dialect_named(engine.dialect.name)


# --- connections -------------------------------------------------------------------------------------------


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """A connection in autocommit mode: reading needs no transaction, and `transaction` begins its own.

    Raises:
        CannotConnect, NotADatabase: with what to do about it.
    """
    with checked_out(engine) as connection:
        try:
            autocommit(connection)
            yield connection
        except exc.DBAPIError as error:
            raise query_error(engine.url, error) from error


@contextmanager
def checked_out(engine: Engine) -> Iterator[Connection]:
    """A connection of an engine, for one thread at a time where the pool has one for all.

    Raises:
        CannotConnect, NotADatabase, DatabaseBusy: with what to do about it.
    """
    turn = _turns.setdefault(engine.pool, RLock()) if isinstance(engine.pool, StaticPool) else nullcontext()
    with turn:
        try:
            connection = _connect(engine)
        except exc.DBAPIError as error:
            raise connection_error(engine.url, error) from None  # a chain of drivers' frames says less than we do
        except exc.TimeoutError:
            facts = {"problem": "every connection of the pool is in use", "advice": "Give the engine a larger pool."}
            raise DatabaseBusy(database=displayed_url(engine.url), **facts) from None
        try:
            yield connection
        finally:
            connection.close()


def _connect(engine: Engine) -> Connection:
    """Connect; for some seconds again, at random moments, where the server says that it is only busy."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            return engine.connect()
        except exc.DBAPIError as error:
            if time.monotonic() > deadline or not any(text in driver_message(error) for text in NOT_YET):
                raise
        time.sleep(random.uniform(0.05, 0.5))  # noqa: S311 - jitter, not a secret


def renew(connection: Connection) -> None:
    """Put a new connection of the engine in the place of one that broke.

    Raises:
        DBAPIError: the server cannot be reached.
    """
    connection.rollback()  # of SQLAlchemy's own state: what the server had begun is over
    autocommit(connection)


def prepare_statements(connection: Connection) -> None:
    """Let `ask` prepare its queries: on a session that is ours alone, with no pooler in between."""
    if connection.engine.dialect.driver == "psycopg":
        connection.info.setdefault(PREPARED, {})


def ask(connection: Connection, query: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
    """Send a query of ours that is the same for every table: planned once for all, where that was allowed.

    Not by the driver's own means: psycopg forgets what it has prepared whenever something is altered.
    """
    prepared: dict[str, tuple[str, list[str]]] | None = connection.info.get(PREPARED)
    if prepared is None:
        return connection.execute(text(query), parameters).all()
    from psycopg import sql

    if query not in prepared:
        compiled = text(query).compile(dialect=cast("Any", type(connection.dialect))(paramstyle="numeric_dollar"))
        name = f"storage_admin_{len(prepared)}"
        send(connection, f"PREPARE {name} AS {compiled}")  # a name of ours
        prepared[query] = (name, [*(compiled.positiontup or ())])
    name, order = prepared[query]
    values = sql.SQL(", ").join(sql.Literal(parameters[key]) for key in order)
    statement = sql.SQL("EXECUTE {} ({})").format(sql.Identifier(name), values)
    return send(connection, statement.as_string(cast("Any", connection.connection.dbapi_connection))).all()


def located(url: URL, connection: Connection) -> URL:
    """A URL with what libpq found where it names no host: by the environment, a service, or its defaults."""
    if url.get_driver_name() != "psycopg" or url.host is not None or "host" in url.query or connection.invalidated:
        return url  # a connection that broke would be made anew by being looked at
    info = cast("Any", connection.connection.dbapi_connection).info
    found = url.set(username=url.username or info.user, database=url.database or info.dbname)
    if info.host.startswith("/"):  # the folder of a socket
        return found.update_query_dict({"host": info.host})
    return found.set(host=info.host, port=info.port)


def backend_pid(connection: Connection) -> int | None:
    """The number of the server's process as the driver was told it, None where the driver does not say."""
    info = getattr(connection.connection.dbapi_connection, "info", None)
    pid: int | None = getattr(info, "backend_pid", None)
    return pid


_turns: WeakKeyDictionary[Any, RLock] = WeakKeyDictionary()  # of threads, on pools of one connection


def autocommit(connection: Connection) -> None:
    """Let each statement be a transaction of its own."""
    try:
        _set_autocommit(connection)
    except (connection.dialect.loaded_dbapi.Error, exc.InvalidRequestError):
        # Somebody's event handler has said something to the new connection, a SET, and left it at that.
        connection.connection.commit()
        connection.commit()
        _set_autocommit(connection)


def _set_autocommit(connection: Connection) -> None:
    # A server that has to be told shows here that the connection died in the pool: others of the pool may have, too.
    for _ in range(DEAD_IN_A_POOL):
        try:
            connection.execution_options(isolation_level="AUTOCOMMIT", stream_results=False)
        except connection.dialect.loaded_dbapi.Error as error:
            if not connection.dialect.is_disconnect(error, cast("Any", connection.connection.dbapi_connection), None):
                raise
            connection.invalidate(error)
            connection.rollback()
        else:
            return
    connection.execution_options(isolation_level="AUTOCOMMIT", stream_results=False)


@contextmanager
def transaction(
    connection: Connection, opening: Iterable[str], closing: Iterable[str] = (), ignored: Container[str] = ()
) -> Iterator[list[Any]]:
    """One transaction on an autocommit connection, begun with some statements; rolled back on any exception.

    Gives what the statements answered: the first value of each row. One that fails with a state that is ``ignored``
    does not count. ``closing`` is sent in the end, whatever the end is.
    """
    if getattr(connection.connection.dbapi_connection, "in_transaction", False):
        send(connection, "COMMIT")  # of somebody's event handler, which begins one where SQLAlchemy does
    answers: list[Any] = []
    try:
        for statement in opening:
            answers += _answer(connection, statement, ignored)
        yield answers
        send(connection, "COMMIT")  # which a reader of a SQLite file may keep from its end
    except BaseException:
        with suppress(exc.SQLAlchemyError):  # a broken connection has rolled back already
            for statement in ("ROLLBACK", *closing):
                send(connection, statement)
        raise
    for statement in closing:
        send(connection, statement)


def _answer(connection: Connection, statement: str, ignored: Container[str]) -> list[Any]:
    try:
        result = send(connection, statement)
        return [row[0] for row in result.all()] if result.returns_rows else []
    except exc.DBAPIError as error:
        if sql_state(error) not in ignored:
            raise
        return []


def tell_statements(told: Callable[[str], None]) -> None:
    """Let ``told`` have each statement of this process from now on, as it is sent, without the texts in it."""
    if told not in _told:
        _told.append(told)
        event.listen(Engine, "before_cursor_execute", _tell_sqlalchemys)


def tell(statement: str) -> None:
    """Tell of a statement that goes past SQLAlchemy."""
    for told in _told:
        told(without_literals(statement))


def _tell_sqlalchemys(_connection: object, _cursor: object, statement: str, *_: object) -> None:
    tell(statement)


_told: list[Callable[[str], None]] = []


def send(connection: Connection, statement: str) -> CursorResult[Any]:
    """Send a text as it is: without parameters a driver reads no placeholders into it, and a % in a name is a %."""
    return connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
