"""The line breaks, at COMMIT above all, where a client cannot know what the server did: we look, and say what is."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from storage_admin import Status
from tests.faults.clients import command
from tests.faults.tables import large_table, nothing_is_locked, sound
from tests.integration.tables import old_agents

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.faults.clients import Ended
    from tests.faults.proxy import Proxy

ALWAYS = 1_000_000
BOUND = 45  # seconds in which a dead line has to be noticed, where nobody set it otherwise


def told(ended: Ended) -> str:
    """What the report says of the only table."""
    [table] = json.loads(ended.out)["tables"]
    return str(table["result"])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_line_that_is_cut_once_at_commit_ends_in_an_upgrade_that_is_recorded_once(
    postgres: Database, proxy: Proxy, moment: str
) -> None:
    table = old_agents(postgres)
    (proxy.cut_before if moment == "before" else proxy.cut_after)(b"COMMIT")
    ended = command("upgrade", "-o", "json", "--db-url", proxy.url(postgres.url))
    assert (ended.code, proxy.fired) == (0, 1), ended
    assert told(ended) == "upgraded"
    sound(postgres, table)
    [revision] = postgres.admin().history(table)
    assert revision.to_version == postgres.admin().catalog.head
    assert json.loads(ended.out)["tables"][0]["statements"] == list(revision.statements)


@pytest.mark.parametrize("statement", [b"BEGIN", b"pg_try_advisory", b"ADD COLUMN", b"CREATE INDEX", b"SAVEPOINT"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_line_that_is_cut_once_at_any_other_statement_ends_in_an_upgrade_too(
    postgres: Database, proxy: Proxy, statement: bytes, moment: str
) -> None:
    table = old_agents(postgres)
    (proxy.cut_before if moment == "before" else proxy.cut_after)(statement)
    ended = command("upgrade", "--db-url", proxy.url(postgres.url))
    assert (ended.code, proxy.fired) == (0, 1), ended
    sound(postgres, table)
    assert len(postgres.admin().history(table)) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_line_that_is_cut_while_an_index_is_built_beside_writers(
    postgres: Database, proxy: Proxy, moment: str
) -> None:
    table = large_table(postgres)
    (proxy.cut_before if moment == "before" else proxy.cut_after)(b"CREATE INDEX CONCURRENTLY")
    ended = command("upgrade", "--db-url", proxy.url(postgres.url))
    assert (ended.code, proxy.fired) == (0, 1), ended
    sound(postgres, table)


def test_where_every_commit_is_cut_before_it_arrives_nothing_is_claimed(postgres: Database, proxy: Proxy) -> None:
    table = old_agents(postgres)
    proxy.cut_before(b"COMMIT", ALWAYS)
    ended = command("upgrade", "-o", "json", "--wait", "3", "--db-url", proxy.url(postgres.url))
    assert ended.code == 1, ended
    assert told(ended) == "failed"
    assert "storage-admin check" in ended.err
    assert postgres.admin().check([table]).status is Status.OUTDATED
    nothing_is_locked(postgres)


def test_where_nobody_answers_after_a_commit_nothing_is_claimed(postgres: Database, proxy: Proxy) -> None:
    table = old_agents(postgres)
    proxy.cut_after(b"COMMIT")
    proxy.closes = True
    ended = command("upgrade", "-o", "json", "--wait", "2", "--db-url", proxy.url(postgres.url))
    assert ended.code == 1, ended
    assert told(ended) == "failed"
    assert "storage-admin check" in ended.err
    assert "nothing was changed" not in ended.err.lower()
    assert "left as it was" not in ended.err
    sound(postgres, table)


@pytest.mark.parametrize("statement", [b"ADD COLUMN", b"COMMIT"])
def test_a_dead_line_is_noticed(postgres: Database, proxy: Proxy, statement: bytes) -> None:
    old_agents(postgres)
    proxy.black_hole(statement)
    began = time.monotonic()
    watched = "tcp_user_timeout=1000&keepalives_idle=1&keepalives_interval=1&keepalives_count=2&connect_timeout=2"
    url = f"{proxy.url(postgres.url)}?{watched}"
    ended = command("upgrade", "--wait", "1", "--db-url", url)
    assert ended.code == 1, ended
    assert proxy.fired == 1
    assert time.monotonic() - began < BOUND / 3
    assert "left as it was" not in ended.err


def test_a_line_is_watched_by_default(postgres: Database) -> None:
    with closing(postgres.storage().db_engine.raw_connection()) as connection:
        assert connection.driver_connection
        with socket.socket(fileno=os.dup(connection.driver_connection.fileno())) as line:
            user_timeout = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
            idle = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            interval = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
            count = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert 0 < user_timeout <= BOUND
    assert idle + interval * count <= 2 * BOUND


def test_a_dead_line_is_noticed_by_default(postgres: Database, proxy: Proxy, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--full"):
        pytest.skip("it takes most of a minute: --full")
    old_agents(postgres)
    proxy.black_hole(b"ADD COLUMN")
    began = time.monotonic()
    ended = command("upgrade", "--wait", "1", "--db-url", proxy.url(postgres.url))
    assert ended.code == 1, ended
    assert time.monotonic() - began < 2 * BOUND
