"""kill -9 of an upgrade at random moments: the next one ends current, and nothing is lost, left or locked."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from storage_admin import Status
from tests.faults.clients import Upgrader
from tests.faults.tables import fingerprint, indexes, large_table, outdated_again, sound

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.faults.conftest import Scale


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
        time.sleep(duration * (number + moments.random()) / scale.kills)
        killed += upgrader.running()
        upgrader.kill()
        postgres.admin().upgrade()
        sound(postgres, table)
        assert fingerprint(postgres, table) == rows
    assert killed >= scale.kills * 2 // 3
