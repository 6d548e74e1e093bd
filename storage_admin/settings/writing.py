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
from storage_admin.settings.finding import OWN, SHARED, TABLE, find, loaded, shown, text_of
from storage_admin.settings.keys import Target, keys
from storage_admin.settings.variables import AUTHORITY, VARIABLE, escaped, seen_from
from storage_admin.texts import count_text
from storage_admin.toml import TOMLDecodeError, loads

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
# [{{prefix}}targets.staging]
# db-url = "postgresql://ai:${{{{{PASSWORD}}}}}@staging.example.com:5432/ai"
"""
SECTION = ".".join(TABLE)


def first_file(path: Path, url: str | None, schema: str | None = None, found: Survey | None = None) -> str:
    """The text of a file: with a URL, but without what is secret in it, and the tables that were found there.

    Of a pyproject.toml it is the table [tool.storage-admin].
    """
    known: dict[str, Any] = {"schema": escaped(schema) if schema is not None else None}
    if url is not None:
        known["db-url"] = without_secrets(seen_from(path.parent, url, Path.cwd()))
    shared = path.name == SHARED
    head = f"[{SECTION}]\n{HEAD}" if shared else HEAD
    parts = [head, _found(found)] if found is not None else [head]
    for key in keys(Target).values():
        value = known.get(key.name)
        line = f"{key.name} = {_written(key.example if value is None else value)}"
        parts.append(f"# {key.help}\n{'# ' if value is None else ''}{line}\n")
    return "\n".join(parts) + TARGETS.format(prefix=f"{SECTION}." if shared else "")


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
    """Refuse a place where settings must not be written.

    Raises:
        BadSettings: the folder has settings already, or its pyproject.toml cannot take any. And as `atomic.refuse`.
    """
    folder = path.absolute().parent
    there = find(folder)
    if there == folder / SHARED:
        problem = f"[{SECTION}] in it are the settings of this folder; go on with them"
        raise BadSettings(file=SHARED, problem=problem, suggestion="")
    if path.name == SHARED and there == folder / OWN:
        raise BadSettings(file=OWN, problem="in it are the settings of this folder; go on with them", suggestion="")
    atomic.refuse(path, force=force or path.name == SHARED)
    if path.name == SHARED:
        _added(path, f"[{SECTION}]\n")


def write(path: Path, text: str, *, force: bool = False) -> None:
    """Write a file whole, or not at all; a pyproject.toml keeps what is in it. Raises as `refuse`."""
    refuse(path, force=force)
    try:
        if path.name == SHARED:
            atomic.write_whole(path.resolve(), _added(path, text))  # the file, where the name is a link
        else:
            atomic.write_whole(path, text)
    except OSError as error:
        raise NotWrittenToFile(path=path, problem=error.strerror) from error


# --- inside ------------------------------------------------------------------------------------------------


def _added(path: Path, section: str) -> str:
    """The text of a pyproject.toml with our table at its end."""
    try:
        before = path.read_bytes().decode()
    except FileNotFoundError:
        return section
    except (UnicodeDecodeError, OSError):
        before = text_of(path)  # which says what is wrong
    known = loaded(path, before)
    ending = "\r\n" if "\r\n" in before else "\n"
    text = before + (ending if before.endswith("\n") else ending * 2 if before else "")
    text += section.replace("\n", ending)
    tools = known.get(TABLE[0], {})
    try:
        found = loads(text)
        same = found == {**known, TABLE[0]: {**tools, TABLE[1]: found[TABLE[0]][TABLE[1]]}}
    except TOMLDecodeError:
        same = False  # its table may be closed: tool = {}
    if not same:
        problem = f"[{SECTION}] cannot be added at its end; add it by hand, or let storage-admin init write {OWN}"
        raise BadSettings(file=shown(path), problem=problem, suggestion="")
    return text


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
