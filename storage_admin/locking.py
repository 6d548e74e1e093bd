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

from storage_admin.messages import says

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import exc

    from storage_admin.dialects import Dialect
    from storage_admin.schema import TableName


ANOTHER = "another process is upgrading it"


class Patience(msgspec.Struct, frozen=True):
    """How long to hold others up in one attempt, in milliseconds, and how long to go on trying, in seconds.

    ``allow_copy``: where MySQL can do something in no other way, let it copy the table, which holds its writers up for
    as long as that takes.
    """

    lock_timeout_ms: int = 200
    wait_seconds: float = 60.0
    allow_copy: bool = False


class Busy(Exception):
    """Somebody else is at work on this table, in words; another attempt may find it free."""


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
