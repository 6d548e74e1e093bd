"""A standby, and a session that may only read, are recognised before anything is sent to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from storage_admin import SchemaOutdated, Status
from storage_admin.dialects import DIALECTS
from storage_admin.errors import ReadOnlyServer
from tests.conftest import Database
from tests.faults.clients import command
from tests.faults.standby import caught_up, replicated
from tests.integration.tables import logged_statements, old_agents
from tests.storage.sessions import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

LOGGED = ("log_statement = 'all'", "log_line_prefix = '%d|'", "log_min_error_statement = panic")


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Server, Server]]:
    with replicated(*LOGGED) as servers:
        yield servers


def database(server: Server, name: str) -> Database:
    return Database(DIALECTS["postgresql"], server.url(name), server.dsn(name))


def test_a_standby_is_refused_before_anything_is_sent(pair: tuple[Server, Server]) -> None:
    primary, standby = pair
    primary.create("upgraded")
    table = old_agents(database(primary, "upgraded"))
    caught_up(primary, standby)
    copy = database(standby, "upgraded")
    assert command("check", "--db-url", copy.url).code == 2  # looking is allowed
    ended = command("upgrade", "--db-url", copy.url)
    assert ended.code == 1
    for words in ("hot standby", "Nothing was sent", "target_session_attrs=read-write"):
        assert words in ended.err
    assert "ERROR:" not in standby.log()
    sent = {
        re.split(r"\W", statement.strip(), maxsplit=1)[0].upper()
        for statement in logged_statements(standby, "upgraded")
    }
    assert sent <= {"SELECT", "SHOW"}
    hosts = f"host={standby.host}:{standby.port}&host={primary.host}:{primary.port}"
    either = f"postgresql://postgres@/upgraded?{hosts}&target_session_attrs=read-write"
    ended = command("upgrade", "--db-url", either)
    assert ended.code == 0, ended
    assert database(primary, "upgraded").admin().check([table]).status is Status.CURRENT


def test_a_current_table_on_a_standby_is_read_and_nothing_is_refused(pair: tuple[Server, Server]) -> None:
    primary, standby = pair
    primary.create("current")
    source = database(primary, "current")
    source.storage(mode="agent", auto_upgrade_schema=True).upsert(session())
    source.close()
    caught_up(primary, standby)
    copy = database(standby, "current")
    assert command("upgrade", "--db-url", copy.url).code == 0
    storage = copy.storage(mode="agent", auto_upgrade_schema=True)
    read = storage.read("s1")
    copy.close()
    assert read.session_id == "s1"
    assert "ERROR:" not in standby.log()


def test_an_outdated_table_on_a_standby_stops_a_storage_with_the_reason(pair: tuple[Server, Server]) -> None:
    primary, standby = pair
    primary.create("outdated")
    old_agents(database(primary, "outdated"))
    caught_up(primary, standby)
    copy = database(standby, "outdated")
    with pytest.raises(ReadOnlyServer, match="hot standby"):
        copy.storage(mode="agent", auto_upgrade_schema=True)
    with pytest.raises(SchemaOutdated):
        copy.storage(mode="agent").read("s1")
    copy.close()
    assert "ERROR:" not in standby.log()


def test_a_role_whose_sessions_are_read_only_is_refused_before_anything_is_sent(
    postgres: Database, postgresql_proc: Server
) -> None:
    old_agents(postgres)
    name = postgres.url.rpartition("/")[2]
    postgres.run(
        f"ALTER DATABASE {name} SET default_transaction_read_only = on; ALTER DATABASE {name} SET log_statement = 'all'"
    )
    ended = command("upgrade", "--db-url", postgres.url)
    assert ended.code == 1
    for words in ("read-only", "default_transaction_read_only", "Nothing was sent"):
        assert words in ended.err
    sent = {statement.split(maxsplit=1)[0].upper() for statement in logged_statements(postgresql_proc, name)}
    assert sent <= {"SELECT", "SHOW"}
