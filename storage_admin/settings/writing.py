"""A first file of settings, from what was found, for a person to go on with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage_admin import atomic
from storage_admin.errors import NotWrittenToFile
from storage_admin.errors.settings import BadSettings
from storage_admin.messages import SECRET_QUERY
from storage_admin.settings.finding import SHARED, TABLE, find
from storage_admin.settings.keys import Target, keys
from storage_admin.settings.variables import AUTHORITY, VARIABLE, escaped, seen_from
from storage_admin.texts import count_text

if TYPE_CHECKING:
    from storage_admin.reports import Survey

PASSWORD = "STORAGE_ADMIN_PASSWORD"  # noqa: S105 - a variable's name
SHOWN = 20  # tables
HEAD = """\
# Settings of storage-admin, which looks for this file here and above, up to the root of the repository.
# An option counts before an environment variable, and that before this file; docs/configuration.md has all of it.
# ${NAME} stands for an environment variable, ${NAME:-otherwise} for one that need not be set.
"""
TARGETS = f"""
# More databases, by name: `storage-admin check --target staging`, or --all-targets. What is above counts for them, too.
# [targets.staging]
# db-url = "postgresql://ai:${{{PASSWORD}}}@staging.example.com:5432/ai"
"""


def first_file(path: Path, url: str | None, schema: str | None = None, found: Survey | None = None) -> str:
    """The text of a file: with a URL, but without what is secret in it, and the tables that were found there."""
    known: dict[str, Any] = {"schema": escaped(schema) if schema is not None else None}
    if url is not None:
        known["db-url"] = without_secrets(seen_from(path.parent, url, Path.cwd()))
    parts = [HEAD, _found(found)] if found is not None else [HEAD]
    for key in keys(Target).values():
        value = known.get(key.name)
        line = f"{key.name} = {_written(key.example if value is None else value)}"
        parts.append(f"# {key.help}\n{'# ' if value is None else ''}{line}\n")
    return "\n".join(parts) + TARGETS


def without_secrets(url: str) -> str:
    """A URL with variables in the place of its password and of other secrets, for a file of settings."""
    url = escaped(url)
    authority = AUTHORITY.match(url)
    if authority is not None:
        user, _, password = authority["user"].partition(":")
        if password:
            url = f"{url[: authority.start('user')]}{user}:${{{PASSWORD}}}{url[authority.end('user') :]}"
    return re.sub(r"(?<=[?&])([^=&]+)=[^&]*", _hidden, url)


def variables_of(text: str) -> list[str]:
    """The variables that a URL without secrets needs."""
    return [match["name"] for match in VARIABLE.finditer(text) if match["name"]]


def refuse(path: Path, *, force: bool = False) -> None:
    """Refuse a place where a file must not be written.

    Raises:
        BadSettings: the folder has settings in pyproject.toml. And as `atomic.refuse`.
    """
    folder = path.absolute().parent
    if find(folder) == folder / SHARED:
        problem = f"[{'.'.join(TABLE)}] in it are the settings of this folder; go on with them"
        raise BadSettings(file=SHARED, problem=problem, suggestion="")
    atomic.refuse(path, force=force)


def write(path: Path, text: str, *, force: bool = False) -> None:
    """Write a file whole, or not at all. Raises as `refuse`."""
    refuse(path, force=force)
    try:
        atomic.write_whole(path, text)
    except OSError as error:
        raise NotWrittenToFile(path=path, problem=error.strerror) from error


# --- inside ------------------------------------------------------------------------------------------------


def _hidden(parameter: re.Match[str]) -> str:
    key = parameter[1]
    if not SECRET_QUERY.search(key):
        return parameter[0]
    name = re.sub(r"\W", "_", key).upper()
    return f"{key}=${{STORAGE_ADMIN_{name}}}"


def _found(survey: Survey) -> str:
    count = len(survey.plans)
    tables = f"{count_text(count, 'session table')}:" if count else "no session table yet"
    lines = [f"# {survey.database.server}, with {tables}"]
    for plan in survey.plans[:SHOWN]:
        version = "of no version" if plan.version is None else f"at version {plan.version}"
        lines.append(f"#   {plan.table}={','.join(plan.kinds)}  {version}, {plan.status.value}")
    if count > SHOWN:
        lines.append(f"#   and {count - SHOWN:,} more")
    return "\n".join(lines) + "\n"


def _written(value: Any) -> str:
    # What JSON writes of a text, a number or a truth, TOML reads as the same, but for one character.
    return json.dumps(value).replace("\x7f", "\\u007f")
