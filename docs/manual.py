"""The manual page, from the commands themselves."""

from __future__ import annotations

import inspect
import re
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
WRITTEN = r".\" Written by docs/generate.py; change the code, then run `make docs`."


def page() -> str:
    """The page, in the man macros of roff."""
    lines = [WRITTEN, f'.TH STORAGE\\-ADMIN 1 "" "storage\\-admin {__version__}" "User Commands"']
    lines += [".SH NAME", r"storage\-admin \- versioned schemas and administration for the session tables of Agno"]
    lines += [".SH SYNOPSIS", r".B storage\-admin", r"[\fIOPTION\fR]... \fICOMMAND\fR [\fIARGUMENT\fR]..."]
    lines += [".SH DESCRIPTION", *_paragraphs(cli.help or "")]
    lines += [".SH OPTIONS", *_options(cli)]
    lines += [".SH COMMANDS"]
    for name, command in commands(cli):
        lines += list(_command(name, command))
    lines += [".SH EXIT STATUS", *_codes(EXIT_CODES)]
    lines += [".SH ENVIRONMENT", *_terms(_variables())]
    lines += [".SH FILES", *_terms(FILES.items())]
    return "\n".join(lines) + "\n"


def _command(name: str, command: click.Command) -> Iterator[str]:
    yield f".SS {_escaped(' '.join(['storage-admin', name, *arguments(command)]))}"
    yield from _paragraphs(command.help or "")
    if not isinstance(command, click.Group):
        yield from _options(command, but={param.name for param in cli.params})
    if command.epilog:
        yield from [".PP", *_codes(command.epilog)]


def _options(command: click.Command, but: Iterable[str | None] = ()) -> Iterator[str]:
    for option in command.params:
        if isinstance(option, click.Option) and option.name not in but:
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
