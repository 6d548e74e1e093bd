"""No password and nothing that a session holds is in any output, whatever goes wrong, at the highest verbosity."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from alembic import command as alembic_commands
from alembic.config import Config

from storage_admin import Patience, StorageAdminError
from storage_admin.cli import cli, run
from storage_admin.cli.talk import voice
from storage_admin.storage.sessions import session_class
from tests.faults.clients import Ended
from tests.integration.tables import old_agents
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Database

    Silent = Callable[..., Ended]

CANARY = "canary7f3e9"  # a word, so that it is found in any quoting
PASSWORD = f"{CANARY}-p4ss"
ESCAPED = f"{CANARY}%2Fp%40ss%3A"  # canary/p@ss: as it must be written in a URL
HOLDING = (
    f"INSERT INTO {{}} (session_id, user_id, memory, session_data) VALUES ('{CANARY}-id', '{CANARY}-user', "
    f'\'{{{{"runs": ["{CANARY}"]}}}}\', \'{{{{"{CANARY}": 1}}}}\')'
)
# What can be asked of a database, and the arguments of some. New commands come in by themselves.
NEEDED = {"plan": [[], ["--sql"]], "history": [[], ["ai.sessions"]], "upgrade": [["--wait", "1"], ["--dry-run"]]}
NEEDED |= {"check": [[], ["-o", "github"], ["-o", "sarif"]]}
NEEDED |= {"report": [["-"], ["-", "-o", "json"]]}
NEEDED |= {"wait": [["--timeout", "0"]], "repair": [["--wait", "1"], ["--dry-run"]]}
NEEDED |= {"revision": [["--alembic", "migrations"]]}
WITHOUT_DATABASE = {"versions", "demo", "completion"}
COMMANDS = [
    [name, *arguments]
    for name in sorted(cli.commands)
    if name not in WITHOUT_DATABASE and not hasattr(cli.commands[name], "commands")
    for arguments in NEEDED.get(name, [[]])
]
# What is there to show content is asked for what is not there.
SESSIONS = {
    "copy": ["--to", "sqlite:///copy.db", "--on-conflict", "replace"],  # a row that is made a second later differs
    "delete": ["nobody", "--yes"],
    "export": ["--to", "out.jsonl", "--force"],
    "import": ["in.jsonl"],
    "list": ["--user", "nobody"],
    "prune": ["--older-than", "1h", "--yes"],
    "rename": ["nobody", "x"],
    "restore": ["in.jsonl"],
    "show": ["nobody"],
    "stats": ["--user", "nobody"],
}
COMMANDS += [["sessions", name, *SESSIONS.get(name, [])] for name in sorted(cli.commands["sessions"].commands)]  # type: ignore[attr-defined]
# One session that goes in, one that PostgreSQL cannot hold, and one that is no JSON.
FILE = f"""\
{{"storage_admin": 1, "table": {{"schema": "ai", "name": "sessions"}}, "kinds": ["agent"], "version": 10,\
 "dialect": "sqlite", "columns": {{"session_id": "text", "memory": "json"}}}}
{{"session_id": "in", "memory": {{"{CANARY}": 1}}}}
{{"session_id": "out", "memory": {{"{CANARY}": "\\u0000"}}}}
{{"session_id": "{CANARY}
"""
every_command = pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)


@pytest.fixture
def silent(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Silent:
    """Run a command as talkative as can be; neither what it says nor what it logs holds a canary."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    Path("in.jsonl").write_text(FILE)
    alembic = Config("alembic.ini")
    alembic.set_main_option("script_location", "migrations")
    alembic_commands.init(alembic, "migrations")
    caplog.set_level(logging.DEBUG)

    def run_it(*arguments: str, **environment: str) -> Ended:
        voice.urls.clear()
        with monkeypatch.context() as changed:
            for name, value in environment.items():
                changed.setenv(name, value)
            code = run([*arguments, *([] if "_STORAGE_ADMIN_COMPLETE" in environment else ["--debug"])])
        ended = Ended(code, *capfd.readouterr())
        assert CANARY not in ended.out, ended.out
        assert CANARY not in ended.err, ended.err
        assert CANARY not in caplog.text, caplog.text
        for file in (Path("storage-admin.lock"), Path("summary.md")):
            assert not file.exists() or CANARY not in file.read_text(), file
        return ended

    return run_it


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    hba = "host all ada 127.0.0.1/32 scram-sha-256"
    with Server("password_encryption = 'scram-sha-256'", hba=hba) as server:
        server.run(f"CREATE ROLE ada LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
        yield server


def urls(server: Server, database: str) -> dict[str, str]:
    at = f"{server.host}:{server.port}/{database}"
    return {
        "right": f"postgresql://ada:{PASSWORD}@{at}",
        "right in the query": f"postgresql://ada@{at}?password={PASSWORD}",
        "wrong": f"postgresql://ada:{ESCAPED}@{at}",
        "wrong in the query": f"postgresql://ada@{at}?password={ESCAPED}&sslpassword={PASSWORD}",
        "not well-formed": f"postgresql://ada:{CANARY}@x/@{at}",
        "no such host": f"postgresql://ada:{PASSWORD}@no-such-host.invalid/{database}",
        "nobody listens": f"postgresql://ada:{PASSWORD}@{server.host}:1/{database}",
        "no such database": f"postgresql://ada:{PASSWORD}@{at}_not",
        "no ssl": f"postgresql://ada:{PASSWORD}@{at}?sslmode=require",
        "an unknown parameter": f"postgresql://ada:{PASSWORD}@{at}?nonsense=1&password={PASSWORD}",
        "another product": f"oracle://ada:{PASSWORD}@{at}",
        "another driver": f"postgresql+pg8000://ada:{PASSWORD}@{at}",
    }


PLACES = [name for name in urls(Server(), "x") if not name.startswith("right")]


@every_command
def test_no_password_of_a_command_that_works(silent: Silent, guarded: Server, arguments: list[str]) -> None:
    name = f"works_{abs(hash(tuple(arguments)))}"
    guarded.create(name)
    for place in ("right", "right in the query"):
        url = urls(guarded, name)[place]
        assert silent("upgrade", "ai.sessions=agent", "--db-url", url).code == 0
        guarded.run(HOLDING.format("ai.sessions"), name)
        ended = silent(*arguments, "--db-url", url)
        assert "Usage:" not in ended.err
        if arguments[0] in ("plan", "history", "inspect", "check", "upgrade", "doctor", "wait", "repair", "report"):
            assert ended.code == 0, ended
        if "--sql" not in arguments:
            silent(*arguments, "-o", "json", STORAGE_ADMIN_DB_URL=url)
        guarded.run("DROP SCHEMA ai CASCADE", name)
        Path("copy.db").unlink(missing_ok=True)  # the next row was created at another second


@pytest.mark.parametrize("place", PLACES)
def test_no_password_of_a_command_that_does_not_get_in(silent: Silent, guarded: Server, place: str) -> None:
    for name in ("upgrade", "check"):
        ended = silent(name, DATABASE_URL=urls(guarded, "postgres")[place])
        assert ended.code in (1, 64), ended


@every_command
def test_no_password_of_any_command_that_is_refused(silent: Silent, guarded: Server, arguments: list[str]) -> None:
    ended = silent(*arguments, "--db-url", urls(guarded, "postgres")["wrong in the query"])
    assert ended.code != 0
    assert "authentication failed" in (ended.out if arguments == ["doctor"] else ended.err)  # that is what it found


def test_no_password_of_a_file_of_settings(silent: Silent, guarded: Server) -> None:
    settings = Path("storage-admin.toml")
    settings.write_text(f'db-url = "{urls(guarded, "postgres")["wrong"]}"\n')
    assert "authentication failed" in silent("check").err
    settings.write_text(f'db-url = "postgresql://ada:{PASSWORD}@h/d\npassword = {CANARY}\n')
    assert silent("check").code == 64


FILES = {
    "a variable": ("db-url = 'postgresql://ada:${SA_TEST_SECRET}@{at}'", f"{CANARY}/p@ss:"),
    "a wrong variable's name": ("db-url = 'postgresql://ada:{password}@${SA_TEST_TYPO}/{at}'", ""),
    "a default": ("db-url = 'postgresql://ada:${SA_TEST_TYPO:-{password}}@{at}'", ""),
    "a broken variable": ("db-url = 'postgresql://ada:{password}${@{at}'", ""),
    "a typo in a key": ("db_url = 'postgresql://ada:{password}@{at}'", ""),
    "a wrong type": ("db-url = ['postgresql://ada:{password}@{at}']", ""),
    "a target": ("[targets.prod]\ndb-url = 'postgresql://ada:${SA_TEST_SECRET}@{at}'\nrole = 'nobody'", PASSWORD),
    "an unclosed text": ("db-url = 'postgresql://ada:{password}@{at}\n", ""),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("talk", [["-vv"], ["--log-format", "json", "-vv"]], ids=["text", "json"])
def test_no_password_of_a_file_that_counts(silent: Silent, guarded: Server, file: str, talk: list[str]) -> None:
    text, secret = FILES[file]
    text = text.replace("{password}", PASSWORD).replace("{at}", f"{guarded.host}:{guarded.port}/postgres")
    Path("storage-admin.toml").write_text(text)
    for arguments in (["check"], ["upgrade", "ai.x=agent", "--dry-run"]):
        for several in ([], ["--all-targets"], ["-o", "json", "--all-targets"]):
            ended = silent(*arguments, *several, *talk, SA_TEST_SECRET=secret)
            assert ended.code != 0 or file in ("a target", "a default"), ended  # whose password is the right one


def test_no_password_in_what_is_written_or_offered(silent: Silent, guarded: Server) -> None:
    guarded.create("written")
    for place in ("right", "right in the query"):
        url = urls(guarded, "written")[place]
        assert silent("init", "--force", "-vv", DATABASE_URL=url).code == 0
        assert CANARY not in Path("storage-admin.toml").read_text()
    for name in PLACES:
        words = {"COMP_WORDS": "storage-admin\nupgrade\n", "COMP_CWORD": "2"}
        url = urls(guarded, "written")[name]
        ended = silent("upgrade", _STORAGE_ADMIN_COMPLETE="bash_complete", DATABASE_URL=url, **words)
        assert (ended.out + ended.err).strip() == "", name


# --- what a session holds ----------------------------------------------------------------------------------


@every_command
def test_no_content_of_a_table_that_is_looked_at(silent: Silent, postgres: Database, arguments: list[str]) -> None:
    table = old_agents(postgres)
    postgres.run(HOLDING.format(table))
    postgres.run("CREATE TABLE ai.two (LIKE ai.sessions INCLUDING ALL)")
    postgres.run(HOLDING.format("ai.two"))
    ended = silent(*arguments, "--db-url", postgres.url)
    assert "Usage:" not in ended.err


FAILURES = {
    # a row that cannot be indexed is told by PostgreSQL with its content
    "a row that is too long for an index": (
        "DROP INDEX IF EXISTS ai.idx_sessions_user_id, ai.ix_ai_sessions_user_id; UPDATE ai.sessions SET user_id = "
        f"(SELECT string_agg('{CANARY}' || md5(n::text), '') FROM generate_series(1, 500) n)"
    ),
    "a trigger that tells": (
        "CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' "
        f"USING DETAIL = 'Failing row contains ({CANARY})', HINT = 'see above'; END $$;"
        "CREATE EVENT TRIGGER tell ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION tell()"
    ),
    "a log with other columns": (
        f"CREATE TABLE ai.storage_admin_revisions (content text DEFAULT '{CANARY}', n int NOT NULL)"
    ),
    "a duplicate key": (
        f"INSERT INTO ai.sessions (session_id) VALUES ('{CANARY}2'); ALTER TABLE ai.sessions "
        "DROP CONSTRAINT sessions_pkey; UPDATE ai.sessions SET session_id = 'x'"
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_no_content_in_what_is_said_of_a_failure(silent: Silent, postgres: Database, failure: str) -> None:
    table = old_agents(postgres)
    postgres.run(HOLDING.format(table))
    postgres.run(FAILURES[failure])
    ended = silent("upgrade", "ai.sessions=agent", "--wait", "1", "--db-url", postgres.url)
    assert ended.code != 0 or "not recorded" in ended.err, ended
    for name in ("check", "plan", "inspect", "history"):
        silent(name, "--db-url", postgres.url)


QUERIES = [
    f"SELECT * FROM ai.sessions WHERE session_id = '{CANARY}'",
    f"SELECT * FROM ai.sessions WHERE session_id = $tag${CANARY}$tag$",
    f"SELECT * FROM ai.sessions WHERE session_id = U&'{CANARY}'",
    f"SELECT * FROM ai.sessions WHERE session_id = E'\\'{CANARY}'",
    f"/* {CANARY} */ SELECT * FROM ai.sessions",
    f"-- {CANARY}\nSELECT * FROM ai.sessions",
]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_no_content_of_the_query_that_is_in_the_way(silent: Silent, postgres: Database, query: str) -> None:
    old_agents(postgres)
    with psycopg.connect(postgres.dsn) as reader:
        reader.execute(query)
        ended = silent("upgrade", "--wait", "0.1", "--lock-timeout", "20", "--db-url", postgres.url)
        assert ended.code == 5
        assert f"pid {reader.info.backend_pid}" in ended.err, ended


def test_no_content_in_errors_and_logs_of_a_storage(postgres: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    cls = session_class("agent")
    postgres.storage(mode="agent").create()
    postgres.run("ALTER TABLE ai.sessions ADD CONSTRAINT short CHECK (length(user_id) < 5)")
    storage = postgres.storage(mode="agent")
    held = {"session_id": f"{CANARY}-id", "memory": {"runs": [CANARY]}}
    said = []
    for session in (cls(user_id=f"{CANARY}-user", **held), cls(user_id="\x00" + CANARY, **held)):
        with pytest.raises(StorageAdminError) as failed:
            storage.upsert(session)
        said.append(f"{failed.value} {failed.value!r}")
    postgres.run("DROP TABLE ai.storage_admin_revisions; DROP TABLE ai.sessions")
    table = old_agents(postgres)
    postgres.run(HOLDING.format(table))
    options: dict[str, Any] = {
        "db_engine": postgres.engine(),
        "patience": Patience(20, 0.1),
    }
    with psycopg.connect(postgres.dsn) as reader:
        reader.execute(f"SELECT * FROM {table} WHERE user_id = '{CANARY}'")
        with pytest.raises(StorageAdminError) as failed:
            postgres.storage(db_url=None, mode="agent", auto_upgrade_schema=True, **options)
    said.append(str(failed.value))
    # The id of a session is what its caller named, and is said to tell which one it was; nothing else is.
    assert CANARY not in " ".join(said).replace(f"{CANARY}-id", "")
    assert CANARY not in caplog.text.replace(f"{CANARY}-id", "")
