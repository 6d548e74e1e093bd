from __future__ import annotations

import sqlite3

import pytest

from storage_admin.catalog import Catalog
from storage_admin.changes import AddColumn, Change, CreateIndex, Plan, RebuildIndex, SetDefault, Status
from storage_admin.compare import plan_between, plan_new
from storage_admin.dialects import MYSQL, POSTGRES, SQLITE, dialect_named
from storage_admin.errors import UnsupportedDatabase
from storage_admin.render import COMPILERS, render, script
from storage_admin.schema import Column, ColumnType, Index, TableName
from tests.shapes import ODD_NAMES


def plan(table: TableName, *changes: Change) -> Plan:
    return Plan(table, ("agent",), Status.OUTDATED, 4, 10, changes)


def test_each_change_has_its_statement_on_postgresql() -> None:
    table = TableName("ai", "sessions")
    assert render(
        plan(
            table,
            AddColumn(Column("runs", ColumnType.JSON)),
            SetDefault(Column("created_at", ColumnType.EPOCH, default="now")),
            RebuildIndex(Index(("a",)), "ix_100%:x"),
            CreateIndex(Index(("a", "b")), "ix_a_b"),
        ),
        POSTGRES,
    ) == (
        "ALTER TABLE ai.sessions ADD COLUMN runs JSONB",
        "ALTER TABLE ai.sessions ALTER COLUMN created_at SET DEFAULT (extract(epoch from now()))::bigint",
        'REINDEX INDEX ai."ix_100%:x"',
        "CREATE INDEX ix_a_b ON ai.sessions (a, b)",
    )


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_quoted_and_stay_names(name: str, catalog: Catalog) -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE victim (id)")
        for statement in render(plan_new(TableName(None, name), ("agent",), catalog, SQLITE), SQLITE):
            connection.execute(statement)
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert tables == {"victim", name}


def test_a_script_says_what_it_is_and_is_empty_when_nothing_is_to_be_done(catalog: Catalog) -> None:
    new = plan_new(TableName("ai", "a\nb"), ("agent",), catalog, POSTGRES, create_schema=True)
    text = script([new], POSTGRES, "made for\na test")
    lines = text.splitlines()
    assert lines[:3] == ["-- made for?a test", "", f"-- ai.a\\nb (agent): version none -> {catalog.head}"]
    assert lines[3:5] == ["BEGIN;", "CREATE SCHEMA IF NOT EXISTS ai;"]
    assert lines[-1] == "COMMIT;"
    assert script([plan(TableName("ai", "x"))], POSTGRES, "test") == ""


def test_a_script_for_a_mysql_before_8_has_nothing_that_it_does_not_know(catalog: Catalog) -> None:
    old = MYSQL.of_version((5, 7, 44))
    table = TableName("ai", "t")
    for version in (0, 4):
        text = script([plan_between(table, ("agent",), catalog, old, start=version)], old, "test")
        assert text.startswith("-- test\n-- for a MySQL before 8.0.13: columns are added in place")
        assert "INSTANT" not in text
        assert "UNIX_TIMESTAMP" not in text
        assert "ALGORITHM=INPLACE, LOCK=NONE;" in text
    assert dialect_named("mysql-5.7") is old.of_version((5, 7, 44)) is old
    assert dialect_named("mysql-8.4") is dialect_named("mariadb-10.11") is dialect_named("mysql") is MYSQL
    for unknown in ("mysql-new", "oracle-9"):
        with pytest.raises(UnsupportedDatabase, match=unknown):
            dialect_named(unknown)
    assert MYSQL.of_version((8, 0, 12)) is old
    for version_info in ((8, 0, 13), (8, 4, 0), (10, 6, 4, "MariaDB"), ()):
        assert MYSQL.of_version(version_info) is MYSQL
    assert "INSTANT" in script([plan_between(table, ("agent",), catalog, MYSQL, start=4)], MYSQL, "test")


def test_long_index_names_are_shortened_as_sqlalchemy_does_it_and_never_beyond_the_limit() -> None:
    import sqlalchemy as sa

    for name in ("s" * 40, "sessions_of_" + "agents" * 8):
        table = sa.Table(name, sa.MetaData(), sa.Column("team_session_id", sa.String, index=True), schema="ai")
        [index] = table.indexes
        theirs = COMPILERS["postgresql"]().identifier_preparer.format_index(index)
        assert POSTGRES.index_name(TableName("ai", name), Index(("team_session_id",))) == theirs
    cyrillic = POSTGRES.index_name(TableName("ai", "сессии" * 5), Index(("team_session_id",)))
    assert len(cyrillic.encode()) <= 63


def test_a_schema_with_a_dot_is_one_name() -> None:
    table = TableName("x.pub", "t\tt")
    assert render(
        plan(table, AddColumn(Column("runs", ColumnType.JSON)), CreateIndex(Index(("a",)), "i.x")), POSTGRES
    ) == (
        'ALTER TABLE "x.pub"."t\tt" ADD COLUMN runs JSONB',
        'CREATE INDEX "i.x" ON "x.pub"."t\tt" (a)',
    )
