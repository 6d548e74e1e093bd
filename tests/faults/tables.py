"""A table that is too large for index builds that hold its writers up, and what must be true of it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage_admin import Status
from storage_admin.dialects import POSTGRES
from tests.faults.clients import until
from tests.integration.tables import old_agents

if TYPE_CHECKING:
    from tests.conftest import Database

OLD_COLUMNS = "session_id, agent_id, user_id, memory, agent_data, session_data, extra_data, created_at, updated_at"
ROWS = 40_000
NEW_COLUMN = "team_session_id"


def large_table(database: Database, rows: int = ROWS, name: str = "sessions") -> str:
    """An outdated agent table with so many rows of 250 bytes, more than are indexed in one transaction."""
    table = old_agents(database, name)
    database.run(
        f"INSERT INTO {table} (session_id, agent_id, user_id, memory, session_data, created_at) "
        "SELECT 's' || n, 'a' || n % 100, 'u' || n % 1000, jsonb_build_object('runs', repeat('x', 80), 'n', n), "
        f"'{{\"state\": 1}}', n FROM generate_series(1, {rows}) n; ANALYZE {table}"
    )
    [(size,)] = database.run(f"SELECT pg_relation_size('{table}')")
    assert size > (POSTGRES.small_bytes or 0)
    return table


def indexes(database: Database, table: str) -> dict[str, bool]:
    """The indexes of a table, and whether each is valid."""
    query = (
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index "
        f"WHERE indrelid = '{table}'::regclass AND NOT indisprimary"
    )
    return dict(database.run(query))


def outdated_again(database: Database, table: str, old_indexes: set[str]) -> None:
    """Take back what an upgrade added, its record too."""
    added = set(indexes(database, table)) - old_indexes
    statements = [f"DROP INDEX IF EXISTS {index}" for index in added]
    database.run("; ".join([*statements, f"ALTER TABLE {table} DROP COLUMN IF EXISTS {NEW_COLUMN}"]))
    database.run("DROP TABLE IF EXISTS ai.storage_admin_revisions")


def fingerprint(database: Database, table: str) -> Any:
    """A number that differs when a row does."""
    return database.run(f"SELECT count(*), sum(hashtext(ROW({OLD_COLUMNS})::text)::bigint) FROM {table}")


def nothing_is_locked(database: Database) -> None:
    """Wait until no other session holds anything in this database: a killed client's session takes a moment to end."""
    query = (
        "SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid() "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    until(lambda: database.run(query) == [(0,)], "locks are still held", 15)


def sound(database: Database, table: str) -> None:
    """The table is current, all its indexes are valid, and nothing is locked."""
    assert database.admin().check([table]).status is Status.CURRENT
    assert all(indexes(database, table).values()), indexes(database, table)
    nothing_is_locked(database)
