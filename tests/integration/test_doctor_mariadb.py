"""What `doctor`, `wait` and `repair` do on MariaDB and MySQL: each rule with what provokes it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

from storage_admin import Finding, Status, StorageAdmin
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


# --- the rules of MySQL and MariaDB ------------------------------------------------------------------------


def found(database: Database, rule: str, **options: Any) -> list[Finding]:
    """The findings of a rule that are worth a word."""
    findings = database.admin().doctor(**({"long": 0} | options)).findings
    assert rule in {finding.rule for finding in findings}, [f.seen for f in findings]
    assert not [f for f in findings if f.rule == "not-looked-at"], findings
    return [f for f in findings if f.rule == rule and f.level is not Level.OK]


@pytest.fixture
def maria(mariadb: Database) -> Database:
    mariadb.run("CREATE DATABASE ai CHARACTER SET utf8mb4")
    mariadb.admin().upgrade(["ai.sessions=agent"])
    return mariadb


@contextmanager
def told(database: Database, name: str, value: object) -> Iterator[None]:
    """A setting of the server, for a while."""
    [(before,)] = database.run(f"SELECT @@global.{name}")
    database.run(f"SET GLOBAL {name} = %s", (value,))
    try:
        yield
    finally:
        database.run(f"SET GLOBAL {name} = %s", (before,))


def test_a_server_with_nothing_wrong_is_well_and_its_settings_are_given_back(maria: Database) -> None:
    engine = maria.engine()
    diagnosis = StorageAdmin(engine).doctor()
    assert diagnosis.level is Level.OK, [f for f in diagnosis.findings if f.level is not Level.OK]
    with engine.connect() as connection:
        session, server = connection.exec_driver_sql("SELECT @@lock_wait_timeout, @@global.lock_wait_timeout").one()
        assert session == server


def test_a_server_that_is_not_strict_is_a_warning_and_a_note(maria: Database) -> None:
    assert maria.admin().inspect().notes == ()
    with told(maria, "sql_mode", "NO_ENGINE_SUBSTITUTION"):
        [warning] = found(maria, "sql-mode")
        [note] = maria.admin().inspect().notes
    assert warning.level is Level.WARNING
    assert "SET GLOBAL sql_mode = CONCAT(@@GLOBAL.sql_mode, ',STRICT_TRANS_TABLES')" in warning.advice
    assert note == f"{warning.seen}; to have it strict: {warning.advice}"
    for mode in ("STRICT_ALL_TABLES", "ANSI_QUOTES,STRICT_TRANS_TABLES"):
        with told(maria, "sql_mode", mode):
            assert found(maria, "sql-mode") == []


def test_texts_in_another_character_set_are_a_warning_and_a_note(maria: Database) -> None:
    maria.run("CREATE DATABASE old CHARACTER SET latin1")
    maria.admin().upgrade(["old.sessions=agent"])
    maria.run("CREATE TABLE old.other (session_id VARCHAR(9) PRIMARY KEY)")
    [warning] = found(maria, "character-set")
    assert (warning.level, warning.objects) == (Level.WARNING, ("old.sessions",))
    assert "texts of old.sessions are in latin1" in warning.seen
    [note] = maria.admin().inspect().notes
    assert note.startswith(warning.seen)
    assert "CONVERT TO CHARACTER SET utf8mb4" in note
    maria.run("ALTER TABLE old.sessions CONVERT TO CHARACTER SET utf8mb4")
    assert found(maria, "character-set") == []


@pytest.mark.parametrize(
    ("rule", "name", "value"),
    [
        ("timeouts", "lock_wait_timeout", 1),
        ("timeouts", "innodb_lock_wait_timeout", 1),
        ("limits", "max_allowed_packet", 4 * 2**20),
        ("limits", "innodb_online_alter_log_max_size", 2**20),
    ],
)
def test_a_setting_of_the_server_that_may_hurt_is_named(maria: Database, rule: str, name: str, value: int) -> None:
    with told(maria, name, value):
        [note] = found(maria, rule)
    assert (note.level, note.objects) == (Level.NOTE, (name,))
    assert f"SET GLOBAL {name} = " in note.advice


def test_a_timeout_that_ends_a_change_of_a_table_is_a_warning(maria: Database) -> None:
    [(version,)] = maria.run("SELECT version()")
    if "MariaDB" not in version:
        pytest.skip("MySQL has none")
    with told(maria, "max_statement_time", 60):
        [warning] = found(maria, "timeouts")
    assert (warning.level, warning.objects) == (Level.WARNING, ("max_statement_time",))


def test_a_read_only_server_is_a_problem(maria: Database) -> None:
    with told(maria, "read_only", 1):
        [problem] = found(maria, "read-only")
    assert problem.level is Level.PROBLEM


def number(connection: Any) -> int:
    """The number by which the server knows a session."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID()")
        return int(cursor.fetchone()[0])


def test_who_is_in_the_way_is_named_and_who_waits_too(maria: Database) -> None:
    url = sa.make_url(maria.url)
    facts: dict[str, Any] = {"host": url.host, "port": url.port, "user": url.username}
    with pymysql.connect(**facts) as holder, pymysql.connect(**facts) as waiter, ThreadPoolExecutor(1) as pool:
        holding, waiting_pid = (number(connection) for connection in (holder, waiter))
        holder.begin()
        holder.cursor().execute("SELECT * FROM ai.sessions WHERE user_id = 'secret'")
        change = pool.submit(waiter.cursor().execute, "ALTER TABLE ai.sessions ADD COLUMN note TEXT")
        try:
            waits = "SELECT count(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%lock'"
            while maria.run(waits) == [(0,)] and not change.done():
                pass
            findings = maria.admin().doctor(long=0).findings
            patient = [f for f in maria.admin().doctor(long=3600).findings if f.rule == "open-transactions"]
        finally:
            holder.rollback()
        change.result()
    [opened] = [f for f in findings if f.rule == "open-transactions" and str(holding) in f.objects]
    [waiting] = [f for f in findings if f.rule == "waiting-sessions"]
    held = [f.objects for f in findings if f.rule == "held-locks" and f.level is Level.WARNING]
    [(locks,)] = maria.run("SELECT @@performance_schema")
    assert held == ([("ai.sessions", str(holding))] if locks else [])
    assert opened.level is Level.WARNING
    assert f"KILL {holding}" in opened.advice
    assert waiting.level is Level.PROBLEM
    assert waiting.objects == ("ai.sessions", str(waiting_pid))
    assert "secret" not in str(findings)
    assert [finding.level for finding in patient] == [Level.OK]


def test_an_index_that_is_there_twice_and_one_that_nobody_may_use_are_named(maria: Database) -> None:
    [(version,)] = maria.run("SELECT version()")
    unused, cure = ("IGNORED", "NOT IGNORED") if "MariaDB" in version else ("INVISIBLE", "VISIBLE")
    maria.run(
        "ALTER TABLE ai.sessions ADD INDEX `a twin` (user_id), ADD INDEX prefix (user_id(64)), "
        "ADD INDEX `b``c` (created_at)"
    )
    maria.run(f"ALTER TABLE ai.sessions ALTER INDEX `b``c` {unused}")
    [twice] = found(maria, "duplicate-indexes")
    assert twice.objects == ("ai.sessions", "a twin", "ix_ai_sessions_user_id")
    [invalid] = found(maria, "invalid-indexes")
    assert invalid.objects == ("ai.sessions", "b`c")
    maria.run(twice.advice)
    maria.run(invalid.advice.partition(";")[0])
    assert cure in invalid.advice
    assert found(maria, "duplicate-indexes") == found(maria, "invalid-indexes") == []


def test_another_engine_and_triggers_are_named(maria: Database) -> None:
    maria.run("ALTER TABLE ai.sessions CONVERT TO CHARACTER SET utf8mb3, ENGINE = MyISAM")
    maria.run("CREATE TRIGGER ai.watch BEFORE INSERT ON ai.sessions FOR EACH ROW SET NEW.updated_at = 1")
    [engine] = found(maria, "engine")
    assert (engine.level, engine.objects) == (Level.WARNING, ("ai.sessions",))
    [trigger] = found(maria, "triggers")
    assert trigger.seen == "ai.sessions has triggers: watch"


@pytest.mark.parametrize("version", [4, None])
def test_an_account_that_may_not_upgrade_gets_the_grant_and_with_it_it_may(
    maria: Database, version: int | None
) -> None:
    maria.run("DROP TABLE ai.sessions; CREATE USER app@'%'; GRANT INSERT, ALTER ON ai.* TO app@'%'")
    maria.admin().upgrade(["ai.sessions=agent"], to=version)
    try:
        admin = StorageAdmin(maria.url.replace("//root@", "//app@").rpartition("/")[0] + "/ai")
        [finding] = [f for f in admin.doctor().findings if f.rule == "rights"]
        assert finding.level is (Level.PROBLEM if version else Level.NOTE)
        assert "'app'@'%' lacks CREATE, INDEX" in finding.seen
        maria.run(finding.advice.partition(": ")[2])
        [finding] = [f for f in admin.doctor().findings if f.rule == "rights"]
        assert finding.level is Level.OK
        maria.run("REVOKE ALL PRIVILEGES, GRANT OPTION FROM app@'%'; GRANT ALL ON `a_`.* TO app@'%'")
        assert [f.level for f in admin.doctor().findings if f.rule == "rights"] == [Level.OK]
    finally:
        maria.run("DROP USER app@'%'")


def test_an_account_that_sees_little_gets_what_it_may_see(maria: Database) -> None:
    maria.run("CREATE USER app@'%'; GRANT SELECT ON ai.* TO app@'%'")
    try:
        url = maria.url.replace("//root@", "//app@").rpartition("/")[0] + "/ai"
        findings = {f.rule: f for f in StorageAdmin(url).doctor().findings}
    finally:
        maria.run("DROP USER app@'%'")
    assert findings["outdated-tables"].level is Level.OK
    assert findings["duplicate-indexes"].level is Level.OK
    assert findings["not-looked-at"].level is Level.NOTE


def test_an_engine_of_the_mariadb_dialect_is_one_of_mysql(maria: Database) -> None:
    [(version,)] = maria.run("SELECT version()")
    if "MariaDB" not in version:
        pytest.skip("that dialect takes no MySQL")
    engine = sa.create_engine(maria.url.replace("mysql:", "mariadb+pymysql:"))
    admin = StorageAdmin(engine)
    assert admin.check().status is Status.CURRENT
    assert "sql-mode" in {finding.rule for finding in admin.doctor().findings}
    engine.dispose()
