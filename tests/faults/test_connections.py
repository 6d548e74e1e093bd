"""A server that cannot be reached, or not like this, or not any longer: each its own message, and never the password."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg
import pytest

from storage_admin import Status
from tests.faults.clients import command, until, upgrading
from tests.faults.proxy import Proxy
from tests.faults.tables import BUILDING, fingerprint, large_table, sound
from tests.faults.test_killed_backends import answers, old_snapshot
from tests.integration.tables import old_agents
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.faults.conftest import Scale

PASSWORD = "CANARY-p4ss"
COMMANDS = ("check", "upgrade")
FEW = ("max_connections = 5", "superuser_reserved_connections = 0", "max_wal_senders = 0")


def refused(url: str, *words: str) -> None:
    for name in COMMANDS:
        ended = command(name, "--db-url", url)
        assert ended.code == 1, ended
        for word in words:
            assert word in ended.err, (word, ended.err)
        assert PASSWORD not in ended.out + ended.err
        assert "Traceback" not in ended.err


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server that asks one role for a password, and lets another one in from elsewhere only."""
    hba = "host all ada 127.0.0.1/32 scram-sha-256\nhost all stranger 192.0.2.1/32 trust\nhost all stranger all reject"
    with Server("password_encryption = 'scram-sha-256'", hba=hba) as server:
        server.run("CREATE ROLE ada LOGIN PASSWORD 'sesame'")
        server.run("CREATE ROLE stranger LOGIN")
        yield server


def test_a_wrong_password(guarded: Server) -> None:
    url = guarded.url(user=f"ada:{PASSWORD}")
    refused(url, "password authentication failed", "Check user and password")
    refused(f"{guarded.url(user='ada')}?password={PASSWORD}", "password authentication failed", "Check user and")


def test_no_password(guarded: Server) -> None:
    refused(guarded.url(user="ada"), "no password supplied", "PGPASSWORD")


def test_a_right_password(guarded: Server) -> None:
    ended = command("upgrade", "ai.sessions=agent", "--db-url", guarded.url(user="ada:sesame"))
    assert "password" not in ended.err  # ada may not create a schema; that is another matter


def test_a_host_that_may_not_come_in(guarded: Server) -> None:
    refused(guarded.url(user=f"stranger:{PASSWORD}"), "pg_hba.conf", "line in pg_hba.conf")


def test_ssl_is_required_of_a_server_that_has_none(postgres: Database) -> None:
    url = postgres.url.replace("://postgres@", f"://postgres:{PASSWORD}@")
    refused(f"{url}?sslmode=require", "SSL", "sslmode")


def test_a_certificate_is_to_be_verified_and_there_is_none(postgres: Database) -> None:
    url = postgres.url.replace("://postgres@", f"://postgres:{PASSWORD}@")
    refused(f"{url}?sslmode=verify-full&sslrootcert=/nowhere", "root certificate file", "sslrootcert")


def test_a_host_that_does_not_exist() -> None:
    refused(f"postgresql://ada:{PASSWORD}@no-such-host.invalid/db", "name of the host")


def test_nobody_listens() -> None:
    with Proxy("127.0.0.1", 1) as gone:
        port = gone.port
    refused(f"postgresql://ada:{PASSWORD}@127.0.0.1:{port}/db", "onnection refused", "server is running")


def test_somebody_listens_who_never_answers(postgres: Database, proxy: Proxy) -> None:
    proxy.dead = True
    url = proxy.url(postgres.url).replace("://postgres@", f"://postgres:{PASSWORD}@")
    refused(f"{url}?connect_timeout=2", "timeout", "firewall")


@pytest.mark.parametrize("own", [FEW], indirect=True, ids=["five"])
def test_a_server_that_is_full(own: tuple[Server, Database]) -> None:
    _, database = own
    table = old_agents(database)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(psycopg.connect(database.dsn))
        refused(
            database.url.replace("://postgres@", f"://postgres:{PASSWORD}@"), "too many clients", "no connection left"
        )
    # A place that becomes free is taken, by an upgrade that was there before it.
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(psycopg.connect(database.dsn))
        with upgrading("--db-url", database.url) as upgrader:
            threading.Timer(0.3, stack.close).start()
            ended = upgrader.end()
    assert ended.code == 0, ended
    sound(database, table)


@pytest.mark.parametrize("own", [FEW], indirect=True, ids=["five"])
def test_the_last_connection_is_taken_when_an_index_needs_a_second_one(
    own: tuple[Server, Database], scale: Scale
) -> None:
    _, database = own
    table = large_table(database, scale.rows)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(psycopg.connect(database.dsn))
        ended = command("upgrade", "--wait", "2", "--db-url", database.url)
        assert ended.code in (1, 5), ended
        assert "too many clients" in ended.err
        assert "left as it was" not in ended.err  # the columns are there
    assert command("upgrade", "--db-url", database.url).code == 0
    sound(database, table)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts_in_the_middle(own: tuple[Server, Database], scale: Scale, mode: str) -> None:
    server, database = own
    table = large_table(database, scale.rows)
    rows = fingerprint(database, table)
    with upgrading("--db-url", database.url) as upgrader:
        with ExitStack() as stack:
            stack.enter_context(old_snapshot(database))
            until(lambda: database.run(BUILDING), "no index is being built")
            server.stop(mode)
            try:
                stack.close()
            except psycopg.OperationalError:
                pass  # its line was cut as well
        server.start()
        ended = upgrader.end()
    until(lambda: answers(database), "the server does not come back")
    current = database.admin().check([table]).status is Status.CURRENT
    assert (ended.code == 0) == current, ended
    if ended.code:
        assert ended.code == 1
        assert "storage-admin check" in ended.err
    assert command("upgrade", "--db-url", database.url).code == 0
    sound(database, table)
    assert fingerprint(database, table) == rows


def test_a_server_that_stops_and_does_not_come_back(own: tuple[Server, Database], scale: Scale) -> None:
    server, database = own
    table = large_table(database, scale.rows)
    with upgrading("--wait", "2", "--db-url", database.url) as upgrader, ExitStack() as stack:
        stack.enter_context(old_snapshot(database))
        until(lambda: database.run(BUILDING), "no index is being built")
        server.stop("immediate")
        ended = upgrader.end()
        try:
            stack.close()
        except psycopg.OperationalError:
            pass  # its line was cut as well
    assert ended.code == 1, ended
    assert "storage-admin check" in ended.err
    assert "left as it was" not in ended.err
    server.start()
    assert command("upgrade", "--db-url", database.url).code == 0
    sound(database, table)
