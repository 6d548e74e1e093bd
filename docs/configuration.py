"""The tables of the page about settings, from the code; the words around them are written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from storage_admin.cli import cli
from storage_admin.cli.completing import TIMEOUT
from storage_admin.cli.reference import of_each, variables
from storage_admin.settings.keys import Settings, Target, keys

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).with_name("configuration.md")
OTHER_VARIABLES = {
    "DATABASE_URL": "The database, where neither STORAGE_ADMIN_DB_URL nor a target names one.",
    "STORAGE_ADMIN_TO_URL": "The other database of `sessions copy`, as --to; no list of processes shows it.",
    "STORAGE_ADMIN_VERSIONS": "A folder with version files to use instead of the shipped ones.",
    TIMEOUT: "How many seconds the completion of tables may wait for a database; 1 without it.",
    "NO_COLOR, FORCE_COLOR": "No colours, or colours where the output is no terminal.",
    "PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGPASSFILE, PGSERVICE, ...": "Read by libpq, for what a URL of "
    "PostgreSQL leaves out.",
}


def page() -> str:
    """The page as it is, with its tables made anew."""
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in (("keys", _keys()), ("shared", _shared()), ("own", _own()), ("others", _others())):
        begin, end = f"<!-- {name}: written by docs/generate.py -->\n", "<!-- end -->"
        before, _, rest = text.partition(begin)
        text = before + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.partition(end)[2]
    return text


def _keys() -> Iterator[str]:
    yield "| key | value | |"
    yield "|---|---|---|"
    everywhere = keys(Target)
    for key in keys(Settings).values():
        where = "" if key.name in everywhere else " Only at the top."
        yield f"| `{key.name}` | {key.must_be} | {key.help}{where} |"


def _shared() -> Iterator[str]:
    yield "| variable | option | |"
    yield "|---|---|---|"
    for variable in variables(cli):
        if len(variable.commands) > 1 or not variable.commands[0]:
            yield f"| `{variable.name}` | `{variable.option}` | {variable.help} |"


def _own() -> Iterator[str]:
    yield "| variable | option | of |"
    yield "|---|---|---|"
    for variable in variables(cli):
        if variable.name in OTHER_VARIABLES:
            continue
        if len(variable.commands) == 1 and variable.commands[0] and variable.option not in of_each(cli):
            yield f"| `{variable.name}` | `{variable.option}` | {variable.commands[0]} |"


def _others() -> Iterator[str]:
    yield "| variable | |"
    yield "|---|---|"
    for name, meaning in OTHER_VARIABLES.items():
        yield f"| {', '.join(f'`{each}`' for each in name.split(', ') if each != '...')} | {meaning} |"
