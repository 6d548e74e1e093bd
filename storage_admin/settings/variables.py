"""``${NAME}`` in a setting: what it stands for, and how it is written where a URL has rules of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<otherwise>[^}]*))?\}|\$\{", re.ASCII)
PLACEHOLDER = "\0"
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
