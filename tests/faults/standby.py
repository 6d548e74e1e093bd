"""A primary and its hot standby, made from a copy of its stopped data folder: no server comes without that tool."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


class Standby(Server):
    """A copy of a stopped primary, which replays what the primary goes on to write."""

    def __init__(self, primary: Server, *settings: str) -> None:
        follows = f"primary_conninfo = 'host={primary.host} port={primary.port} user={primary.user}'"
        super().__init__(*settings, follows, "wal_retrieve_retry_interval = 100ms", copy_of=primary.datadir)

    def _create(self) -> None:
        super()._create()
        (self.datadir / "standby.signal").touch()


@contextmanager
def replicated(*settings: str) -> Iterator[tuple[Server, Server]]:
    """A primary and a standby; the settings are the standby's."""
    with Server() as primary:
        primary.stop()
        with Standby(primary, *settings) as standby:
            primary.start()
            yield primary, standby


def caught_up(primary: Server, standby: Server) -> None:
    """Wait until a standby has replayed all that its primary has written."""
    [(position,)] = primary.run("SELECT pg_current_wal_lsn()::text")
    deadline = time.monotonic() + 30
    while standby.run(f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn") != [(True,)]:
        assert time.monotonic() < deadline, standby.log()
        time.sleep(0.02)
