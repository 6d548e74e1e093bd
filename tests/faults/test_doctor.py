"""What `doctor` says of servers that are not what they seem: a pooler, a standby."""

from __future__ import annotations

import psycopg

from storage_admin import StorageAdmin
from storage_admin.dialects import DIALECTS
from storage_admin.doctor import Level
from tests.conftest import Database
from tests.faults.standby import caught_up, replicated
from tests.integration.tables import old_agents

FINE = Level.OK


def levels(admin: StorageAdmin) -> dict[str, Level]:
    """The gravest level of each rule."""
    order = list(Level)
    found: dict[str, Level] = {}
    for finding in admin.doctor(long=0).findings:
        found[finding.rule] = max(found.get(finding.rule, FINE), finding.level, key=order.index)
    return found


def test_a_pooler_is_noted_and_a_timeout_behind_it_warned_of(postgres: Database, through_pgbouncer: str) -> None:
    postgres.admin().upgrade(["ai.sessions=agent"])
    assert levels(postgres.admin())["pooler"] is FINE
    pooled = levels(StorageAdmin(through_pgbouncer))
    assert (pooled["pooler"], pooled["timeouts"]) == (Level.NOTE, FINE)
    postgres.run(f"ALTER DATABASE {postgres.url.rpartition('/')[2]} SET statement_timeout = '5s'")
    assert levels(postgres.admin())["timeouts"] is Level.NOTE
    postgres.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )  # the pool's connections began without it
    assert levels(StorageAdmin(through_pgbouncer))["timeouts"] is Level.WARNING
    # What a diagnosis sets, it sets for its own transactions: other clients of the pool do not meet it.
    with psycopg.connect(through_pgbouncer, prepare_threshold=None) as client:
        assert client.execute("SHOW lock_timeout").fetchone() == ("0",)


def test_a_standby_is_a_problem_and_all_else_is_looked_at() -> None:
    with replicated() as (primary, standby):
        primary.create("copied")
        origin, copy = (Database(DIALECTS["postgresql"], s.url("copied"), s.dsn("copied")) for s in (primary, standby))
        old_agents(origin)
        caught_up(primary, standby)
        found = levels(copy.admin())
        assert found["standby"] is Level.PROBLEM
        assert found["outdated-tables"] is Level.WARNING
        assert "not-looked-at" not in found
        assert levels(origin.admin())["standby"] is FINE
