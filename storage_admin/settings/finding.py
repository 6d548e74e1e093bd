"""Where the file of settings is, and the lock file. By itself: most commands have neither, and should not pay."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from storage_admin.errors.settings import BadSettings

if TYPE_CHECKING:
    from pathlib import Path

OWN, SHARED = "storage-admin.toml", "pyproject.toml"
LOCK = "storage-admin.lock"  # looked for in the same folders
TABLE = ("tool", "storage-admin")
ROOT = ".git"  # a folder, or a file in a worktree
# A pyproject.toml without this need not be parsed; one that has us among its dependencies does not have it.
NAMED = re.compile(r"tool[\"']?\s*\.\s*[\"']?storage[-_]admin|^\s*[\"']?storage[-_]admin[\"']?\s*[.=]", re.MULTILINE)
HEADER = re.compile(r"\s*\[\[?(?P<keys>[^\[\]]+)\]")
KEY = re.compile(r"\s*(?P<keys>[\w\"'. -]+?)\s*=")


def find(start: Path) -> Path | None:
    """The nearest file with settings: in a folder, or above it up to the root of its git repository; None without one.

    Outside of a repository only the folder itself is looked at: what lies above it may be anybody's.

    Raises:
        BadSettings: two files of one folder have settings, or one cannot be read, or has them under a wrong name.
    """
    for folder in searched(start):
        found = [file for file in (folder / OWN, folder / SHARED) if file.is_file() and _has_settings(file)]
        if len(found) > 1:
            problem = f"{SHARED} beside it has [{'.'.join(TABLE)}] too; keep the settings in one of them"
            raise BadSettings(file=shown(found[0]), problem=problem, suggestion="")
        if found:
            return found[0]
    return None


def nearest(start: Path, name: str) -> Path | None:
    """The nearest file of a name, looked for as `find` does; None without one."""
    return next((folder / name for folder in searched(start) if (folder / name).is_file()), None)


def searched(start: Path) -> list[Path]:
    """A folder, and those above it up to the root of its git repository, where there is one."""
    if not os.access(start, os.X_OK):  # the folder of whoever called sudo
        return []
    above = [start, *start.parents]
    root = next((number for number, folder in enumerate(above) if (folder / ROOT).exists()), 0)
    return above[: root + 1]


def _has_settings(path: Path) -> bool:
    if path.name == OWN:
        return True
    content = text_of(path)
    if NAMED.search(content) is None:
        return False
    found = loaded(path, content)
    refuse_misspelt(path, content, found)
    return TABLE[1] in found.get(TABLE[0], {})


def refuse_misspelt(path: Path, text: str, content: dict[str, Any]) -> None:
    """Refuse settings under a name that nobody reads. Raises BadSettings."""
    tool, name = TABLE
    wrong = name.replace("-", "_")
    tools = content.get(tool)
    if isinstance(tools, dict) and wrong in tools:
        problem = f"[{tool}.{wrong}] is read by nobody (line {line_of(text, (tool, wrong))})"
        raise BadSettings(file=shown(path), problem=problem, suggestion=f" Did you mean [{tool}.{name}]?")


def text_of(path: Path) -> str:
    """What is in a file. Raises BadSettings."""
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        why = "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise BadSettings(file=f"{shown(path)} cannot be read", problem=why, suggestion="") from None


def loaded(path: Path, content: str) -> dict[str, Any]:
    """What that is as TOML. Raises BadSettings."""
    from storage_admin.toml import TOMLDecodeError, loads

    try:
        return loads(content)
    except TOMLDecodeError as error:
        # The message has the place, and may quote one character, never a value.
        raise BadSettings(file=f"{shown(path)} cannot be read", problem=error, suggestion="") from None


def line_of(text: str, where: tuple[str, ...]) -> int | None:
    """The line of a key, of the first table within it, or of the one that it is in; None if not even that is found."""
    section: tuple[str, ...] = ()
    best, found = 0, None
    for number, line in enumerate(text.splitlines(), 1):
        header, key = HEADER.match(line), KEY.match(line)
        if header is not None:
            here = section = _parts(header["keys"])
        elif key is not None:
            here = (*section, *_parts(key["keys"]))
        else:
            continue
        same = min(len(here), len(where))
        if same > best and here[:same] == where[:same]:
            best, found = same, number
    return found


def shown(path: Path) -> str:
    """How a person would write a path here."""
    return os.path.relpath(path)


def _parts(keys: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in keys.split("."))
