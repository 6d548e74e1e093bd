"""A URL becomes an engine here; what a driver says becomes a sentence; what is secret is taken out of every text."""

from __future__ import annotations

import re
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from sqlalchemy import create_engine, exc, make_url
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from storage_admin.dialects import DIALECTS
from storage_admin.errors import (
    BadDatabaseURL,
    CannotConnect,
    DatabaseBusy,
    DriverMissing,
    NoSuchFile,
    NotADatabase,
    QueryFailed,
    UnsupportedDatabase,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL, Connection, CursorResult, Engine

    from storage_admin.dialects import Dialect
    from storage_admin.errors import StorageAdminError

MASK = "***"
WORD = 6
BUSY_SECONDS = 30
# Lines of a driver's message: what may hold stored values, and what our own advice says better.
NOT_SAID = ("DETAIL:", "LINE ", "^", "CONTEXT:", "Is the server running")
SECRET_QUERY = re.compile(r"password|secret|token|passfile|sslkey", re.IGNORECASE)

# What people write, and the driver that we bring.
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
    "sqlite+aiosqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
}


# --- secrets -----------------------------------------------------------------------------------------------


def secrets_in(url: str) -> tuple[str, ...]:
    """The passwords and other secrets in a URL, as they stand there and decoded, longest first."""
    rest = url.partition("://")[2]
    found = set(re.findall(r"^[^/?#@]*?:([^@]*)@", rest))
    found |= {value for key, value in re.findall(r"[?&]([^=&]+)=([^&#]*)", rest) if SECRET_QUERY.search(key)}
    found |= {unquote(secret) for secret in found}
    return tuple(sorted(filter(None, found), key=len, reverse=True))


def redact(message: str, secrets: tuple[str, ...]) -> str:
    """The message with each secret masked where a URL or a parameter has it, and as a word of its own.

    A short secret is masked in its place only: masking every "ai" would show what the password is.
    """
    for secret in secrets:
        pattern = re.escape(secret)
        message = re.sub(rf"(?<=:){pattern}(?=@)|(?i:(?<=password=)|(?<=token=)){pattern}", MASK, message)
        if len(secret) >= WORD:
            message = re.sub(rf"(?<!\w){pattern}(?!\w)", MASK, message)
    return message


def displayed_url(url: URL) -> str:
    """A URL that can be shown: no password, neither before the host nor among the parameters."""
    if url.get_backend_name() == "sqlite":
        return f"{url.drivername}:///{url.database or ':memory:'}"
    query = {key: (MASK if SECRET_QUERY.search(key) else value) for key, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True).replace("%2A%2A%2A", MASK)


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


def make_engine(url: URL, *, writable: bool = False, create: bool = False) -> Engine:
    """An engine with one connection at a time, for a process that ends soon.

    A SQLite file is opened read-only unless ``writable``, and made only with ``create``.

    Raises:
        NoSuchFile: the SQLite file is not there.
        DriverMissing: the driver that the URL names is not installed.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, writable=writable, create=create)
    return _server_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def pooled_engine(url: URL, json_deserializer: Callable[[Any], Any]) -> Engine:
    """An engine for an application that stays: a pool of connections, and transactions as usual.

    ``json_deserializer`` decodes what the driver of a server reads from JSON columns. A SQLite file is made if it is
    not there; a database in memory is one connection, which threads take in turn.

    Raises:
        DriverMissing: the driver that the URL names is not installed.
    """
    if url.get_backend_name() != "sqlite":
        return _server_engine(url, json_deserializer=json_deserializer)
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


def in_memory(url: URL) -> bool:
    """Whether a URL names a SQLite database that ends with its connection."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _server_engine(url: URL, **options: Any) -> Engine:
    ours = {"application_name": "storage-admin", "connect_timeout": 10}
    arguments: dict[str, Any] = {key: value for key, value in ours.items() if key not in url.query}
    if url.get_driver_name() == "psycopg":
        # No prepared statements: behind a transaction pooler they meet those of other clients. No look-up of a type
        # that we never read: it costs three round trips.
        arguments["prepare_threshold"] = None
        options["use_native_hstore"] = False
    try:
        return create_engine(url, connect_args=arguments, hide_parameters=True, **options)
    except (ModuleNotFoundError, exc.NoSuchModuleError):
        raise DriverMissing(driver=url.drivername) from None


def _sqlite_engine(url: URL, *, writable: bool, create: bool) -> Engine:
    import sqlite3

    if in_memory(url):
        return create_engine(url, isolation_level="AUTOCOMMIT")
    path = Path(url.database or "")
    if not path.exists() and not create:
        raise NoSuchFile(database=displayed_url(url), path=path)
    if path.is_dir():
        raise NotADatabase(database=displayed_url(url), path=path)
    mode = "rwc" if create else "rw" if writable else "ro"
    timeout = 1 if writable else 10  # seconds in one attempt; who writes tries again and again
    address = f"{path.resolve().as_uri()}?mode={mode}"
    # A creator instead of SQLAlchemy's own handling of file: URLs, which needs the path written in two ways.
    return create_engine(
        url,
        creator=lambda: sqlite3.connect(
            address, uri=True, isolation_level=None, timeout=timeout, check_same_thread=False
        ),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
    )


def dialect_of(engine: Engine) -> Dialect:
    """The dialect record of an engine.

    Raises:
        UnsupportedDatabase: there is none.
    """
    try:
        return DIALECTS[engine.dialect.name]
    except KeyError:
        raise UnsupportedDatabase(name=engine.dialect.name, supported=", ".join(DIALECTS)) from None


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
            connection = engine.connect()
        except exc.DBAPIError as error:
            raise connection_error(engine.url, error) from None  # a chain of drivers' frames says less than we do
        except exc.TimeoutError:
            facts = {"problem": "every connection of the pool is in use", "advice": "Give the engine a larger pool."}
            raise DatabaseBusy(database=displayed_url(engine.url), **facts) from None
        try:
            yield connection
        finally:
            connection.close()


_turns: WeakKeyDictionary[Any, RLock] = WeakKeyDictionary()  # of threads, on pools of one connection


def autocommit(connection: Connection) -> None:
    """Let each statement be a transaction of its own."""
    try:
        connection.execution_options(isolation_level="AUTOCOMMIT", stream_results=False)
    except (connection.dialect.loaded_dbapi.Error, exc.InvalidRequestError):
        # Somebody's event handler has said something to the new connection, a SET, and left it at that.
        connection.connection.commit()
        connection.commit()
        connection.execution_options(isolation_level="AUTOCOMMIT", stream_results=False)


@contextmanager
def transaction(connection: Connection, dialect: Dialect) -> Iterator[None]:
    """One transaction on an autocommit connection, begun as the dialect wants it; rolled back on any exception."""
    if getattr(connection.connection.dbapi_connection, "in_transaction", False):
        send(connection, "COMMIT")  # of somebody's event handler, which begins one where SQLAlchemy does
    for statement in dialect.begin:
        send(connection, statement)
    try:
        yield
    except BaseException:
        with suppress(exc.SQLAlchemyError):  # a broken connection has rolled back already
            send(connection, "ROLLBACK")
        raise
    send(connection, "COMMIT")


def send(connection: Connection, statement: str) -> CursorResult[Any]:
    """Send a text as it is: without parameters a driver reads no placeholders into it, and a % in a name is a %."""
    return connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def sql_state(error: exc.DBAPIError) -> str | None:
    """The SQLSTATE of an error of PostgreSQL, None where there is none."""
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return str(state) if state else None


def says(error: exc.DBAPIError, states: frozenset[str], texts: frozenset[str]) -> bool:
    """Whether an error has one of these SQLSTATEs, or one of these texts in its message."""
    return sql_state(error) in states or any(text in driver_message(error) for text in texts)


def driver_message(error: exc.DBAPIError) -> str:
    """What the driver said, on one line, without the details that may hold stored values."""
    lines = [line.strip() for line in str(error.orig).splitlines()]
    kept = [line for line in lines if line and not line.startswith(NOT_SAID)]
    return "; ".join(kept[:2]).rstrip(".?")


# Parts of messages of drivers, and what to do about them; the first one that fits is given.
RIGHTS = (
    ("must be owner", "Ask the owner of the table to run what `storage-admin plan --sql` prints."),
    ("permission denied", "Ask the owner for the right."),
    ("readonly", "The file cannot be written; check its permissions."),
)
CONNECTING = (
    ("password authentication failed", "Check user and password in the URL, or PGPASSFILE."),
    ("no password supplied", "Give a password in the URL, in PGPASSWORD or in a .pgpass file."),
    ("role", "Check the user name in the URL."),
    ("does not exist", "Check the name of the database in the URL."),
    ("failed to resolve host", "Check the name of the host in the URL."),
    ("connection refused", "Check host and port, and that the server is running."),
    ("timeout", "Check host and port, and that no firewall is in between."),
    ("ssl", "Check sslmode in the URL and the server's certificates."),
    ("too many", "The server has no connection left; try again later or raise its limit."),
    ("unable to open", "Check that you may read and write the file and its folder."),
    ("locked", "Another process is writing to it; try again later."),
)


def connection_error(url: URL, error: exc.DBAPIError) -> StorageAdminError:
    """The error of ours for a connection that was refused, with advice and without the password."""
    problem = redact(driver_message(error), secrets_in(url.render_as_string(hide_password=False)))
    advice = advice_for(problem, CONNECTING) or "Check the URL."
    return _no_database(url, problem) or CannotConnect(database=displayed_url(url), problem=problem, advice=advice)


def query_error(url: URL, error: exc.DBAPIError, where: str = "") -> StorageAdminError:
    """The error of ours for a statement that failed outside an upgrade; ``where`` may name a table."""
    problem = driver_message(error)
    advice = advice_for(problem, RIGHTS + CONNECTING[-2:])
    failed = (
        DatabaseBusy if any(text in problem for text in DIALECTS[url.get_backend_name()].busy_texts) else QueryFailed
    )
    database = f"{where} in {displayed_url(url)}" if where else displayed_url(url)
    return _no_database(url, problem) or failed(database=database, problem=problem, advice=advice)


def _no_database(url: URL, problem: str) -> NotADatabase | None:
    sign = "file is not a database"
    return NotADatabase(database=displayed_url(url), path=url.database) if sign in problem else None


def advice_for(problem: str, known: tuple[tuple[str, str], ...] = RIGHTS) -> str:
    """What to do about a message of a driver, empty if nothing is known."""
    return next((text for sign, text in known if sign in problem.lower()), "")
