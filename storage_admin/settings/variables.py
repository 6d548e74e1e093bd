"""``${NAME}`` in a setting: what it stands for, and how a URL has it; and from which folder a URL is meant."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<otherwise>[^}]*))?\}|\$\{", re.ASCII)
PLACEHOLDER = "\0"
# What stands before a relative path of a SQLite file.
RELATIVE = re.compile(r"sqlite[^:]*:///(?:file:)?(?!$|[/:?]|file:|[A-Za-z]:[/\\])")
AUTHORITY = re.compile(r"[^:/?#@]*://(?P<user>[^/?#]*)@")


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """A text with each ``${NAME}`` and ``${NAME:-otherwise}`` filled in; ``$${`` is ``${`` itself.

    Raises:
        ValueError: a variable is not set, or one is not well-formed; with the words for it.
    """
    return _filled(text, variables, lambda value, _: value)


def expanded_url(text: str, variables: Mapping[str, str]) -> str:
    """The same for a URL: a variable for a user, a password or a parameter holds it as it is, without escapes.

    Raises:
        ValueError: as `expanded`.
    """
    skeleton = VARIABLE.sub(PLACEHOLDER, text)
    authority = AUTHORITY.match(skeleton)
    escaped = [
        (authority is not None and authority.start("user") <= place < authority.end("user")) or "?" in skeleton[:place]
        for place, character in enumerate(skeleton)
        if character == PLACEHOLDER
    ]
    return _filled(text, variables, lambda value, number: quote(value, safe="") if escaped[number] else value)


def within(folder: Path | str, url: str) -> str:
    """A URL of a SQLite file whose path is relative, with a folder before that; any other as it is."""
    before = RELATIVE.match(url)
    return f"{before[0]}{folder}/{url[before.end() :]}" if before else url


def seen_from(folder: Path, url: str, meant_from: Path) -> str:
    """A URL of a SQLite file whose path is relative, and meant from one folder, as it is written in another one."""
    same = folder.resolve() == meant_from.resolve()
    return url if same else within(os.path.relpath(meant_from, folder), url)


def escaped(text: str) -> str:
    """A text that holds no variable, as it must be written."""
    return text.replace("${", "$${")


def _filled(text: str, variables: Mapping[str, str], written: Callable[[str, int], str]) -> str:
    if PLACEHOLDER in text:
        raise ValueError("has a NUL character")
    numbers = iter(range(len(text)))

    def fill(match: re.Match[str]) -> str:
        number, name = next(numbers), match["name"]
        if match[0] == "$${":
            return "${"
        if name is None:
            raise ValueError("has a ${ that is no variable; write ${NAME}, ${NAME:-otherwise}, or $${ for ${ itself")
        value = variables.get(name) or match["otherwise"]
        if value is None:
            raise ValueError(f"needs the variable {name}, which is not set")
        return written(value, number)

    return VARIABLE.sub(fill, text)
