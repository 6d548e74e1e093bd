"""A line becomes a row for a table: a value for each column, JSON as its text."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from storage_admin.sessions.formats import BASE64, CELLS, NULL_FORM, OWN, TEXT_FORM, is_utf8
from storage_admin.sessions.tables import SESSION_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from storage_admin.sessions.formats import Line
    from storage_admin.sessions.tables import SessionColumn

BOOLEANS = {"true": True, "false": False, "t": True, "f": False}
NUMERIC = ("int", "numeric", "decimal", "real", "double", "float")  # parts of the names of types
WHOLE = re.compile(r"-?[0-9]{1,20}")
NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
NULL = msgspec.Raw(b"null")


class Unfit(Exception):
    """A row that cannot go into the table; the text says why, without a word of what is in it."""


class Row(msgspec.Struct, gc=False):
    """A session on its way into a table. JSON is bytes; all else a scalar, or the text of a number (`Number`).

    ``prepared`` is what its loader made of the values, which are not kept.
    """

    number: int
    line: bytes
    key: str
    values: Sequence[Any]
    prepared: Any = None


class Number(str):
    """A number as it is written, where a float would not be as exact."""

    __slots__ = ()


class Parser:
    """Parses for the ``columns`` of a table.

    If it is not ``strict``, a line may have other columns, and lack a session id. Otherwise they must be NULL or among
    the ``ignored``.
    """

    def __init__(self, columns: Sequence[SessionColumn], ignored: Collection[str] = (), *, strict: bool = True) -> None:
        self._strict = strict
        self._columns = [(column.name, column.is_json) for column in columns]
        self._kinds = {column.name: column for column in columns}
        self._known = {OWN, *ignored, *(column.name for column in columns)}
        self._json = {name: place for place, (name, is_json) in enumerate(self._columns) if is_json}
        self._key_place = next((place for place, (name, _) in enumerate(self._columns) if name == SESSION_ID), None)
        self._whole = self._decoder(ignored)
        self._decode = msgspec.json.Decoder().decode
        self._forms = msgspec.json.Decoder(dict[str, str]).decode

    def __call__(self, line: Line) -> Row:
        """The row of a line.

        Raises:
            Unfit
        """
        return self._plain(line) or self._closer(line)

    def _decoder(self, ignored: Collection[str]) -> Callable[[bytes], Any] | None:
        """What decodes a line with the values that nearly all have, and knows no other."""
        scalar: Any = str | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None
        fields = [(name, msgspec.Raw if is_json else scalar) for name, is_json in self._columns]
        fields += [(OWN, dict[str, Literal["null"]] | msgspec.UnsetType)]  # NULL_FORM
        fields += [(name, msgspec.Raw) for name in ignored if name not in self._kinds]
        absent = {msgspec.Raw: NULL, scalar: None}
        named = [
            (f"f{place}", kind, msgspec.field(name=name, default=absent.get(kind, msgspec.UNSET)))
            for place, (name, kind) in enumerate(fields)
        ]
        try:
            plain = msgspec.defstruct("Plain", named, forbid_unknown_fields=self._strict, gc=False)
        except ValueError:  # a name that is there twice, or has to be escaped
            return None
        return msgspec.json.Decoder(plain).decode

    def _plain(self, line: Line) -> Row | None:
        """The row of a line in which there is nothing odd, decoded at once."""
        if self._whole is None:
            return None
        try:
            found = self._whole(line.data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        values = list(msgspec.structs.astuple(found))
        key = None if self._key_place is None else values[self._key_place]
        forms = values[len(self._columns)] or {}
        if type(key) is not str or not forms.keys() <= self._json.keys() or not is_utf8(line.data):
            return None
        del values[len(self._columns) :]
        for name, place in self._json.items():
            raw = values[place]
            values[place] = bytes(raw) if raw != NULL or name in forms else None
        return Row(line.number, line.data, key, values)

    def _closer(self, line: Line) -> Row:
        parts = line.parts
        if parts is None:
            raise Unfit(line.problem)
        if self._strict and parts.keys() - self._known:
            self._refuse_unknown(parts)
        try:
            forms = self._forms(parts[OWN]) if OWN in parts else {}
        except msgspec.MsgspecError:
            raise Unfit(f"{OWN}: it is not what an export says there") from None
        if forms == CELLS:
            values = [self._cell(name, parts.get(name, NULL)) for name in self._kinds]
        else:
            values = [self._value(name, is_json, parts.get(name, NULL), forms) for name, is_json in self._columns]
        return Row(line.number, line.data, self._key(parts), values)

    def _key(self, parts: dict[str, msgspec.Raw]) -> str:
        raw = parts.get(SESSION_ID, NULL)
        key = None if raw == NULL else self._scalar(SESSION_ID, raw)
        if isinstance(key, str) and not isinstance(key, Number):
            return key
        if self._strict:
            raise Unfit(f"it has no {SESSION_ID}" if key is None else f"its {SESSION_ID} is no text")
        return ""

    def _value(self, name: str, is_json: bool, raw: msgspec.Raw, forms: dict[str, str]) -> Any:
        if raw == NULL and name not in forms:
            return None
        return self._json_of(name, raw, forms.get(name)) if is_json else self._scalar(name, raw)

    def _cell(self, name: str, raw: msgspec.Raw) -> Any:
        """A value where each is a text, and the column says what it is."""
        column, value = self._kinds[name], None if raw == NULL else self._scalar(name, raw)
        if value is None or isinstance(value, bytes):
            return Blob(value) if column.is_json and value is not None else value
        if column.is_json:
            return str(value).encode()
        if isinstance(value, Number) or not isinstance(value, str):
            return value
        live = column.live.lower()
        if live.startswith("bool") and value in BOOLEANS:
            return BOOLEANS[value]
        if any(sign in live for sign in NUMERIC) and NUMBER.fullmatch(value):
            return int(value) if WHOLE.fullmatch(value) else Number(value)
        return value

    def _refuse_unknown(self, parts: dict[str, msgspec.Raw]) -> None:
        for name in parts.keys() - self._known:
            if parts[name] != NULL:
                raise Unfit(f"the table has no column {name!r}")

    def _json_of(self, name: str, raw: msgspec.Raw, form: str | None) -> bytes:
        if form is None or form == NULL_FORM:
            return bytes(raw)
        if form != TEXT_FORM:
            raise Unfit(f"{name}: {form!r} is no form that this release knows")
        text = self._scalar(name, raw)
        if isinstance(text, bytes):
            return Blob(text)
        if not isinstance(text, str):
            raise Unfit(f"{name}: a text is missing")
        return text.encode()

    def _scalar(self, name: str, raw: msgspec.Raw) -> Any:
        try:
            value = self._decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            value = _leniently(name, bytes(raw))
        if type(value) is str or type(value) is int or value is True or value is False:
            return _without_halves(name, value)
        if isinstance(value, float):
            return Number(bytes(raw).decode())
        if isinstance(value, dict) and value.keys() == {BASE64}:
            try:
                return b64decode(value[BASE64], validate=True)
            except (ValueError, TypeError):
                pass
        raise Unfit(f"{name}: it is neither a text nor a number")


class Blob(bytes):
    """Bytes in the place of JSON, as SQLite alone has them."""

    __slots__ = ()


def _leniently(name: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Unfit(f"{name}: it cannot be read") from None


def _without_halves(name: str, value: Any) -> Any:
    if type(value) is str and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Unfit(f"{name}: it holds half a character") from None
    return value
