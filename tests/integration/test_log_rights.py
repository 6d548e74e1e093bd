"""Whoever makes the log, the owner of the tables reads and writes it; who may not is told the GRANT, and by whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from storage_admin import StorageAdmin, UpgradeFailed
from storage_admin.doctor import Level
from storage_admin.errors import LogNotReadable
from storage_admin.history import REVISIONS
from tests.conftest import Database
from tests.integration.findings import found, role
from tests.integration.tables import old_agents

LOG = f"ai.{REVISIONS}"
OWNS = "GRANT USAGE, CREATE ON SCHEMA ai TO {0}"


@pytest.fixture
def roles(postgres: Database) -> Iterator[Callable[..., str]]:
    """Makes a role; gives its URL."""
    with ExitStack() as stack:

        def make(name: str, *statements: str) -> str:
            return stack.enter_context(role(postgres, name, *statements))

        yield make
        stack.close()


def owned(database: Database, owner: str, *names: str) -> None:
    for name in names:
        old_agents(database, name)
        database.run(f"ALTER TABLE ai.{name} OWNER TO {owner}")


def access(database: Database, name: str) -> set[str]:
    query = "SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p WHERE has_table_privilege(%s, %s, p)"
    return {privilege for (privilege,) in database.run(query, (name, LOG))}


def test_a_log_that_a_member_made_takes_the_revisions_of_the_owner(
    postgres: Database, roles: Callable[..., str]
) -> None:
    postgres.run("CREATE SCHEMA ai")
    roles("keeper", OWNS.format("keeper"))
    member = roles("member", "GRANT keeper TO member")
    owned(postgres, "keeper", "one", "two")
    StorageAdmin(member).upgrade(["ai.one"])
    assert postgres.run(f"SELECT tableowner FROM pg_tables WHERE tablename = '{REVISIONS}'") == [("member",)]
    assert access(postgres, "keeper") == {"SELECT", "INSERT", "UPDATE"}
    as_owner = StorageAdmin(member, role="keeper")
    assert as_owner.upgrade().notes == ()
    assert [str(revision.table) for revision in as_owner.history()] == ["ai.one", "ai.two"]
    postgres.run(f"UPDATE {LOG} SET to_version = 999")
    with pytest.raises(UpgradeFailed) as ahead:
        as_owner.upgrade()
    assert ahead.value.exit_code == 4


def test_each_owner_of_tables_in_a_schema_gets_the_right_to_its_log(
    postgres: Database, roles: Callable[..., str]
) -> None:
    postgres.run("CREATE SCHEMA ai")
    for name in ("first", "second", "third"):
        roles(name, OWNS.format(name))
    member = roles("member", "GRANT first, second, third TO member")
    for number, owner in enumerate(("first", "second", "third")):
        owned(postgres, owner, f"t{number}")
    StorageAdmin(member).upgrade(["ai.t0", "ai.t1"])
    assert [len(access(postgres, owner)) for owner in ("first", "second", "third")] == [3, 3, 0]
    StorageAdmin(member).upgrade()  # the log is there, and made by us
    assert len(access(postgres, "third")) == 3


def test_the_owner_needs_no_grant_and_an_application_gets_none(postgres: Database, roles: Callable[..., str]) -> None:
    postgres.run("CREATE SCHEMA ai")
    keeper = roles("keeper", OWNS.format("keeper"))
    roles("app", "GRANT USAGE ON SCHEMA ai TO app")
    owned(postgres, "keeper", "one")
    StorageAdmin(keeper).upgrade()
    assert postgres.run("SELECT relacl FROM pg_class WHERE relname = %s", (REVISIONS,)) == [(None,)]
    assert access(postgres, "app") == set()


def test_who_may_not_use_the_log_of_somebody_else_is_told_the_grant_and_it_helps(
    postgres: Database, roles: Callable[..., str]
) -> None:
    postgres.run("CREATE SCHEMA ai")
    keeper = roles("keeper", OWNS.format("keeper"))
    owned(postgres, "keeper", "one", "two")
    postgres.admin().upgrade(["ai.one"])
    postgres.run(f"REVOKE ALL ON {LOG} FROM keeper")  # as a release left it that granted nothing
    admin = StorageAdmin(keeper)
    report = admin.upgrade()
    grant = f"GRANT SELECT, INSERT, UPDATE ON {LOG} TO keeper"
    told = f"; to have them recorded, let postgres run: {grant}"
    assert [note.partition(";")[0] if " by " in note else note for note in report.notes] == [
        f"{LOG} cannot be read by keeper",
        f"1 not recorded in {REVISIONS}: permission denied for table {REVISIONS}{told}",
    ]
    assert f"let postgres run: {grant}" in report.notes[0]
    with pytest.raises(LogNotReadable, match=re.escape(f"Let postgres run: {grant}")):
        admin.history()
    [finding] = found(postgres, "log", url=keeper)
    assert (finding.level, finding.advice) == (Level.WARNING, f"Let postgres run: {grant}")
    assert found(postgres, "outdated-tables", url=keeper) == []
    postgres.run(grant)
    assert found(postgres, "log", url=keeper) == []
    assert admin.check().notes == ()
    assert len(admin.history()) == 1


def test_an_application_that_may_not_read_the_log_is_told_to_ask_for_no_more(
    postgres: Database, roles: Callable[..., str]
) -> None:
    postgres.admin().upgrade(["ai.one=agent"])
    app = roles("app", "GRANT USAGE ON SCHEMA ai TO app")
    [note] = StorageAdmin(app).check().notes
    assert note.endswith(f"let postgres run: GRANT SELECT ON {LOG} TO app")
    [finding] = found(postgres, "log", url=app)
    assert (finding.level, finding.objects) == (Level.NOTE, (LOG,))
    postgres.run(f"GRANT SELECT ON {LOG} TO app")
    assert StorageAdmin(app).check().notes == ()
    assert found(postgres, "log", url=app) == []


def test_a_log_that_can_be_read_counts_beside_one_that_cannot(postgres: Database, roles: Callable[..., str]) -> None:
    postgres.admin().upgrade(["ai.one=agent", "other.two=agent"])
    postgres.run(f"UPDATE other.{REVISIONS} SET to_version = 999")
    app = roles("app", "GRANT USAGE ON SCHEMA ai, other TO app", f"GRANT SELECT ON other.{REVISIONS} TO app")
    survey = StorageAdmin(app).check()
    assert [plan.status.value for plan in survey.plans] == ["current", "ahead"]
    assert len(survey.notes) == 1
