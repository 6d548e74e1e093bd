"""Who may upgrade a table now. Nobody waits in a queue where others would wait behind them: we try, and try again.

A lock is asked for inside a transaction and lives no longer than it, so it is safe behind a transaction pooler, and
a killed client leaves none behind.
"""

from __future__ import annotations

import random
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from storage_admin.database import says, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, exc

    from storage_admin.dialects import Dialect
    from storage_admin.schema import TableName


class Patience(msgspec.Struct, frozen=True):
    """How long to hold others up in one attempt, in milliseconds, and how long to go on trying, in seconds."""

    lock_timeout_ms: int = 200
    wait_seconds: float = 60.0


class Busy(Exception):
    """Another process is upgrading this table."""


def attempts(patience: Patience) -> Iterator[int]:
    """Numbers of attempts, from 0, with a growing, jittered pause between them, until the time is over."""
    deadline = time.monotonic() + patience.wait_seconds
    pause, number = 0.05, 0
    while True:
        yield number
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, pause * random.uniform(0.5, 1.5)))  # noqa: S311 - jitter, not a secret
        pause, number = min(pause * 2, 2.0), number + 1


def enter(connection: Connection, dialect: Dialect, table: TableName, patience: Patience) -> None:
    """Set the timeouts of this transaction and take the lock of a table.

    Raises:
        Busy: another process holds it.
    """
    for template in dialect.enter:
        # Literal text: a bound parameter would keep a snapshot open, which an index build elsewhere waits for.
        statement = template.format(lock_timeout=int(patience.lock_timeout_ms), key=lock_key(table))
        result = send(connection, statement)
        if result.returns_rows and not result.scalar():
            raise Busy


def lock_key(table: TableName) -> int:
    """A 64-bit key; PostgreSQL keeps advisory locks per database, so the database is no part of it."""
    digest = sha256(f"storage-admin\0{table.schema}\0{table.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def is_lock_timeout(error: exc.DBAPIError, dialect: Dialect) -> bool:
    """Whether an error only says that somebody else holds a lock, so that another attempt makes sense."""
    return says(error, dialect.busy_states, dialect.busy_texts)
