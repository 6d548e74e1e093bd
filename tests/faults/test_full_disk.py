"""No space is left in the middle of an index build: it is said in words, and the table goes on working."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from storage_admin import Status
from tests.faults.clients import command
from tests.faults.disk import small_disk
from tests.faults.tables import NEW_COLUMN, fingerprint, indexes, large_table, sound
from tests.integration.tables import old_agents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database
    from tests.servers import Server


@pytest.fixture
def full() -> Iterator[Path]:
    with small_disk(256) as folder:
        yield folder


def test_a_full_disk(full: Path, own: tuple[Server, Database]) -> None:
    server, database = own
    table = large_table(database)
    rows = fingerprint(database, table)
    server.run(f"CREATE TABLESPACE small LOCATION '{full}'")
    server.run(f"ALTER DATABASE {database.url.rpartition('/')[2]} SET default_tablespace = small")
    for _ in range(2):  # and again: what the first attempt left must not be taken for an index
        ended = command("upgrade", "--db-url", database.url)
        assert ended.code == 1, ended
        assert "No space left on device" in ended.err
        assert "CREATE INDEX CONCURRENTLY" in ended.err
        assert False not in indexes(database, table).values()
        assert database.admin().check().status is Status.OUTDATED
        assert fingerprint(database, table) == rows
        database.run(f"UPDATE {table} SET {NEW_COLUMN} = 't' WHERE session_id = 's1'")
    server.run(f"ALTER DATABASE {database.url.rpartition('/')[2]} RESET default_tablespace")
    assert command("upgrade", "--db-url", database.url).code == 0
    sound(database, table)


def test_a_disk_that_is_full_before_the_log_is_written(full: Path, own: tuple[Server, Database]) -> None:
    server, database = own
    table = old_agents(database)
    server.run(f"CREATE TABLESPACE small LOCATION '{full}'")
    server.run("CREATE TABLE filler (t text) TABLESPACE small")
    name = database.url.rpartition("/")[2]
    server.run(f"ALTER DATABASE {name} SET default_tablespace = small")
    (full / "filler").write_bytes(b"x" * free(full))
    ended = command("upgrade", "--db-url", database.url)
    assert ended.code == 1, ended
    assert "No space left on device" in ended.err
    assert "left as it was" in ended.err
    assert database.admin().check().plans[0].version == 4
    (full / "filler").unlink()
    assert command("upgrade", "--db-url", database.url).code == 0
    sound(database, table)


def free(folder: Path) -> int:
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize
