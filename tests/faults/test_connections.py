"""A server that cannot be reached, or not like this, or no longer: each its own message, and never the password."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg
import pytest

from storage_admin import Patience, Status, StorageAdmin, UpgradeFailed
from storage_admin.errors import CannotConnect
from tests.faults.builds import answers, held_up
from tests.faults.clients import command, until, upgrading
from tests.faults.proxy import Proxy
from tests.faults.tables import fingerprint, large_table, sound
from tests.integration.tables import old_agents
from tests.servers import Server, run_as

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database

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
    refused(f"{url}?sslmode=verify-full&sslrootcert=/nowhere", "SSL", "sslmode")


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Server]:
    """A server with a certificate that nobody knows, and that takes no connection without SSL."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=db.example", "-days", "2"]
    subprocess.run([openssl, *made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    with Server(hba="hostssl all all 127.0.0.1/32 trust\nhost all all all reject") as server:
        for file in (certificate, key):
            copy = server.datadir / file.name
            copy.write_bytes(file.read_bytes())
            copy.chmod(0o600)
            if os.getuid() == 0:
                shutil.chown(copy, run_as())
        server.stop()
        server.settings = ("ssl = on",)
        try:
            server.start()
        except RuntimeError:
            pytest.skip("this PostgreSQL was built without SSL")
        yield server


def test_ssl_of_all_sorts(encrypted: Server) -> None:
    url = encrypted.url(user=f"postgres:{PASSWORD}")
    refused(f"{url}?sslmode=disable", "pg_hba.conf")
    refused(f"{url}?sslmode=verify-full&sslrootcert=/nowhere", "root certificate file", "sslrootcert")
    root = f"sslrootcert={encrypted.datadir / 'server.crt'}"
    refused(f"{url}?sslmode=verify-full&{root}", "certificate", "does not match host name", "host name in the URL")
    assert "No session tables" in command("check", "--db-url", f"{url}?sslmode=require").err


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


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a server that is full again for half a second only."""
    monkeypatch.setattr("storage_admin.database.CONNECT_SECONDS", 0.5)


def taken(stack: ExitStack, database: Database, count: int) -> None:
    for _ in range(count):
        stack.enter_context(psycopg.connect(database.dsn))


@pytest.mark.parametrize("own", [FEW], indirect=True, ids=["five"])
@pytest.mark.usefixtures("hasty")
def test_a_server_that_is_full(own: tuple[Server, Database]) -> None:
    _, database = own
    table = old_agents(database)
    admin = StorageAdmin(database.url.replace("://postgres@", f"://postgres:{PASSWORD}@"))
    with ExitStack() as stack:
        taken(stack, database, 5)
        for call in (admin.check, admin.upgrade):
            with pytest.raises(
                CannotConnect, match="too many clients already. The server has no connection left"
            ) as no:
                call()
            assert no.value.exit_code == 1
            assert PASSWORD not in str(no.value)
    # A place that becomes free is taken, by an upgrade that was there before it.
    with ExitStack() as stack:
        taken(stack, database, 5)
        with upgrading("--db-url", database.url) as upgrader:
            threading.Timer(0.3, stack.close).start()
            ended = upgrader.end()
    assert ended.code == 0, ended
    sound(database, table)


@pytest.mark.parametrize("own", [FEW], indirect=True, ids=["five"])
@pytest.mark.usefixtures("hasty")
def test_a_server_that_has_no_second_connection_for_an_index_build(own: tuple[Server, Database]) -> None:
    _, database = own
    table = large_table(database)
    with ExitStack() as stack:
        taken(stack, database, 4)
        with pytest.raises(UpgradeFailed, match="too many clients") as failed:
            database.admin().upgrade(patience=Patience(wait_seconds=1))
    assert failed.value.exit_code in (1, 5)
    assert "left as it was" not in str(failed.value)  # the columns are there
    database.admin().upgrade()
    sound(database, table)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts_in_the_middle(own: tuple[Server, Database], mode: str) -> None:
    server, database = own
    table = large_table(database)
    rows = fingerprint(database, table)
    with held_up(database) as held:
        server.stop(mode)
        server.start()
        ended = held.upgrader.end()
    until(lambda: answers(database), "the server does not come back")
    current = database.admin().check([table]).status is Status.CURRENT
    assert (ended.code == 0) == current, ended
    if ended.code:
        assert ended.code == 1
        assert "storage-admin check" in ended.err
    assert command("upgrade", "--db-url", database.url).code == 0
    sound(database, table)
    assert fingerprint(database, table) == rows


def test_a_server_that_stops_and_does_not_come_back(own: tuple[Server, Database]) -> None:
    server, database = own
    table = large_table(database)
    with held_up(database, "--wait", "2") as held:
        server.stop("immediate")
        ended = held.upgrader.end()
    assert ended.code == 1, ended
    assert "storage-admin check" in ended.err
    assert "left as it was" not in ended.err
    server.start()
    assert command("upgrade", "--db-url", database.url).code == 0
    sound(database, table)
