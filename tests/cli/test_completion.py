"""What the tab key offers, asked in the shells themselves where they are installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.conftest import Database

Call = Callable[..., Result]
BIN = Path(sys.executable).parent
# What a shell sends: the words, and which of them is being typed.
CONNECTING = 10  # seconds, that a connection is waited for by any other command
BASH = """
source <(storage-admin completion bash)
COMP_WORDS=({words}) COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_storage_admin_completion storage-admin 2>&1
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = "storage-admin completion fish | source; complete --do-complete '{words}'"


def offered(words: str, shell: str = "bash", **environment: str) -> list[str]:
    """What a shell offers for the last of some words, '' being one that is not begun."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = BASH.format(words=words) if shell == "bash" else FISH.format(words=words.replace(" ''", " "))
    found = {name: value for name, value in os.environ.items() if not name.startswith("STORAGE_ADMIN")}
    found |= {"STORAGE_ADMIN_COMPLETION_TIMEOUT": "30"}  # a busy machine is no slow database
    found |= {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(Path.cwd())} | environment
    command = [shell, *(["--norc"] if shell == "bash" else ["--no-config"]), "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=found, check=True)
    assert done.stderr == ""
    return [line.partition("\t")[0] for line in done.stdout.splitlines() if line]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def typed(call: Call, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What is offered for the last of some words, as bash asks for it, without a shell."""

    def asked(*words: str, **environment: str) -> list[str]:
        sent = {"_STORAGE_ADMIN_COMPLETE": "bash_complete", "COMP_CWORD": str(len(words))}
        sent |= {"COMP_WORDS": "\n".join(["storage-admin", *words]), "STORAGE_ADMIN_COMPLETION_TIMEOUT": "30"}
        with monkeypatch.context() as changed:
            for name, value in (sent | environment).items():
                changed.setenv(name, value)
            result = call()
        assert (result.code, result.err) == (0, "")
        return [line.partition(",")[2] for line in result.out.splitlines() if line]

    return asked


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_shell_completes_commands_and_tables(sqlite: Database, shell: str) -> None:
    sqlite.admin().upgrade(["agents=agent", "teams=team"])
    assert offered("storage-admin up", shell) == ["upgrade"]
    assert offered("storage-admin upgrade te", shell, DATABASE_URL=sqlite.url) == ["teams"]


def test_names_are_offered_with_their_schema_and_kinds_after_an_equals_sign(
    typed: Callable[..., list[str]], postgres: Database
) -> None:
    postgres.admin().upgrade(["ai.agents=agent", "public.teams=team", 'ai."odd name"=team', "ai.a$HOME=team"])
    url = {"DATABASE_URL": postgres.url}
    assert typed("upgrade", "", **url) == ["ai.agents", "public.teams"]
    assert typed("upgrade", "te", **url) == ["public.teams"]
    assert typed("upgrade", "--schema", "ai", "", **url) == ["ai.agents"]
    assert typed("check", "--db-url", postgres.url, "ai") == ["ai.agents"]
    assert typed("history", "public", **url) == ["public.teams"]
    assert typed("upgrade", "ai.new", "=", "ag") == ["agent"]  # as bash splits it
    assert typed("upgrade", "ai.new", "=") == ["agent", "workflow", "team", "workflow_v2"]
    assert typed("upgrade", "ai.new", "=", "team,wo") == ["team,workflow", "team,workflow_v2"]
    assert typed("upgrade", "ai.new=te") == ["ai.new=team"]  # as others do not
    assert typed("sessions", "list", "--kind", "te") == ["team"]
    assert {"--lock-timeout", "--log-format"} <= set(typed("upgrade", "--lo"))
    assert typed("sessions", "re") == ["rename", "restore"]


def test_targets_are_offered_from_the_file_of_settings(typed: Callable[..., list[str]], sqlite: Database) -> None:
    sqlite.admin().upgrade(["agents=agent"])
    odd = "".join(f"[targets.{name}]\ndb-url = 'x'\n" for name in ("'pr $(id)'", '"pr\\nplain,prx"'))
    Path("storage-admin.toml").write_text(
        f"[targets.prod]\ndb-url = 'x'\n[targets.pre]\ndb-url = '{sqlite.url}'\n{odd}"
    )
    assert typed("check", "--target", "pr") == ["prod", "pre"]
    assert typed("check", "--target", "pre", "") == ["agents"]


def test_a_database_that_does_not_answer_is_not_waited_for_and_says_nothing(
    typed: Callable[..., list[str]], sqlite: Database
) -> None:
    assert typed("upgrade", "") == []
    assert typed("upgrade", "", DATABASE_URL="nonsense") == []
    assert typed("upgrade", "", DATABASE_URL=f"{sqlite.url}.typo", STORAGE_ADMIN_VERBOSE="1") == []
    Path("storage-admin.toml").write_text("db-url = [")
    assert typed("upgrade", "") == []
    assert typed("check", "--target", "") == []
    Path("storage-admin.toml").unlink()
    with socket.socket() as silent:  # takes a connection, and never says a word
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d"
        started = time.monotonic()
        found = typed("upgrade", "", DATABASE_URL=url, STORAGE_ADMIN_COMPLETION_TIMEOUT="0.1")
        assert (found, time.monotonic() - started < CONNECTING) == ([], True)


def test_each_script_is_what_its_shell_reads(call: Call) -> None:
    for shell, sign in (
        ("bash", "complete -o nosort"),
        ("zsh", "#compdef storage-admin"),
        ("fish", "complete --no-files"),
    ):
        script = call("completion", shell)
        assert script.code == 0
        assert sign in script.out
        if shutil.which(shell) is not None:
            subprocess.run([shell, "-n"], input=script.out, text=True, check=True)
    assert call("completion", "tcsh").code == 64


def test_states_and_dialects_are_offered(typed: Callable[..., list[str]]) -> None:
    assert typed("check", "--fail-on", "") == ["pending", "drift", "ahead", "none"]
    assert typed("check", "--fail-on", "drift,") == ["drift,pending", "drift,ahead"]
    assert typed("plan", "--sql", "--dialect", "my") == ["mysql", "mysql-5.7"]
