"""What `doctor` sees of the tables on a real PostgreSQL, their indexes and what stands beside them."""

from __future__ import annotations

import psycopg
import pytest

from storage_admin.doctor import Level
from tests.conftest import Database
from tests.integration.findings import current_agents, found, role, running, transaction
from tests.integration.tables import old_agents
from tests.integration.test_large_tables import BUILD, INDEX, large_agents, leave_invalid, old_snapshot

# --- indexes -----------------------------------------------------------------------------------------------


def test_an_invalid_index_of_ours_is_a_problem_that_repair_mends(postgres: Database) -> None:
    large_agents(postgres)
    leave_invalid(postgres)
    [finding] = found(postgres, "invalid-indexes")
    assert (finding.level, finding.advice) == (Level.PROBLEM, "storage-admin repair")
    assert finding.objects == ("ai.sessions", INDEX)
    postgres.admin().repair()
    assert found(postgres, "invalid-indexes") == []


def test_an_invalid_index_of_somebody_else_and_what_a_reindex_left_are_to_be_dropped(postgres: Database) -> None:
    large_agents(postgres)
    leave_invalid(postgres)
    postgres.run(f'ALTER INDEX ai.{INDEX} RENAME TO "My index"')
    [finding] = found(postgres, "invalid-indexes")
    assert (finding.level, finding.advice.split(",")[0]) == (Level.WARNING, 'DROP INDEX CONCURRENTLY ai."My index"')
    postgres.run('DROP INDEX ai."My index"; CREATE INDEX mine ON ai.sessions (updated_at)')
    with transaction(postgres, "LOCK TABLE ai.sessions IN ROW EXCLUSIVE MODE"):
        hasty = f"{postgres.dsn} options='-c lock_timeout=50ms'"
        with psycopg.connect(hasty, autocommit=True) as dba, pytest.raises(psycopg.errors.LockNotAvailable):
            dba.execute("REINDEX INDEX CONCURRENTLY ai.mine")
    [left] = found(postgres, "leftover-indexes")
    assert (left.level, left.objects) == (Level.WARNING, ("ai.sessions", "mine_ccnew"))
    postgres.run(left.advice)
    assert found(postgres, "invalid-indexes") == []


def test_the_same_index_twice_is_a_note_and_a_similar_one_is_not(postgres: Database) -> None:
    name = current_agents(postgres)
    postgres.run(f"CREATE INDEX again ON {name} (user_id); CREATE INDEX likes ON {name} (user_id text_pattern_ops)")
    postgres.run(
        f"CREATE INDEX part ON {name} (user_id) WHERE user_id > 'a'; CREATE INDEX down ON {name} (user_id DESC)"
    )
    [finding] = found(postgres, "duplicate-indexes")
    assert (finding.level, set(finding.objects)) == (Level.NOTE, {name, "again", "ix_ai_sessions_user_id"})
    postgres.run(finding.advice.partition(": ")[2])
    assert found(postgres, "duplicate-indexes") == []


def test_an_index_that_is_being_built_is_a_note_and_no_invalid_index(postgres: Database) -> None:
    large_agents(postgres)
    postgres.run("ALTER TABLE ai.sessions ADD COLUMN team_session_id VARCHAR")
    building = "SELECT 1 FROM pg_stat_progress_create_index WHERE phase ~ 'old'"
    with old_snapshot(postgres), running(postgres, BUILD, building):
        [finding] = found(postgres, "index-builds")
        assert (finding.level, finding.objects) == (Level.NOTE, ("ai.sessions",))
        assert "a dba" in finding.seen
        assert found(postgres, "invalid-indexes") == []


# --- what stands beside a table ----------------------------------------------------------------------------


def test_a_published_table_warns_while_it_is_to_get_columns(postgres: Database) -> None:
    name = old_agents(postgres)
    postgres.run(f"CREATE PUBLICATION out FOR TABLE {name}")
    [finding] = found(postgres, "publications")
    assert (finding.level, finding.objects) == (Level.WARNING, (name,))
    assert "published by out" in finding.seen
    postgres.admin().upgrade()
    assert [f.level for f in found(postgres, "publications")] == [Level.NOTE]


def test_a_replication_slot_that_nobody_reads_is_warned_of(postgres: Database) -> None:
    current_agents(postgres)
    slot = postgres.url.rpartition("/")[2]
    postgres.run(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    try:
        [finding] = found(postgres, "replication-slots")
        assert (finding.level, finding.objects) == (Level.WARNING, (slot,))
    finally:
        postgres.run(finding.advice.rpartition(": ")[2])
    assert found(postgres, "replication-slots") == []


def test_row_level_security_is_a_warning_for_those_whom_it_hides_rows_from(postgres: Database) -> None:
    name = current_agents(postgres)
    postgres.run(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    [finding] = found(postgres, "row-security")
    assert (finding.level, finding.objects) == (Level.NOTE, (name,))
    grants = ("GRANT ALL ON SCHEMA ai TO tenant", f"ALTER TABLE {name} OWNER TO tenant")
    with role(postgres, "tenant", *grants) as url:
        assert [f.level for f in found(postgres, "row-security", url=url)] == [Level.NOTE]
        postgres.run(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        [forced] = found(postgres, "row-security", url=url)
        assert (forced.level, "tenant sees only" in forced.seen) == (Level.WARNING, True)


def test_partitioned_and_inherited_tables_are_noted(postgres: Database) -> None:
    name = current_agents(postgres)
    postgres.run(
        f"CREATE TABLE ai.heir () INHERITS ({name});"
        f"CREATE TABLE ai.parts (LIKE {name} INCLUDING DEFAULTS, PRIMARY KEY (session_id)) "
        "PARTITION BY HASH (session_id);"
        "CREATE TABLE ai.part PARTITION OF ai.parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
    )
    seen = {f.objects[0]: f.seen for f in found(postgres, "inheritance")}
    assert seen == {
        name: f"{name} has 1 heirs",
        "ai.heir": "ai.heir inherits from ai.sessions",
        "ai.parts": "ai.parts is partitioned (1 below it)",
    }


def test_triggers_and_event_triggers_are_noted(postgres: Database) -> None:
    name = current_agents(postgres)
    postgres.run(
        "CREATE FUNCTION public.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE FUNCTION public.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        f"CREATE TRIGGER stamp BEFORE UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION public.t();"
        "CREATE EVENT TRIGGER guard ON ddl_command_end EXECUTE FUNCTION public.e()"
    )
    [trigger], [guard] = found(postgres, "triggers"), found(postgres, "event-triggers")
    assert (trigger.level, trigger.seen) == (Level.NOTE, f"{name} has triggers: stamp")
    assert (guard.level, guard.objects) == (Level.NOTE, ("guard",))
    postgres.run(f"ALTER EVENT TRIGGER guard DISABLE; ALTER TABLE {name} DISABLE TRIGGER stamp")
    assert found(postgres, "triggers") == found(postgres, "event-triggers") == []


def test_a_table_without_autovacuum_is_warned_of(postgres: Database) -> None:
    name = current_agents(postgres)
    postgres.run(f"ALTER TABLE {name} SET (autovacuum_enabled = off)")
    [finding] = found(postgres, "autovacuum")
    assert (finding.level, finding.objects) == (Level.WARNING, (name,))
    postgres.run(finding.advice)
    assert found(postgres, "autovacuum") == []


def test_more_partitions_than_a_transaction_has_room_for_locks_are_warned_of(postgres: Database) -> None:
    name = current_agents(postgres)
    postgres.run(
        f"CREATE TABLE ai.parts (LIKE {name} INCLUDING DEFAULTS, PRIMARY KEY (session_id)) "
        "PARTITION BY HASH (session_id);"
        "DO 'BEGIN FOR i IN 0..128 LOOP EXECUTE format(''CREATE TABLE ai.part_%s PARTITION OF ai.parts "
        "FOR VALUES WITH (MODULUS 129, REMAINDER %s)'', i, i); END LOOP; END'"
    )
    [finding] = found(postgres, "lock-slots")
    assert (finding.level, finding.objects) == (Level.WARNING, ("ai.parts",))
    assert "locks 260 partitions and indexes" in finding.seen


def test_odd_names_go_all_the_way(postgres: Database) -> None:
    postgres.run("CREATE SCHEMA ai")
    postgres.admin().upgrade(['ai."odd.%s :name""x"=agent'])
    postgres.run('CREATE INDEX "again :x" ON ai."odd.%s :name""x" (user_id)')
    [finding] = found(postgres, "duplicate-indexes")
    assert finding.objects[0] == 'ai."odd.%s :name""x"'
    postgres.run(finding.advice.partition(": ")[2])
    assert found(postgres, "duplicate-indexes") == []
