"""What all databases have in common when rows go into a table."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
from sqlalchemy import exc

from storage_admin.database import send
from storage_admin.messages import driver_message, says, sql_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from storage_admin.dialects import Dialect
    from storage_admin.sessions.parsing import Row

OnConflict = Literal["error", "skip", "newer", "replace"]
TAKEN = "a session with this id is in the table already, and differs"
NOT_TAKEN = "the database took it without an error and wrote nothing: a trigger, a rule or a policy may do that"
BATCH_BYTES = 8 << 20
BUSY_SECONDS = 60
SQLSTATE = 5  # characters; an error of MySQL has fewer

# What is wrong with a row, and not with the server: classes of SQLSTATE on PostgreSQL, numbers on MySQL.
ROW_CLASSES = ("21", "22", "23", "44", "54", "P0")
ROW_NUMBERS = frozenset(
    {"1048", "1062", "1216", "1264", "1265", "1292", "1364", "1366", "1406", "1411", "1452", "1644", "3819", "4025"}
    | {"1690", "3140", "3141", "3143", "3144", "3157", "3988", "4038"}
)
AGAIN = frozenset({"40001", "40P01", "1205", "1213", "1020"})


class Counts(msgspec.Struct):
    """What became of some rows. ``refused`` has those that did not go in, and why."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: list[tuple[Row, str]] = msgspec.field(default_factory=list)

    def add(self, other: Counts) -> None:
        """Count others too."""
        self.inserted += other.inserted
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.refused += other.refused


class Loader(Protocol):
    """Writes into one table of one database."""

    batch_bytes: int
    """How much of a file is one batch, in one transaction."""

    def close(self) -> None:
        """Leave the session of the connection as it was."""

    def prepare(self, values: Sequence[Any]) -> Any:
        """The values of a row as they are to be sent: what `load` finds as ``prepared``.

        Raises:
            Unfit: the database could not hold it as it is.
        """

    def load(self, rows: Sequence[Row]) -> Counts:
        """Write some rows, each id once, in one transaction.

        Raises:
            DBAPIError: none was written.
        """


def load(loader: Loader, rows: Sequence[Row], dialect: Dialect) -> Counts:
    """Write rows; those that the database refuses are found by halving, and the others go in.

    Raises:
        DBAPIError: it is not the fault of a row.
    """
    if not rows:
        return Counts()
    try:
        return _patiently(lambda: loader.load(rows), dialect)
    except exc.DBAPIError as error:
        if error.connection_invalidated or not is_of_a_row(error):
            raise
        if len(rows) == 1:
            return Counts(refused=[(rows[0], driver_message(error))])
    middle = len(rows) // 2
    counts = load(loader, rows[:middle], dialect)
    counts.add(load(loader, rows[middle:], dialect))
    return counts


def _patiently(write: Callable[[], Counts], dialect: Dialect) -> Counts:
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return write()
        except exc.DBAPIError as error:
            busy = sql_state(error) in AGAIN or says(error, frozenset(), dialect.busy_texts)
            if error.connection_invalidated or not busy or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.01, 0.2))  # noqa: S311 - jitter, not a secret


def is_of_a_row(error: exc.DBAPIError) -> bool:
    """Whether the same would go well without a certain row."""
    state = sql_state(error)
    if state is None:
        return isinstance(error, (exc.IntegrityError, exc.DataError))
    return state in ROW_NUMBERS or (len(state) == SQLSTATE and state.startswith(ROW_CLASSES))


def roll_back(connection: Connection) -> None:
    """End a transaction that failed."""
    try:
        send(connection, "ROLLBACK")
    except exc.SQLAlchemyError:
        connection.invalidate()  # what is broken has rolled back already
