"""What `doctor`, `wait` and `repair` do on MariaDB, which has no checks of its own yet."""

from __future__ import annotations

from storage_admin import Status
from storage_admin.doctor import Level
from tests.conftest import Database
from tests.integration.tables import old_agents


def test_the_tables_are_looked_at_as_on_any_database(mariadb: Database) -> None:
    table = old_agents(mariadb)
    findings = {finding.rule: finding for finding in mariadb.admin().doctor().findings}
    assert findings["connection"].level is Level.OK
    assert (findings["outdated-tables"].level, findings["outdated-tables"].objects) == (Level.WARNING, (table,))


def test_a_missing_index_is_built_and_its_columns_are_left(mariadb: Database) -> None:
    table = old_agents(mariadb, version=6)
    [(index,)] = mariadb.run(
        "SELECT DISTINCT index_name FROM information_schema.statistics WHERE column_name = 'user_id' "
        "AND table_name = 'sessions'"
    )
    mariadb.run(f"DROP INDEX {index} ON {table}")
    [outcome] = mariadb.admin().repair().outcomes
    assert [str(change) for change in outcome.plan.changes] == [f"create index {index}"]
    left = [str(change) for change in mariadb.admin().plan().plans[0].changes]
    assert left == [str(change) for change in outcome.plan.beyond_repair]
    mariadb.admin().upgrade()
    assert mariadb.admin().wait(timeout=0).status is Status.CURRENT
