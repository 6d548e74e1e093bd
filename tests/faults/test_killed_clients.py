"""kill -9 of an upgrade at random moments: the next one ends current, and nothing is lost, left or locked."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from storage_admin import Status
from storage_admin.history import REVISIONS
from tests.faults.clients import Upgrader, until
from tests.faults.tables import fingerprint, indexes, large_table, nothing_is_locked, outdated_again, sound

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.faults.conftest import Scale

SCHEMAS = 20


def test_after_each_kill_the_next_upgrade_ends_current(postgres: Database, scale: Scale) -> None:
    table = large_table(postgres, scale.rows)
    rows, old_indexes = fingerprint(postgres, table), set(indexes(postgres, table))
    whole = Upgrader("--db-url", postgres.url)
    whole.go()
    began = time.monotonic()
    ended = whole.end()
    duration = time.monotonic() - began
    assert ended.code == 0, ended
    seed = random.randrange(1_000_000)
    print(f"seed {seed}, {duration:.3f} s for an upgrade that is not killed")  # noqa: T201 - shown when it fails
    moments = random.Random(seed)
    killed = 0
    for number in range(scale.kills):
        outdated_again(postgres, table, old_indexes)
        assert postgres.admin().check().status is Status.OUTDATED
        upgrader = Upgrader("--db-url", postgres.url)
        upgrader.go()
        moment = duration * (number + moments.random()) / scale.kills
        time.sleep(moment)
        if upgrader.running():
            killed += 1
        else:  # those that follow a first one may be faster
            duration = min(duration, moment)
        upgrader.kill()
        postgres.admin().upgrade()
        sound(postgres, table)
        assert fingerprint(postgres, table) == rows
    assert killed >= scale.kills * 2 // 3


def test_an_upgrade_of_many_tables_that_is_killed_half_way_is_finished_by_the_next_one(
    postgres: Database, scale: Scale
) -> None:
    names = [f"tenant_{number % SCHEMAS}.sessions_{number}" for number in range(scale.tables)]
    postgres.admin().upgrade([f"{name}=agent" for name in names], to=4)
    postgres.run("; ".join(f"DROP TABLE tenant_{number}.{REVISIONS}" for number in range(SCHEMAS)))
    upgrader = Upgrader("--db-url", postgres.url, "--jobs", "3")
    upgrader.go()
    until(lambda: sum(revisions(postgres).values()) >= scale.tables // 2, "half of the tables are upgraded", 60)
    upgrader.kill()
    # What the server had been sent already it may still do.
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    until(lambda: postgres.run(f"{others} AND backend_type = 'client backend'") == [(0,)], "its sessions are over", 15)
    nothing_is_locked(postgres)
    done = revisions(postgres)
    assert scale.tables // 2 <= len(done) < scale.tables
    report = postgres.admin().upgrade(jobs=3)
    changed = {str(outcome.plan.table) for outcome in report.outcomes if outcome.changed}
    assert changed.isdisjoint(done)
    assert len(changed) == scale.tables - len(done)
    assert set(revisions(postgres).values()) == {1}
    assert postgres.admin().check().status is Status.CURRENT
    nothing_is_locked(postgres)


def revisions(database: Database) -> dict[str, int]:
    """How many revisions each table has."""
    found: dict[str, int] = {}
    for number in range(SCHEMAS):
        log = f"tenant_{number}.{REVISIONS}"
        if database.run(f"SELECT to_regclass('{log}')") != [(None,)]:
            query = f"SELECT 'tenant_{number}.' || table_name, count(*) FROM {log} GROUP BY table_name"
            found.update(dict(database.run(query)))
    return found
