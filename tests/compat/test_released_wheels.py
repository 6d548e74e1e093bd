"""Old and new code side by side on one table, as during a rolling deployment, with the wheels that were released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage_admin import Status
from storage_admin.catalog import Catalog
from tests.compat.wheels import NEWEST, RELEASES, run_client
from tests.conftest import Database
from tests.oracle import differences

ONE_CLASS = RELEASES[RELEASES.index("agno==1.1.11") :]
HEAD_OF_AGNO_1_8_4 = 10

DATA = {"words": ["Grüße", "naïve ☃ 𝒳", "quote \"\\'"], "number": 12345678901234567, "nested": {"a": [1.5, None, True]}}


def sessions(prefix: str, count: int = 2) -> list[dict[str, Any]]:
    return [{"session_id": f"{prefix}{n}", "entity": f"entity-{n}", "data": {**DATA, "n": n}} for n in range(count)]


def jobs(release: str, databases: list[Database], kinds: list[str]) -> list[dict[str, Any]]:
    """Every kind on every database; where a mode can be switched, a table made that way too."""
    return [
        {
            "backend": database.dialect.name,
            "url": database.dsn if database.dialect.name == "sqlite" else database.url.replace("://", "+psycopg://"),
            "kind": kind,
            "switched": switched,
            "table": f"{kind}_{'switched' if switched else 'direct'}",
        }
        for database in databases
        for kind in kinds
        for switched in ([False, True] if release in ONE_CLASS and kind != "agent" else [False])
    ]


def cannot_write(release: str, job: dict[str, Any]) -> bool:
    # PostgresStorage of 1.7.4 to 1.7.6 names columns that the table it made does not have.
    return job["kind"] == "workflow_v2" and job["backend"] == "postgresql" and release in ("agno==1.7.4", "agno==1.7.6")


@pytest.mark.parametrize("release", RELEASES)
def test_after_the_upgrade_the_old_release_and_agno_1_8_4_read_and_write_the_same_sessions(
    release: str, postgres: Database, sqlite: Database, tmp_path: Path
) -> None:
    databases = [postgres, sqlite]
    [kinds] = run_client(release, [{"do": "kinds"}], tmp_path)
    work = jobs(release, databases, kinds)

    old = [
        {**job, "do": "create" if cannot_write(release, job) else "write", "sessions": sessions("old")} for job in work
    ]
    run_client(release, old, tmp_path)
    for database in databases:
        named = [f"{table(database, job)}={job['kind']}" for job in work if job["backend"] == database.dialect.name]
        database.admin().upgrade(named)
        assert database.admin().check(named).status is Status.CURRENT

    names = [f"old{n}" for n in range(2)]
    ids = {"sessions": names}
    read = run_client(NEWEST, [{**job, "do": "read", **ids} for job in work], tmp_path)
    for job, found in zip(work, read, strict=True):
        expected = [None, None] if cannot_write(release, job) else [wanted(job["kind"], s) for s in sessions("old")]
        assert list(found.values()) == expected, job

    fresh = [{**job, "do": "write", "sessions": sessions("new")} for job in work]
    run_client(NEWEST, fresh, tmp_path)
    readable = [job for job in work if not cannot_write(release, job)]
    again = run_client(
        release,
        [{**job, "do": "read", "sessions": [*names, "new0", "new1"]} for job in readable]
        + [{**job, "do": "write", "sessions": sessions("late")} for job in readable],
        tmp_path,
    )
    for job, found in zip(readable, again[: len(readable)], strict=True):
        assert list(found.values()) == [wanted(job["kind"], s) for s in (*sessions("old"), *sessions("new"))], job
    late = run_client(NEWEST, [{**job, "do": "read", "sessions": ["late0", "late1"]} for job in readable], tmp_path)
    for job, found in zip(readable, late, strict=True):
        assert list(found.values()) == [wanted(job["kind"], s) for s in sessions("late")], job


def table(database: Database, job: dict[str, Any]) -> str:
    return database.table(job["table"])


def wanted(kind: str, session: dict[str, Any]) -> dict[str, Any]:
    """What a client tells of a session that is stored in full."""
    entity = "workflow" if kind == "workflow_v2" else kind
    told = {
        "session_id": session["session_id"],
        "user_id": "ada",
        "session_data": session["data"],
        f"{entity}_id": session["entity"],
        f"{entity}_data": session["data"],
    }
    return told | ({"runs": ["Grüße"]} if kind == "workflow_v2" else {"memory": {"runs": [session["data"]]}})


def test_a_table_that_we_create_equals_the_one_that_agno_1_8_4_creates(
    postgres: Database, sqlite: Database, tmp_path: Path, catalog: Catalog
) -> None:
    kinds = ["agent", "team", "workflow", "workflow_v2"]
    work = [job for job in jobs(NEWEST, [postgres, sqlite], kinds) if not job["switched"]]
    run_client(NEWEST, [{**job, "do": "create"} for job in work], tmp_path)
    for database in (postgres, sqlite):
        theirs = {kind: described(database, f"{kind}_direct") for kind in kinds}
        assert all(theirs.values())
        if database.dialect.has_schemas:
            database.run("DROP SCHEMA ai CASCADE")
        else:
            database.run("".join(f"DROP TABLE {kind}_direct;" for kind in kinds))
        database.admin().upgrade([f"{kind}_direct={kind}" for kind in kinds], to=HEAD_OF_AGNO_1_8_4)
        assert {kind: described(database, f"{kind}_direct") for kind in kinds} == theirs
        schema = "ai" if database.dialect.has_schemas else None
        for kind in kinds:
            assert differences(database.url, catalog, (kind,), schema, f"{kind}_direct", HEAD_OF_AGNO_1_8_4) == []


def described(database: Database, name: str) -> list[tuple[Any, ...]]:
    """Columns with type, NULL and default, and index definitions with their names, in an order of their own."""
    if database.dialect.has_schemas:
        columns = database.run(
            "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns "
            "WHERE table_schema = 'ai' AND table_name = %s",
            (name,),
        )
        indexes = database.run("SELECT indexdef FROM pg_indexes WHERE schemaname = 'ai' AND tablename = %s", (name,))
    else:
        columns = database.run('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (name,))
        indexes = database.run("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", (name,))
    return sorted(columns, key=str) + sorted(indexes, key=str)
