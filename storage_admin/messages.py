"""What a driver says becomes a sentence here, with what to do about it; what is secret is taken out of every text."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from storage_admin.dialects import DIALECTS
from storage_admin.errors import CannotConnect, DatabaseBusy, NotADatabase, QueryFailed

if TYPE_CHECKING:
    from sqlalchemy import URL, exc

    from storage_admin.errors import StorageAdminError

MASK = "***"
MASK_TEXT = f"'{MASK}'"
# Errors of MySQL whose message quotes what was to be stored: a duplicate, a value of the wrong type or length.
TELLING = frozenset({1062, 1264, 1265, 1292, 1366, 1406, 1411, 1525, 3140, 3141})
WORD = 6
# A URL where none belongs was not read as one, so that its secret is not known. With "password" it is our own example.
STRAY = re.compile(r"(?<=:/)(/?[^\s/:@]*):(?!password@)[^\s@]+@")
# Lines of a driver's message: what may hold stored values, and what our own advice says better. PostgreSQL's context
# comes last, and has a line for each thing around.
NOT_SAID = ("DETAIL:", "LINE ", "^", "Is the server running")
AROUND = "CONTEXT:"
SECRET_QUERY = re.compile(r"password|secret|token|passfile|sslkey", re.IGNORECASE)


# --- secrets -----------------------------------------------------------------------------------------------


def secrets_in(url: str) -> tuple[str, ...]:
    """The passwords and other secrets in a URL, as they stand there and decoded, longest first."""
    rest = url.partition("://")[2]
    found = set(re.findall(r"^[^/?#@]*?:([^@]*)@", rest))
    found |= {value for key, value in re.findall(r"[?&]([^=&]+)=([^&]*)", rest) if SECRET_QUERY.search(key)}
    found |= {unquote(secret) for secret in found}
    return tuple(sorted(filter(None, found), key=len, reverse=True))


def redact(message: str, secrets: tuple[str, ...]) -> str:
    """The message with each secret masked where a URL or a parameter has it, and as a word of its own; and with the
    password of any other URL masked.

    A short secret is masked in its place only: masking every "ai" would show what the password is.
    """
    for secret in secrets:
        pattern = re.escape(secret)
        message = re.sub(rf"(?<=:){pattern}(?=@)|(?i:(?<=password=)|(?<=token=)){pattern}", MASK, message)
        if len(secret) >= WORD:
            message = re.sub(rf"(?<!\w){pattern}(?!\w)", MASK, message)
    return STRAY.sub(rf"\1:{MASK}@", message)


def without_literals(statement: str) -> str:
    """A statement of ours without the texts in it, which may be what is stored."""
    if "\\" in statement:  # whether it escapes a quote depends on the database: nothing between the outermost ones
        return re.sub(r"'.*'", MASK_TEXT, statement, flags=re.DOTALL)
    return re.sub(r"'(?:[^']|'')*'", MASK_TEXT, statement)


def displayed_url(url: URL) -> str:
    """A URL that can be shown: no password, neither before the host nor among the parameters."""
    if url.get_backend_name() == "sqlite":
        return f"{url.drivername}:///{url.database or ':memory:'}"
    query = {key: (MASK if SECRET_QUERY.search(key) else value) for key, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True).replace("%2A%2A%2A", MASK)


# --- errors of drivers -------------------------------------------------------------------------------------


def sql_state(error: exc.DBAPIError) -> str | None:
    """The SQLSTATE of an error of PostgreSQL, the number of one of MySQL, None where there is neither."""
    arguments: tuple[Any, ...] = getattr(error.orig, "args", ())
    if arguments and isinstance(arguments[0], int):
        return str(arguments[0])  # MySQL has a SQLSTATE too, which says less
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return str(state) if state else None


def says(error: exc.DBAPIError, states: frozenset[str], texts: frozenset[str]) -> bool:
    """Whether an error has one of these SQLSTATEs, or one of these texts in its message."""
    return sql_state(error) in states or any(text in driver_message(error) for text in texts)


def driver_message(error: exc.DBAPIError) -> str:
    """What the driver said, on one line, without the details that may hold stored values."""
    arguments: tuple[Any, ...] = getattr(error.orig, "args", ())
    numbered = len(arguments) > 1 and isinstance(arguments[0], int)
    said = str(arguments[1]) if numbered else str(error.orig)
    if numbered and arguments[0] in TELLING:
        said = said.split("'", 1)[0].split('"', 1)[0].rstrip() + " ..."
    lines = [line.strip() for line in takewhile(lambda line: not line.startswith(AROUND), said.splitlines())]
    kept = [line for line in lines if line and not line.startswith(NOT_SAID)]
    return "; ".join(kept[:2]).rstrip(".?")


# Parts of messages of drivers, and what to do about them; the first one that fits is given.
RIGHTS = (
    ("must be owner", "Ask the owner of the table to run what `storage-admin plan --sql` prints."),
    ("permission denied", "Ask the owner for the right."),
    ("command denied", "Ask whoever runs the server for the right."),
    ("readonly", "The file cannot be written; check its permissions."),
)
CONNECTING = (
    ("access denied", "Check user, password and database in the URL, and the rights of the user."),
    ("unknown database", "Check the name of the database in the URL."),
    ("can't connect", "Check host and port, and that the server is running."),
    ("name or service not known", "Check the name of the host in the URL."),
    ("lost connection", "The server stopped, or something in between cut the line; try again."),
    ("password authentication failed", "Check user and password in the URL, or PGPASSFILE."),
    ("no password supplied", "Give a password in the URL, in PGPASSWORD or in a .pgpass file."),
    ("too many", "The server has no connection left; try again later or raise its limit."),
    ("connection slots", "The server has no connection left; try again later or raise its limit."),
    ("starting up", "The server starts or recovers; try again in a moment."),
    ("shutting down", "The server stops or restarts; try again in a moment."),
    ("role", "Check the user name in the URL, and --role."),
    ("does not exist", "Check the name of the database in the URL."),
    ("failed to resolve host", "Check the name of the host in the URL."),
    ("connection refused", "Check host and port, and that the server is running."),
    ("timeout", "Check host and port, and that no firewall is in between."),
    (
        "pg_hba.conf",
        "The server lets nobody in from here like this; ask whoever runs it for a line in pg_hba.conf.",
    ),
    ("ssl", "Check sslmode in the URL and the server's certificates."),
    ("certificate", "Check sslrootcert and the host name in the URL."),
    ("closed the connection", "The server stopped, or something in between cut the line; try again."),
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
    known = DIALECTS.get(url.get_backend_name())
    failed = DatabaseBusy if known and any(text in problem for text in known.busy_texts) else QueryFailed
    database = f"{where} in {displayed_url(url)}" if where else displayed_url(url)
    return _no_database(url, problem) or failed(database=database, problem=problem, advice=advice)


def _no_database(url: URL, problem: str) -> NotADatabase | None:
    sign = "file is not a database"
    return NotADatabase(database=displayed_url(url), path=url.database) if sign in problem else None


def advice_for(problem: str, known: tuple[tuple[str, str], ...] = RIGHTS) -> str:
    """What to do about a message of a driver, empty if nothing is known."""
    return next((text for sign, text in known if sign in problem.lower()), "")
