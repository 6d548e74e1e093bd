"""Roles with few rights, and relations that are not quite tables: refused in words, or done at the right place."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from storage_admin import Status, StorageAdmin, UpgradeFailed
from storage_admin.errors import NameTooLong, NotATable
from storage_admin.history import REVISIONS
from tests.conftest import numbers
from tests.faults.clients import command
from tests.integration.tables import definition, old_agents
from tests.storage.sessions import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database

NEW = "team_session_id"


@contextmanager
def role(database: Database, *grants: str) -> Iterator[str]:
    """A role that can log in and has been given so much; its name."""
    name = f"role_{database.url.rpartition('/')[2]}_{next(numbers)}"
    database.run(f"CREATE ROLE {name} LOGIN; " + "; ".join(f"{grant} TO {name}" for grant in grants))
    try:
        yield name
    finally:
        database.run(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


def as_role(database: Database, name: str) -> str:
    return database.url.replace("://postgres@", f"://{name}@")


def columns(database: Database, table: str) -> set[str]:
    query = f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
    return {name for (name,) in database.run(query)}


# --- roles -------------------------------------------------------------------------------------------------

DML = ("GRANT USAGE ON SCHEMA ai", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ai")


def test_a_role_that_may_only_read_and_write_gets_the_sql_the_owner_and_the_grants(postgres: Database) -> None:
    table = old_agents(postgres)
    before = definition(postgres)
    with role(postgres) as owner:
        postgres.run(f"GRANT USAGE, CREATE ON SCHEMA ai TO {owner}; ALTER TABLE {table} OWNER TO {owner}")
        with role(postgres, *DML) as app:
            ended = command("upgrade", "--db-url", as_role(postgres, app))
            assert ended.code == 1, ended
            assert definition(postgres) == before
            [plan] = postgres.admin().plan().plans
            for words in (owner, app, f"ADD COLUMN {NEW} VARCHAR", f"GRANT {owner} TO {app}", "--role"):
                assert words in ended.err, words
            assert all(index.name in ended.err for index in plan.builds)
            # What it says is what helps: the role, granted and taken on.
            postgres.run(f"GRANT {owner} TO {app}")
            ended = command("upgrade", "--role", owner, "--db-url", as_role(postgres, app))
            assert ended.code == 0, ended
            log = postgres.run(f"SELECT tableowner FROM pg_tables WHERE tablename = '{REVISIONS}'")
            assert log == [(owner,)]
            assert postgres.admin().check().status is Status.CURRENT


def test_what_is_granted_already_is_not_asked_for_and_each_answer_is_printed_once(postgres: Database) -> None:
    names = [old_agents(postgres, f"t{number}") for number in range(6)]
    with role(postgres) as owner, role(postgres) as keeper, role(postgres, *DML) as app:
        postgres.run(f"ALTER SCHEMA ai OWNER TO {owner}")
        postgres.run("; ".join(f"ALTER TABLE {name} OWNER TO {owner}" for name in names[:4]))
        postgres.run(f"ALTER TABLE {names[4]} OWNER TO {keeper}")
        url = as_role(postgres, app)
        ended = command("upgrade", "--db-url", url)
        assert ended.code == 6, ended
        told = ended.err.partition("Error: ")[2]
        assert told.startswith("6 of 6 tables could not be upgraded:\n")
        assert f"ai.t0, ai.t1, ai.t2 and 1 more, which belong to {owner}, were not changed" in told
        assert told.count(f"GRANT {owner} TO {app};") == 1
        assert f"CREATE ON SCHEMA ai TO {owner}" not in told
        assert f"GRANT {keeper} TO {app};" in told
        assert f"GRANT USAGE, CREATE ON SCHEMA ai TO {keeper};" in told
        assert f"ALTER TABLE ai.t5 OWNER TO {app};" in told  # of a superuser
        assert {len(line) - len(line.lstrip()) for line in told.splitlines()[1:] if line.strip()} == {2}
        one = command("upgrade", "ai.t0", "--db-url", url).err
        assert f"\n  Or give the right, and run it again with --role {owner}:\n  GRANT {owner} TO {app};\n" in one
        assert "ADD COLUMN" in one
        # A member that does not inherit lacks nothing but the option.
        postgres.run(f"ALTER ROLE {app} NOINHERIT; GRANT {owner} TO {app}")
        member = command("upgrade", "ai.t0", "--db-url", url).err
        assert f"\n  Or run it again with --role {owner}.\n" in member
        assert "GRANT" not in member
        assert command("upgrade", "ai.t0", "--role", owner, "--db-url", url).code == 0
        postgres.run("ALTER SCHEMA ai OWNER TO postgres")


def test_a_role_that_may_only_read_and_write_works_with_a_current_table(postgres: Database) -> None:
    postgres.storage(mode="agent").upsert(session())
    with role(postgres, *DML) as app:
        url = as_role(postgres, app)
        assert command("upgrade", "--db-url", url).code == 0
        storage = postgres.storage(db_url=url, mode="agent", auto_upgrade_schema=True)
        assert storage.read("s1").session_id == "s1"
        postgres.close()


def test_the_sql_that_a_role_is_told_is_all_that_is_lacking(postgres: Database) -> None:
    old_agents(postgres)
    with role(postgres, *DML) as app:
        ended = command("upgrade", "--db-url", as_role(postgres, app))
        told = [line.strip() for line in ended.err.splitlines() if line.strip().endswith(";")]
        statements = [
            line for line in told if line.startswith(("ALTER", "CREATE", "DROP", "BEGIN", "COMMIT", "INSERT"))
        ]
        assert statements
        postgres.run(" ".join(statements))
        assert command("check", "--db-url", as_role(postgres, app)).code == 0


# --- what is not quite a table -----------------------------------------------------------------------------


def test_a_table_in_a_publication_is_upgraded_with_a_word_about_its_subscribers(postgres: Database) -> None:
    old_agents(postgres)
    postgres.run("CREATE PUBLICATION feed FOR TABLE ai.sessions")
    for arguments in (["plan"], ["upgrade"]):
        ended = command(*arguments, "--db-url", postgres.url)
        assert "feed" in ended.err, arguments
        assert "subscriber" in ended.err
    assert postgres.admin().check().status is Status.CURRENT


@pytest.mark.parametrize("name", ["sessions", REVISIONS])
def test_a_view_in_the_place_of_a_table(postgres: Database, name: str) -> None:
    table = old_agents(postgres, "one")
    postgres.run(f"CREATE VIEW ai.{name} AS SELECT * FROM {table}")
    if name == "sessions":
        with pytest.raises(NotATable, match="ai.sessions is a view"):
            postgres.admin().upgrade([f"ai.{name}"])
        assert NEW not in columns(postgres, table)
        return
    # A view has the name of our log: the table is upgraded all the same, and it is said that nothing was recorded.
    ended = command("upgrade", "--db-url", postgres.url)
    assert ended.code == 0, ended
    assert f"not recorded in {REVISIONS}" in ended.err
    assert postgres.admin().check().status is Status.CURRENT
    assert postgres.run(f"SELECT count(*) FROM ai.{REVISIONS}") == [(0,)]


def test_a_partition_is_refused_and_its_parent_upgraded_with_all_of_them(postgres: Database) -> None:
    table = old_agents(postgres)
    postgres.run(
        f"CREATE TABLE ai.parent (LIKE {table} INCLUDING DEFAULTS, PRIMARY KEY (session_id)) "
        "PARTITION BY HASH (session_id);"
        "CREATE TABLE ai.p0 PARTITION OF ai.parent FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE ai.p1 PARTITION OF ai.parent FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "INSERT INTO ai.parent (session_id) SELECT 's' || n FROM generate_series(1, 50) n"
    )
    ended = command("upgrade", "ai.p0", "--db-url", postgres.url)
    assert ended.code == 1
    assert "ai.p0 is a partition" in ended.err
    assert command("upgrade", "ai.parent", "--db-url", postgres.url).code == 0
    assert all(NEW in columns(postgres, name) for name in ("ai.parent", "ai.p0", "ai.p1"))
    invalid = postgres.run("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
    assert (invalid, postgres.run("SELECT count(*) FROM ai.parent")) == ([(0,)], [(50,)])


def test_an_inherited_table_is_upgraded_at_its_parent_or_refused_in_words(postgres: Database) -> None:
    parent = old_agents(postgres, "parent")
    postgres.run(f"CREATE TABLE ai.child (extra text, PRIMARY KEY (session_id)) INHERITS ({parent})")
    ended = command("upgrade", "--db-url", postgres.url)
    if ended.code == 0:
        assert all(NEW in columns(postgres, name) for name in (parent, "ai.child"))
        inherited = postgres.run(
            "SELECT attislocal, attinhcount FROM pg_attribute "
            f"WHERE attrelid = 'ai.child'::regclass AND attname = '{NEW}'"
        )
        assert inherited == [(False, 1)], "the child's column must come from its parent, and go with it"
    else:
        assert "inherit" in ended.err
    assert postgres.admin().check(["ai.parent"]).status is Status.CURRENT


def test_a_child_alone_is_upgraded_without_its_parent_or_refused(postgres: Database) -> None:
    parent = old_agents(postgres, "parent")
    postgres.run(f"CREATE TABLE ai.child (extra text, PRIMARY KEY (session_id)) INHERITS ({parent})")
    ended = command("upgrade", "ai.child", "--db-url", postgres.url)
    if ended.code == 0:
        assert (NEW in columns(postgres, "ai.child"), NEW in columns(postgres, parent)) == (True, False)
        assert command("upgrade", "ai.parent", "--db-url", postgres.url).code == 0
    else:
        assert "inherit" in ended.err
        assert NEW not in columns(postgres, "ai.child")


def test_rows_that_row_level_security_hides_are_not_counted_away_unnoticed(postgres: Database) -> None:
    postgres.storage(mode="agent").upsert(session())
    postgres.run(
        "INSERT INTO ai.sessions (session_id, user_id) SELECT 'hidden' || n, 'other' FROM generate_series(1, 9) n;"
        "ANALYZE ai.sessions; ALTER TABLE ai.sessions ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY mine ON ai.sessions USING (user_id = 'ada')"
    )
    with role(postgres, *DML) as app:
        ended = command("inspect", "-o", "json", "--db-url", as_role(postgres, app))
        assert ended.json["tables"][0]["rows"] == 10
        assert postgres.run("SELECT count(*) FROM ai.sessions") == [(10,)]


# --- names -------------------------------------------------------------------------------------------------


def test_a_name_of_47_cyrillic_letters_is_refused_before_the_server_cuts_it(postgres: Database) -> None:
    name = "ж" * 47
    with pytest.raises(NameTooLong, match="94 bytes"):
        postgres.admin().upgrade([f"ai.{name}=agent"])
    # The server has cut it for somebody else: that table is not what was asked for.
    postgres.run(f"CREATE SCHEMA ai; CREATE TABLE ai.{name} (session_id text)")
    with pytest.raises(NameTooLong):
        postgres.admin().upgrade([f"ai.{name}=agent"])


def test_a_name_of_31_cyrillic_letters_is_upgraded_with_names_of_indexes_that_fit(postgres: Database) -> None:
    name = "ж" * 31
    postgres.admin().upgrade([f"ai.{name}=agent"], to=4)
    postgres.admin().upgrade()
    postgres.admin().upgrade()
    assert postgres.admin().check().status is Status.CURRENT
    assert len(postgres.admin().history()) == 2


@pytest.mark.parametrize("taken_by", ["TABLE {} (id int)", "SEQUENCE {}", "VIEW {} AS SELECT 1 AS id"])
def test_a_name_of_an_index_that_something_else_has(postgres: Database, taken_by: str) -> None:
    table = old_agents(postgres)
    [plan] = postgres.admin().plan().plans
    for index in plan.builds:
        postgres.run("CREATE " + taken_by.format(f"ai.{index.name}"))
    postgres.admin().upgrade([table])
    assert postgres.admin().check().status is Status.CURRENT
    made = postgres.run(f"SELECT count(*) FROM pg_index WHERE indrelid = '{table}'::regclass AND NOT indisprimary")
    assert made[0][0] >= len(plan.builds)


HIJACK = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.pg_has_role(oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS $$SELECT 'on'::text$$;
CREATE FUNCTION evil.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION evil.pg_relation_size(regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
CREATE TABLE evil.pg_class (LIKE pg_catalog.pg_class);
CREATE TABLE evil.sessions (session_id text);
CREATE TABLE evil.pg_namespace (LIKE pg_catalog.pg_namespace);
"""


def test_a_search_path_cannot_lead_us_elsewhere(postgres: Database) -> None:
    table = old_agents(postgres)
    postgres.run(HIJACK)
    name = postgres.url.rpartition("/")[2]
    postgres.run(f"ALTER DATABASE {name} SET search_path = evil, pg_catalog, ai")
    ended = command("upgrade", "--db-url", postgres.url)
    assert ended.code == 0, ended
    assert NEW in columns(postgres, table)
    assert columns(postgres, "evil.sessions") == {"session_id"}
    assert postgres.run("SELECT to_regclass('evil.storage_admin_revisions')") == [(None,)]


def test_an_empty_search_path_is_enough(postgres: Database) -> None:
    table = old_agents(postgres)
    postgres.run(f"ALTER DATABASE {postgres.url.rpartition('/')[2]} SET search_path = ''")
    assert command("upgrade", table, "--db-url", postgres.url).code == 0
    assert command("check", "--db-url", postgres.url).code == 0


def test_a_temporary_table_of_the_same_name_is_not_taken_for_it(postgres: Database) -> None:
    from sqlalchemy import event

    table = old_agents(postgres)
    engine = postgres.engine()

    @event.listens_for(engine, "connect")
    def shadow(connection: psycopg.Connection, _record: object) -> None:
        connection.execute(f"CREATE TEMP TABLE sessions (session_id text); CREATE TEMP TABLE {REVISIONS} (id int)")
        connection.commit()

    assert StorageAdmin(engine).upgrade(["sessions"]).outcomes[0].changed
    assert NEW in columns(postgres, table)
    assert len(postgres.admin().history(table)) == 1


def test_one_failure_among_several_tables_is_the_only_one_in_the_report(postgres: Database) -> None:
    for name in ("one", "three", "two"):
        old_agents(postgres, name)
    with role(postgres, "GRANT USAGE, CREATE ON SCHEMA ai") as owner:
        postgres.run(f"ALTER TABLE ai.one OWNER TO {owner}; ALTER TABLE ai.two OWNER TO {owner}")
        ended = command("upgrade", "-o", "json", "--jobs", "2", "--db-url", as_role(postgres, owner))
        assert ended.code == 6, ended
        results = {table["name"]: table["result"] for table in json.loads(ended.out)["tables"]}
        assert results == {"one": "upgraded", "two": "upgraded", "three": "failed"}
        with pytest.raises(UpgradeFailed, match="ai.three"):
            StorageAdmin(as_role(postgres, owner)).upgrade()
