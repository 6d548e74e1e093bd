"""Who may upgrade a table now. Nobody waits in a queue where others would wait behind them: we try, and try again.

A lock is asked for inside a transaction and lives no longer than it, so it is safe behind a transaction pooler, and
a killed client leaves none behind.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable  # noqa: TC003 - msgspec reads the annotations
from hashlib import sha256
from threading import Event
from typing import TYPE_CHECKING

import msgspec

from storage_admin.errors import UsageError
from storage_admin.messages import says

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import exc

    from storage_admin.dialects import Dialect
    from storage_admin.schema import TableName


# Seconds before we ask who is in the way, before the first word of it, before a new one, before the same again.
SOON, QUIET, CHANGED, AGAIN = 0.5, 2.0, 5.0, 15.0
ANOTHER = "another process is upgrading it"


class Waiting(msgspec.Struct, frozen=True):
    """An upgrade of a table that waits: for whom, for how many seconds so far, and for how many more at most."""

    table: str
    why: str
    seconds: float
    left: float

    def __str__(self) -> str:
        return f"{self.table}: {self.why}; {self.seconds:.0f} s of waiting, gives up in {self.left:.0f} s"


class Patience(msgspec.Struct, frozen=True):
    """How long to hold others up in one attempt, in milliseconds, and how long to go on trying, in seconds.

    ``allow_copy``: where MySQL can do something in no other way, let it copy the table, which holds its writers up for
    as long as that takes. ``told`` gets whom an upgrade waits for, after two seconds and every 15, and when that is
    somebody else; from the thread that waits.

    Raises:
        UsageError: less than a millisecond, which would mean forever to PostgreSQL, or a negative time.
    """

    lock_timeout_ms: int = 200
    wait_seconds: float = 60.0
    allow_copy: bool = False
    told: Callable[[Waiting], None] | None = None

    def __post_init__(self) -> None:
        if not (self.lock_timeout_ms >= 1 and self.wait_seconds >= 0):
            problem = f"lock_timeout_ms is 1 or more, and wait_seconds 0 or more; these are {self.lock_timeout_ms} and"
            raise UsageError(problem=f"{problem} {self.wait_seconds}.")


class Watch:
    """Tells of a wait for a table what is worth a line. ``stopped`` ends it."""

    def __init__(
        self,
        table: str,
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
        *,
        stopped: Event | None = None,
    ) -> None:
        self._table, self._patience, self._clock = table, patience, clock
        self._stopped = stopped or Event()
        self._began, self._said = clock(), float("-inf")
        self._last: tuple[str, object] | None = None
        self._who: object = None

    @property
    def due(self) -> bool:
        """Whether it is worth asking who is in the way."""
        now = self._clock()
        return self._patience.told is not None and now - self._began >= SOON and now - self._said >= CHANGED

    def tell(self, why: str, who: object = None) -> None:
        """Tell why we wait, unless it is too soon, or known; ``who`` tells one reason from another."""
        now = self._clock()
        seconds, left = now - self._began, self._began + self._patience.wait_seconds - now
        self._last = (why, who)
        if self._patience.told is None or seconds < QUIET or left <= 0:  # at the end the error says it
            return
        if now - self._said >= (CHANGED if who != self._who else AGAIN):
            self._said, self._who = now, who
            self._patience.told(Waiting(self._table, why, seconds, left))

    def sleep(self, seconds: float) -> None:
        """Sleep; if the time for the first word comes meanwhile, say it.

        Raises:
            KeyboardInterrupt: another thread has stopped us.
        """
        until = self._began + QUIET - self._clock()
        if self._last is not None and 0 < until < seconds:
            self._sleep(until)
            self.tell(*self._last)
            seconds -= until
        self._sleep(seconds)

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise KeyboardInterrupt


class Busy(Exception):
    """Somebody else is at work on this table, in words; another attempt may find it free."""


def attempts(patience: Patience, sleep: Callable[[float], None] = time.sleep) -> Iterator[int]:
    """Numbers of attempts, from 0, with a growing, jittered pause between them, until the time is over."""
    deadline = time.monotonic() + patience.wait_seconds
    pause, number = 0.05, 0
    while True:
        yield number
        left = deadline - time.monotonic()
        if left <= 0:
            return
        sleep(min(left, pause * random.uniform(0.5, 1.5)))  # noqa: S311 - jitter, not a secret
        pause, number = min(pause * 2, 2.0), number + 1


def opening(dialect: Dialect, table: TableName, patience: Patience, *, stay: bool = False) -> tuple[str, ...]:
    """What begins a transaction that upgrades a table: its timeouts and its lock; ``stay`` while an index is built.

    An answer that is not true says that another process has the lock.
    """
    return _filled(dialect.hold if stay else dialect.enter, table, patience)


def closing(dialect: Dialect, table: TableName, patience: Patience) -> tuple[str, ...]:
    """What gives back a lock that outlives a transaction."""
    return _filled(dialect.leave, table, patience)


def _filled(templates: tuple[str, ...], table: TableName, patience: Patience) -> tuple[str, ...]:
    milliseconds, key = int(patience.lock_timeout_ms), lock_key(table)
    facts = {
        "lock_timeout": milliseconds,
        "lock_timeout_s": max(1, -(-milliseconds // 1000)),  # MySQL counts in whole seconds
        "key": key,
        "lock_name": f"storage-admin-{key % 2**64:016x}",  # of the whole server: its name has the database in it
    }
    return tuple(template.format_map(facts) for template in templates)


def lock_key(table: TableName) -> int:
    """A 64-bit key for schema and table. PostgreSQL keeps advisory locks per database, so it is no part of the key: the
    name that a client knows a database by may be another one behind a pooler.
    """
    digest = sha256(f"storage-admin\0{table.schema}\0{table.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def is_lock_timeout(error: exc.DBAPIError, dialect: Dialect) -> bool:
    """Whether an error only says that somebody else holds a lock, so that another attempt makes sense."""
    return says(error, dialect.busy_states, dialect.busy_texts)
