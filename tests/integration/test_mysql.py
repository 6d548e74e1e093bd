"""What is MySQL's own: DDL that cannot be rolled back, algorithms, metadata locks, accounts."""

from __future__ import annotations

import pymysql
import pytest
import sqlalchemy as sa

from storage_admin import Patience, Status, StorageAdmin, UpgradeFailed
from storage_admin.dialects import MYSQL
from storage_admin.errors import ReadOnlyServer, RoleNeedsURL, ServerTooOld
from storage_admin.locking import lock_key
from storage_admin.render import render
from storage_admin.schema import TableName
from tests.conftest import Database
from tests.integration.tables import old_agents

COLUMNS = "ALTER TABLE ai.sessions ADD COLUMN team_session_id VARCHAR(255)"
INSTANT, INPLACE = ", ALGORITHM=INSTANT", ", ALGORITHM=INPLACE, LOCK=NONE"


@pytest.fixture
def database(mariadb: Database) -> Database:
    mariadb.run("CREATE DATABASE ai")
    return mariadb


def connect(database: Database) -> pymysql.connections.Connection:
    url = sa.make_url(database.url)
    return pymysql.connect(host=url.host, port=url.port or 0, user=url.username)


def test_columns_come_in_one_statement_and_indexes_in_another(database: Database) -> None:
    old_agents(database)
    columns, indexes = database.admin().upgrade().outcomes[0].statements
    assert columns == COLUMNS + INSTANT
    assert indexes.count("ADD INDEX") == 3
    assert indexes.endswith(INPLACE)


def test_what_cannot_be_instant_is_done_in_place(database: Database) -> None:
    old_agents(database)
    database.run("ALTER TABLE ai.sessions ROW_FORMAT = COMPRESSED")
    assert database.admin().upgrade().outcomes[0].statements[0] == COLUMNS + INPLACE
    assert database.admin().check().status is Status.CURRENT


def test_what_takes_a_copy_of_the_table_is_refused_unless_that_is_allowed(database: Database) -> None:
    old_agents(database)
    database.run("ALTER TABLE ai.sessions CONVERT TO CHARACTER SET utf8mb3, ENGINE = MyISAM")
    with pytest.raises(UpgradeFailed, match="cannot be run here while others use the table.*--allow-copy") as refused:
        database.admin().upgrade()
    assert refused.value.exit_code == 1
    assert database.admin().check().plans[0].version == 4
    assert database.admin().upgrade(patience=Patience(allow_copy=True)).outcomes[0].statements[0] == COLUMNS
    assert database.admin().check().status is Status.CURRENT


def test_what_an_upgrade_left_half_done_is_done_by_the_next_one(database: Database) -> None:
    old_agents(database)
    database.run(COLUMNS)
    [outcome] = database.admin().upgrade().outcomes
    assert [statement.endswith(INPLACE) for statement in outcome.statements] == [True]
    assert database.admin().check().status is Status.CURRENT


def test_a_table_in_use_is_given_up_with_5_and_settings_are_given_back(database: Database) -> None:
    old_agents(database)
    with connect(database) as reader, reader.cursor() as cursor:
        reader.begin()
        cursor.execute("SELECT * FROM ai.sessions")
        with pytest.raises(UpgradeFailed, match=r"in use by pid \d+ \(role root.*nothing was changed") as busy:
            database.admin().upgrade(patience=Patience(wait_seconds=0.5))
    assert busy.value.exit_code == 5
    engine = database.engine()
    StorageAdmin(engine).upgrade()
    with engine.connect() as connection:
        session, server = connection.exec_driver_sql("SELECT @@lock_wait_timeout, @@global.lock_wait_timeout").one()
        assert session == server
        key = lock_key(TableName("ai", "sessions")) % 2**64
        lock = connection.scalar(sa.text("SELECT IS_USED_LOCK(:name)"), {"name": f"storage-admin-{key:016x}"})
        assert lock is None


def test_what_was_done_before_a_lock_timeout_is_told_and_recorded(database: Database) -> None:
    name = old_agents(database)
    engine = database.engine()
    tries: list[str] = []
    with connect(database) as reader, reader.cursor() as cursor:

        @sa.event.listens_for(engine, "before_cursor_execute")
        def be_in_the_way(*arguments: object) -> None:
            statement = str(arguments[2])
            if "ADD INDEX" in statement:
                tries.append(statement)
                if len(tries) == 1:
                    reader.begin()
                    cursor.execute("SELECT * FROM ai.sessions")
                else:
                    reader.rollback()

        [outcome] = StorageAdmin(engine).upgrade().outcomes
    assert len(tries) == 2
    assert outcome.statements[0].startswith(COLUMNS)
    assert len(outcome.statements) == 2
    [revision] = database.admin().history(name)
    assert (revision.statements, revision.from_version, revision.to_version) == (outcome.statements, 4, 10)


def test_an_account_without_rights_is_told_which_ones_to_ask_for(database: Database) -> None:
    old_agents(database)
    database.run("CREATE USER app@'%'; GRANT SELECT, INSERT, UPDATE ON ai.* TO app@'%'")
    try:
        app = StorageAdmin(database.url.replace("//root@", "//app@").rpartition("/")[0] + "/ai")
        with pytest.raises(UpgradeFailed) as refused:
            app.upgrade()
        assert "GRANT SELECT, INSERT, UPDATE, CREATE, ALTER, INDEX ON ai.* TO 'app'@'%'" in str(refused.value)
        assert database.admin().check().plans[0].version == 4
    finally:
        database.run("DROP USER app@'%'")


def test_an_account_that_may_only_read_is_told_so_of_a_table_that_is_there(database: Database) -> None:
    name = old_agents(database)
    old_agents(database, "other")
    database.run("CREATE USER reader@'%'; GRANT SELECT ON ai.* TO reader@'%'")
    try:
        url = database.url.replace("//root@", "//reader@").rpartition("/")[0] + "/ai"
        with pytest.raises(UpgradeFailed) as told:
            StorageAdmin(url).upgrade([name])
        with pytest.raises(UpgradeFailed, match="ai.other, ai.sessions were not changed") as both:
            StorageAdmin(url).upgrade()
        with pytest.raises(UpgradeFailed, match="ai.new, a table to be created, was not changed"):
            StorageAdmin(url).upgrade(["ai.new=agent"])
    finally:
        database.run("DROP USER reader@'%'")
    assert str(told.value).startswith(f"{name} was not changed: the role 'reader'@'%' may not do that")
    assert "\n  Or give the right, and run it again:\n  GRANT SELECT, INSERT, UPDATE" in str(told.value)
    assert "--role" not in str(told.value)
    assert str(both.value).count("GRANT") == 1


def test_a_role_is_said_to_be_for_postgresql(database: Database) -> None:
    with pytest.raises(RoleNeedsURL, match="--role is for PostgreSQL, and this is MySQL or MariaDB"):
        StorageAdmin(database.url, role="owner")
    with pytest.raises(RoleNeedsURL, match="--role is for PostgreSQL, and this is SQLite"):
        StorageAdmin("sqlite:///some.db", role="owner")


def test_mariadb_is_called_by_its_name_and_programs_read_what_they_did(database: Database) -> None:
    old_agents(database)
    info = database.admin().inspect().database
    assert info.dialect == "mysql"
    assert info.server == f"MariaDB {info.server_version}"


def test_a_read_only_server_is_refused_before_anything_is_sent(database: Database) -> None:
    old_agents(database)
    database.run("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(ReadOnlyServer, match="it is read-only .*as replicas are"):
            database.admin().upgrade()
    finally:
        database.run("SET GLOBAL read_only = 0")


def test_a_server_that_is_too_old_is_read_and_not_changed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    old_agents(database)
    assert isinstance(MYSQL.oldest, dict)
    for product in MYSQL.oldest:
        monkeypatch.setitem(MYSQL.oldest, product, (99, 0))
    assert database.admin().plan().plans[0].changes
    with pytest.raises(ServerTooOld, match=r"runs (\w+) \d+\.\d+, which can be .* that takes \1 99.0"):
        database.admin().upgrade()


def test_what_is_planned_for_an_old_server_is_what_it_knows_and_then_it_is_current(database: Database) -> None:
    old_agents(database)
    database.run("ALTER TABLE ai.sessions ALTER created_at DROP DEFAULT")
    engine = database.engine()
    with engine.connect():
        engine.dialect.server_version_info = (5, 7, 44)  # as if that had answered
    admin = StorageAdmin(engine)
    [plan] = admin.plan().plans
    statements = render(plan, MYSQL.of_version((5, 7, 44)))
    assert [statement.endswith(INPLACE) for statement in statements] == [True, True]
    database.run("; ".join(statements))
    assert admin.check().status is Status.CURRENT


def test_no_value_that_was_to_be_stored_is_in_an_error(database: Database) -> None:
    from storage_admin.messages import driver_message

    database.run("CREATE TABLE ai.t (a VARCHAR(5) PRIMARY KEY); INSERT INTO ai.t VALUES ('mine')")
    with database.engine().connect() as connection:
        for value in ("mine", "mine is too long"):
            with pytest.raises(sa.exc.DBAPIError) as failed:
                connection.execute(sa.text("INSERT INTO ai.t VALUES (:value)"), {"value": value})
            assert "mine" not in driver_message(failed.value)
