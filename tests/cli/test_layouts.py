"""plan --sql --layout: files that Flyway, Liquibase and dbmate read by their documented rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Result
from tests.conftest import Database
from tests.integration.tables import old_agents

Call = Callable[..., Result]
Migration = tuple[bool, list[str]]  # in a transaction?, its statements


def flyway(folder: Path) -> Iterator[Migration]:
    """Versioned scripts in the order of their versions, each with the settings of the .conf beside it."""
    found = {re.fullmatch(r"V(\d+)__[\w]+\.sql", file.name): file for file in folder.glob("*.sql")}
    assert None not in found
    for _, file in sorted((int(match[1]), file) for match, file in found.items() if match):
        conf = file.with_name(f"{file.name}.conf")
        settings = dict(line.split("=") for line in conf.read_text().splitlines()) if conf.exists() else {}
        yield settings.get("executeInTransaction") != "false", statements(file.read_text())


def liquibase(folder: Path) -> Iterator[Migration]:
    """Change sets in the order of the file; an attribute is name:value."""
    [file] = folder.glob("*.sql")
    text = file.read_text()
    assert text.startswith("--liquibase formatted sql\n")
    _, *changes = re.split(r"^--changeset ", text, flags=re.MULTILINE)
    ids = set()
    for change in changes:
        line, _, body = change.partition("\n")
        author, _, identity = line.split()[0].partition(":")
        attributes = dict(word.split(":") for word in line.split()[1:])
        assert author == "storage-admin"
        assert attributes["dbms"] in ("postgresql", "sqlite", "mysql,mariadb")
        assert "--rollback" not in body
        ids.add(identity)
        yield attributes.get("runInTransaction") != "false", statements(body)
    assert len(ids) == len(changes)


def dbmate(folder: Path) -> Iterator[Migration]:
    """Files in the order of their names; what stands between the two markers."""
    for file in sorted(folder.glob("*.sql")):
        assert re.fullmatch(r"\d{14}_\w+\.sql", file.name)
        up, body, down, nothing = re.split(r"^-- migrate:(\w+)", file.read_text(), flags=re.MULTILINE)[1:]
        options, _, sql = body.partition("\n")
        assert (up, down, statements(nothing)) == ("up", "down", [])
        yield options.strip() != "transaction:false", statements(sql)


def statements(text: str) -> list[str]:
    lines = "".join(f"{line}\n" for line in text.splitlines() if line and not line.startswith("--"))
    return [found for found in lines.split(";\n") if found]


READERS = {"flyway": flyway, "liquibase": liquibase, "dbmate": dbmate}
every_layout = pytest.mark.parametrize("layout", READERS)


@every_layout
def test_the_files_of_a_layout_bring_every_table_up_and_build_large_indexes_outside_a_transaction(
    call: Call, postgres: Database, tmp_path: Path, layout: str
) -> None:
    postgres.run("CREATE SCHEMA ai")
    large, small = old_agents(postgres), old_agents(postgres, "Small ones")
    postgres.run(
        f"INSERT INTO {large} (session_id, user_id) SELECT n::text, repeat('x', 900) FROM generate_series(1, 10000) n"
    )
    made = call("plan", "--sql", "--layout", layout, "--into", str(tmp_path), "--db-url", postgres.url)
    assert made.code == 0
    assert sorted(made.out.splitlines()) == sorted(path.name for path in tmp_path.iterdir())
    outside = 0
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        for within, sent in READERS[layout](tmp_path):
            assert within or len(sent) == 1
            outside += not within
            # More than one statement in a query is a transaction too, in which no index is built concurrently.
            connection.execute("; ".join(["BEGIN", *sent, "COMMIT"]) if within else sent[0])
    assert outside == 1
    assert call("check", "--db-url", postgres.url).code == 0
    assert small == "ai.Small ones"


@every_layout
@pytest.mark.parametrize("dialect", ["postgresql", "sqlite", "mysql"])
def test_no_database_is_needed_and_the_statements_are_those_of_plan_sql(
    call: Call, tmp_path: Path, layout: str, dialect: str
) -> None:
    ways = (
        "plan",
        "--sql",
        "--dialect",
        dialect,
        "--from",
        "4",
        "--to",
        "7",
        "sessions=agent",
        "others=agent,workflow",
    )
    script = call(*ways).out
    made = call(*ways, "--layout", layout, "--into", str(tmp_path))
    assert made.code == 0
    sent = [one for _, migration in READERS[layout](tmp_path) for one in migration]
    assert sent == [one for one in statements(script) if one not in ("BEGIN", "BEGIN IMMEDIATE", "COMMIT")]


def test_versions_go_on_from_those_that_the_folder_has(call: Call, tmp_path: Path) -> None:
    ways = ("plan", "--sql", "--dialect", "sqlite", "--into", str(tmp_path), "--layout")
    for name in ("V001__a.sql", "V009.2__b.sql", "R__view.sql"):
        (tmp_path / name).write_text("SELECT 1;\n")
    made = call(*ways, "flyway", "one=agent", "two=agent")
    assert made.out == "V010__storage_admin_one.sql\nV011__storage_admin_two.sql\n"
    again = call(*ways, "flyway", "two=agent", "three=agent")
    assert (again.code, "V011__storage_admin_two.sql holds some" in again.err) == (64, True)
    assert len(list(tmp_path.iterdir())) == 5
    for name in ("V001__a.sql", "V009.2__b.sql", *made.out.split()):
        (tmp_path / name).unlink()
    first, second = [call(*ways, "dbmate", table).out for table in ("one=agent", "two=agent")]
    assert first[:14].isdecimal()
    assert first[:14] < second[:14]


@pytest.mark.parametrize("name", ["a;b", "${user}", "x -- y", "a\nb", "/* x"])
def test_a_name_that_a_tool_would_read_as_its_own_is_refused(call: Call, tmp_path: Path, name: str) -> None:
    for layout in READERS:
        ways = ("--sql", "--dialect", "sqlite", "--layout", layout, "--into", str(tmp_path))
        refused = call("plan", *ways, "fine=agent", f'"{name}"=agent')
        assert (refused.code, "plan --sql" in refused.err) == (64, True)
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_database_is_no_placeholder_in_a_comment(call: Call, sqlite: Database, tmp_path: Path) -> None:
    sqlite.admin().upgrade(["sessions=agent"], to=4)
    Path(sqlite.dsn).rename(tmp_path / "${env}.db")
    (tmp_path / "into").mkdir()
    ways = ("plan", "--sql", "--layout", "flyway", "--into", "into", "--db-url", "sqlite:///${env}.db")
    [written] = call(*ways).out.splitlines()
    assert "{env}.db" in Path(written).read_text()
    assert "${" not in Path(written).read_text()  # Flyway asks for its value


def test_nothing_is_left_where_not_all_can_be_written(call: Call, tmp_path: Path) -> None:
    too_long = "x" * 300  # for the name of a file, not for that of a table
    for layout in ("flyway", "dbmate"):
        ways = ("--sql", "--dialect", "sqlite", "--layout", layout, "--into", str(tmp_path))
        made = call("plan", *ways, "fine=agent", f"{too_long}=agent")
        assert (made.code, made.out) == (1, "")
        assert "File name too long" in made.err
        assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_not_made_and_the_options_go_together(call: Call, tmp_path: Path) -> None:
    ways = ("plan", "--sql", "--dialect", "sqlite", "one=agent")
    missing = call(*ways, "--layout", "flyway", "--into", str(tmp_path / "nowhere"))
    assert (missing.code, "mkdir -p" in missing.err) == (64, True)
    for extra in (("--layout", "flyway"), ("--into", str(tmp_path))):
        assert call(*ways, *extra).code == 64
    assert call("plan", "--layout", "flyway", "--into", str(tmp_path), "--db-url", "sqlite:///x.db").code == 64
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_where_nothing_is_pending(call: Call, sqlite: Database, tmp_path: Path) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    into = tmp_path / "into"
    into.mkdir()
    made = call("plan", "--sql", "--layout", "dbmate", "--into", str(into), "--db-url", sqlite.url)
    assert (made.code, made.out, list(into.iterdir())) == (0, "", [])
    assert "No file was written." in made.err
