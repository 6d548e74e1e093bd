"""The manual page, from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import click

from docs.configuration import OTHER_VARIABLES
from storage_admin.cli import EXIT_CODES, cli
from storage_admin.cli.reference import arguments, commands, value_of, variables
from storage_admin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FILES = {
    "storage-admin.toml, pyproject.toml": "The file of settings, here or above up to the root of the repository; in "
    "pyproject.toml under [tool.storage-admin]. `storage-admin init` writes a first one.",
    "~/.pgpass, ~/.pg_service.conf": "Read by libpq, for PostgreSQL.",
}
REVISED = "2026-11-26"  # to be set with a release; a date of the day would make each build another page
COMMON = 4  # commands, from which on an option is described once for all of them
EXAMPLES = {
    "storage-admin inspect --db-url sqlite:///agents.db": "Which session tables are there, and how old are they?",
    "storage-admin plan --sql": "The exact SQL for the database that STORAGE_ADMIN_DB_URL or a file of settings names.",
    "storage-admin upgrade": "Bring every session table to the newest version.",
    "storage-admin upgrade ai.agent_sessions=agent": "Create a table of one kind, or upgrade it.",
    "storage-admin check --all-targets -o json": "Are the tables of every target current? The exit code says it too.",
    "storage-admin sessions export --to all.jsonl.gz": "Every session into a file, which import and restore read.",
    "storage-admin sessions prune --older-than 90d --archive old.jsonl.gz": "What is old goes into an archive.",
}
SEE_ALSO = "alembic(1), psql(1), sqlite3(1), mysql(1). The guides are in docs/ of the source."
WRITTEN = r".\" Written by docs/generate.py; change the code, then run `make docs`."


def page() -> str:
    """The page, in the man macros of roff."""
    lines = [WRITTEN, f'.TH STORAGE\\-ADMIN 1 "{REVISED}" "storage\\-admin {__version__}" "User Commands"']
    lines += [".SH NAME", r"storage\-admin \- versioned schemas and administration for the session tables of Agno"]
    lines += [".SH SYNOPSIS", r".B storage\-admin", r"[\fIOPTION\fR]... \fICOMMAND\fR [\fIARGUMENT\fR]..."]
    lines += [".SH DESCRIPTION", *_paragraphs(cli.help or "")]
    lines += [".SH OPTIONS", *_options(_own(cli)), ".SS Options of several commands", *_options(_common())]
    lines += [".SH COMMANDS"]
    for name, command in commands(cli):
        lines += list(_command(name, command))
    lines += [".SH EXAMPLES", *_terms(EXAMPLES.items())]
    lines += [".SH EXIT STATUS", *_codes(EXIT_CODES)]
    lines += [".SH ENVIRONMENT", *_terms(_variables())]
    lines += [".SH FILES", *_terms(FILES.items())]
    lines += [".SH SEE ALSO", _escaped(SEE_ALSO)]
    return "\n".join(lines) + "\n"


def _command(name: str, command: click.Command) -> Iterator[str]:
    yield f".SS {_escaped(' '.join(['storage-admin', name, *arguments(command)]))}"
    yield from _paragraphs(command.help or "")
    if not isinstance(command, click.Group):
        known = {param.name for param in cli.params}
        common = [_said(option) for option in _common()]
        options = [option for option in _own(command) if option.name not in known]
        yield from _options(option for option in options if _said(option) not in common)
        if also := [max(option.opts, key=len) for option in options if _said(option) in common]:
            listed = ", ".join(rf"\fB{_escaped(name)}\fR" for name in also)
            yield from (".PP", f"And, as under OPTIONS: {listed}.")
    if command.epilog:
        yield from [".PP", *_codes(command.epilog)]


def _own(command: click.Command) -> list[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option)]


def _said(option: click.Option) -> tuple[str, ...]:
    return (*option.opts, value_of(option), option.help or "")


@cache
def _common() -> tuple[click.Option, ...]:
    """The options that mean the same in several commands, each once."""
    speaking = {param.name for param in cli.params}
    every = [option for _, command in commands(cli) for option in _own(command) if option.name not in speaking]
    counts = Counter(map(_said, every))
    return tuple({_said(option): option for option in every if counts[_said(option)] >= COMMON}.values())


def _options(options: Iterable[click.Option]) -> Iterator[str]:
    for option in options:
        names = ", ".join(rf"\fB{_escaped(name)}\fR" for name in option.opts)
        yield from (".TP", f"{names} {_emphasised(value_of(option))}".rstrip(), _escaped(option.help or ""))


def _variables() -> Iterator[tuple[str, str]]:
    shared = [variable for variable in variables(cli) if len(variable.commands) > 1]
    for variable in shared:
        yield variable.name, f"{variable.option}: {variable.help}"
    own = (
        "Any other option but --yes, --force, --version and --help, as STORAGE_ADMIN_SESSIONS_EXPORT_KIND is --kind of "
        "sessions export."
    )
    yield "STORAGE_ADMIN_COMMAND_OPTION", own
    yield from OTHER_VARIABLES.items()


def _terms(terms: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, meaning in terms:
        yield from (".TP", rf"\fB{_escaped(name)}\fR", _escaped(meaning.replace("`", "")))


def _codes(text: str) -> Iterator[str]:
    """A title, and lines of two columns."""
    title, _, lines = inspect.cleandoc(text.replace("\b\n", "")).partition("\n")
    yield _escaped(title)
    for line in lines.splitlines():
        code, _, meaning = line.strip().partition(" ")
        yield from (".TP", rf"\fB{_escaped(code)}\fR", _escaped(meaning.strip()))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        yield from (".PP", _escaped(" ".join(paragraph.split())))


def _emphasised(value: str) -> str:
    return rf"\fI{_escaped(value)}\fR" if value else ""


def _escaped(text: str) -> str:
    """Text as roff reads it: a hyphen that can be copied, no command at the beginning of a line."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped
