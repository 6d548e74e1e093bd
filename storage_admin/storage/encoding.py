"""JSON to and from a column, equal to what Agno's own encoding (``json.dumps``, ``json.loads``) gives, but faster.

What the database cannot hold is put into a form that it can, and every such place is reported.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from storage_admin.dialects import Dialect

ESCAPED_NUL = rb"\u0000"
LONG_NUMBER = re.compile(rb"[0-9]{19}")  # or a text of digits
SURROGATE = re.compile("[\ud800-\udfff]")
REFUSED = re.compile("[\0\ud800-\udfff]")
INTEGERS = range(-(2**63), 2**64)  # that 64 bits hold
DEEPEST = 40

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Unencodable(Exception):
    """A value that has no JSON form. ``path`` says where it is, ``problem`` what it is."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class Encoder:
    """Encodes for one database. ``replaced`` has the places of what was stored in another form, and which.

    ``rounds_integers``: an integer that does not fit into 64 bits would not come back as it was.
    """

    def __init__(self, dialect: Dialect, *, rounds_integers: bool = False) -> None:
        self.json_is_text = dialect.json_is_text
        self.refused = SURROGATE if dialect.holds_nul else REFUSED
        self.escapes_nul = not dialect.holds_nul
        self.rounds_integers = rounds_integers
        self.replaced: list[tuple[str, str]] = []

    def json(self, value: object, path: str) -> tuple[bytes, Any]:
        """The JSON text of a value in UTF-8, and what reading it gives: a fresh copy.

        Raises:
            Unencodable: something in it has no JSON form, or it is nested too deeply.
        """
        try:
            data = _encode(value)
            # One comparison finds all that JSON changes in silence: NaN becomes null, a date text, a tuple a list.
            if not self._is_suspect(data) and (fresh := _decode(data)) == value:
                return data, fresh
        except (TypeError, ValueError, msgspec.MsgspecError):
            pass  # the careful way knows where and why
        except RecursionError:
            raise Unencodable(path, "it is nested too deeply, or holds itself") from None
        return self._carefully(value, path)

    def text(self, value: str | None, path: str) -> str | None:
        """A text as the database can hold it."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return self._clean(value, path)

    def _is_suspect(self, data: bytes) -> bool:
        if self.escapes_nul and ESCAPED_NUL in data:
            return True
        return self.rounds_integers and LONG_NUMBER.search(data) is not None

    def _carefully(self, value: object, path: str) -> tuple[bytes, Any]:
        try:
            text = json.dumps(self._plain(value, path))
            return text.encode(), json.loads(text)
        except RecursionError:
            raise Unencodable(path, "it is nested too deeply, or holds itself") from None
        except ValueError as error:
            raise Unencodable(path, str(error)) from None  # an integer of more digits than Python converts

    def _plain(self, value: object, path: str) -> object:
        """The value in the types of JSON, as ``json.dumps`` would take them."""
        match value:
            case None | bool():
                return value
            case str():
                return value if self.json_is_text else self._clean(value, path)
            case int() | float():
                return self._number(value, path)
            case dict():
                return {self._key(key, path): self._plain(item, _below(path, key)) for key, item in value.items()}
            case list() | tuple():
                return [self._plain(item, f"{path}[{position}]") for position, item in enumerate(value)]
            case _:
                return self._plain(self._converted(value, path), path)

    def _key(self, key: object, path: str) -> str:
        if key is None or isinstance(key, (bool, int, float)):
            key = next(iter(json.loads(json.dumps({key: 0}))))
        if not isinstance(key, str):
            self._report(path, f"a key of type {type(key).__name__}, as text")
            key = str(key)
        return key if self.json_is_text else self._clean(key, path)

    def _number(self, value: float, path: str) -> float | str:
        if isinstance(value, int):
            if not self.rounds_integers or INTEGERS.start <= value < INTEGERS.stop:
                return value
            self._report(path, "an integer of more than 64 bits, as text")
            return str(value)
        if self.json_is_text or math.isfinite(value):
            return value
        text = json.dumps(value)  # NaN, Infinity or -Infinity
        self._report(path, f"{text}, as text")
        return text

    def _clean(self, text: str, path: str) -> str:
        refused = self.refused
        if not refused.search(text):
            return text
        # Two halves of one character are the character, as they are for json.loads.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        found = sorted({match[0] for match in refused.finditer(text)})
        if found:
            names = " and ".join(_escaped(character) for character in found[:3])
            self._report(path, f"{names}, as an escape in the text")
        return refused.sub(lambda match: _escaped(match[0]), text)

    def _converted(self, value: object, path: str) -> object:
        # Agno's own encoding refuses all of these, and the run is lost.
        self._report(path, f"a value of type {type(value).__name__}, in its JSON form")
        if isinstance(value, (set, frozenset)):
            return list(value)
        dump = getattr(value, "model_dump", None)
        try:
            return dump() if callable(dump) else msgspec.to_builtins(value)
        except (TypeError, ValueError, msgspec.MsgspecError):
            raise Unencodable(path, f"a value of type {type(value).__name__} has no JSON form") from None

    def _report(self, path: str, what: str) -> None:
        self.replaced.append((path, what))


def decode(text: str | bytes | None) -> Any:
    """The value of a JSON text, as ``json.loads`` gives it; None for a NULL.

    Raises:
        ValueError: it is none.
    """
    if text is None:
        return None
    try:
        return _decode(text)
    except msgspec.MsgspecError:
        # What msgspec does not know and json.loads does: NaN and Infinity, half characters, numbers out of range.
        return json.loads(text)


def _below(path: str, key: object) -> str:
    text = str(key)
    if text.isidentifier():
        return f"{path}.{text[:DEEPEST]}"
    shown = text if len(text) <= DEEPEST else f"{text[:DEEPEST]}..."
    return f"{path}[{shown!a}]"


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"
