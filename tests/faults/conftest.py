"""How much is done, by day and with --full, and what several fault tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from storage_admin.dialects import DIALECTS
from tests.conftest import Database, numbers
from tests.faults.pgbouncer import pgbouncer
from tests.faults.proxy import Proxy
from tests.faults.tables import ROWS
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


class Scale(NamedTuple):
    """``kills`` and ``rounds`` are counts, ``hold`` seconds; ``slack`` is what a busy machine may add, in ms."""

    racers: int
    rounds: int
    kills: int
    rows: int
    tables: int
    pruned: int
    hold: float
    slack: float


DAILY = Scale(racers=6, rounds=2, kills=4, rows=ROWS, tables=200, pruned=20_000, hold=1.5, slack=400)
FULL = Scale(racers=32, rounds=20, kills=50, rows=1_000_000, tables=10_000, pruned=1_000_000, hold=8, slack=50)


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> Scale:
    return FULL if request.config.getoption("--full") else DAILY


@pytest.fixture
def through_pgbouncer(postgres: Database, postgresql_proc: Server) -> Iterator[str]:
    """The URL of the database through a pool of a few connections."""
    with pgbouncer(postgresql_proc) as port:
        yield postgres.url.replace(f":{postgresql_proc.port}/", f":{port}/")


@pytest.fixture
def proxy(postgresql_proc: Server) -> Iterator[Proxy]:
    with Proxy(postgresql_proc.host, postgresql_proc.port) as running:
        yield running


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Database]]:
    """A server that may be stopped, killed and reconfigured, and a database on it; settings by indirect parameters."""
    settings = getattr(request, "param", ())
    with Server(*settings) as server:
        name = f"own_{next(numbers)}"
        server.create(name)
        database = Database(DIALECTS["postgresql"], server.url(name), server.dsn(name))
        yield server, database
        database.close()
