"""The form in which sessions travel: a line of JSON for each, behind a header that says what table it is of.

A line is an object with every column. JSON columns have their JSON, spliced in as the database gave it; numbers are as
exact as they were. What JSON alone cannot tell apart is told by the key ``storage_admin`` of a row: `NULL_FORM` for a
JSON column that holds JSON's null and not SQL's, `TEXT_FORM` for one whose text follows as a text, since it is no JSON,
or has line breaks. Bytes are ``{"base64": ...}``.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from typing_extensions import Self

from storage_admin.errors import BadExport, UsageError
from storage_admin.schema import TableName  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

OWN = "storage_admin"  # the key of what is said about a row, and the first key of a header
SESSION = b'{"session_id":'  # begins a line that is no header, whatever follows
NULL_FORM = "null"
TEXT_FORM = "text"
CELLS = {"*": "cell"}  # a row of CSV or Parquet: each value is a text, whatever its column holds
BASE64 = "base64"
FORMAT = 1

SUFFIXES = (".jsonl", ".csv", ".parquet")
COMPRESSIONS = (".gz", ".zst")
# What follows a key or stands between two: the parts of an object, without a look into them.
TOKEN = re.compile(rb'[^"\[\]{},:]+|"(?:[^"\\]|\\.)*"|[\[\]{},:]', re.DOTALL)

_rows = msgspec.json.Decoder(dict[str, msgspec.Raw])
_valid = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The line before the sessions of a table. ``columns`` have the types of the database that they come from."""

    storage_admin: int = FORMAT
    table: TableName
    kinds: tuple[str, ...]
    version: int | None = None
    dialect: str
    columns: dict[str, str]


class Trailer(msgspec.Struct, frozen=True, kw_only=True):
    """The line after them."""

    storage_admin: int = FORMAT
    sessions: int


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of a file, without which it has lost its end: between two tables nothing else shows that."""

    storage_admin: int = FORMAT
    headers: int
    sessions: int


class Line:
    """A session in a file. ``parts`` are its columns, undecoded, None where it cannot be read: ``problem`` says why.

    It is looked at when somebody asks for them, since most of all lines are read in another way.
    """

    __slots__ = ("_looked_at", "_parts", "_problem", "data", "number")

    def __init__(self, number: int, data: bytes, problem: str = "") -> None:
        self.number, self.data, self._problem = number, data, problem
        self._parts: dict[str, msgspec.Raw] | None = None
        self._looked_at = bool(problem)

    @property
    def parts(self) -> dict[str, msgspec.Raw] | None:
        """The columns of the session."""
        self._look()
        return self._parts

    @property
    def problem(self) -> str:
        """Why it has none, or nothing."""
        self._look()
        return self._problem

    def _look(self) -> None:
        if self._looked_at:
            return
        self._looked_at = True
        try:
            parts = split(self.data)
            if not self.data.isascii():
                self.data.decode()
        except (ValueError, RecursionError) as error:
            self._problem = f"it is no JSON object ({first_line(error)})"
        else:
            self._parts = parts


class Block(NamedTuple):
    """Some lines together, and how many."""

    data: bytes
    sessions: int

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> Self:
        """Of single lines."""
        return cls(b"".join(lines), len(lines))

    @property
    def lines(self) -> list[bytes]:
        """Each line by itself."""
        return self.data.splitlines(keepends=True)


def line(value: Header | Trailer | End) -> bytes:
    """A header, a trailer or an end, as a line."""
    return _encode(value) + b"\n"


def form_of(path: Path) -> tuple[str, str]:
    """The format and the compression that the name of a file says: ``(".jsonl", ".gz")``, ``(".csv", "")``.

    Raises:
        UsageError: it says none.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    if not suffixes or suffixes[-1] not in SUFFIXES or (suffixes[-1] == ".parquet" and compression):
        listed = "NAME.jsonl, NAME.jsonl.gz, NAME.jsonl.zst, NAME.csv or NAME.parquet"
        raise UsageError(problem=f"{path.name}: the name of an export says its format: {listed}.")
    return suffixes[-1], compression


# --- a row to a line ---------------------------------------------------------------------------------------


class StoredText(bytes):
    """A text of SQLite, which need not be UTF-8, where plain bytes are a blob."""

    __slots__ = ()


class LineMaker:
    """Makes a line of a row as a driver gave it. ``columns`` say of each name whether it is to hold JSON."""

    def __init__(self, columns: Mapping[str, bool]) -> None:
        self._columns = [(name, _encode(name) + b":", is_json) for name, is_json in columns.items()]

    def __call__(self, values: Iterable[Any]) -> bytes:
        """The line of a row."""
        parts: list[bytes] = []
        forms: dict[str, str] = {}
        for (name, key, is_json), value in zip(self._columns, values, strict=True):
            parts.append(key + (_json(name, value, forms) if is_json else _scalar(value)))
        if forms:
            parts.append(_encode(OWN) + b":" + _encode(forms))
        return b"{" + b",".join(parts) + b"}\n"


def _json(name: str, value: Any, forms: dict[str, str]) -> bytes:
    if value is None:
        return b"null"
    if type(value) is bytes:
        forms[name] = TEXT_FORM
    if isinstance(value, float) or type(value) is bytes:
        return _scalar(value)
    data = value if isinstance(value, StoredText) else str(value).encode()
    if data == b"null":
        forms[name] = NULL_FORM
        return data
    # White space around it would be lost, and a line break within it would end the line.
    if not (b"\n" in data or b"\r" in data or data[:1].isspace() or data[-1:].isspace()) and is_json(data):
        return data
    forms[name] = TEXT_FORM
    return _scalar(StoredText(data))


def is_json(data: bytes) -> bool:
    """Whether a text is JSON that every reader takes: no NaN, no half characters, no thousand levels, and in UTF-8."""
    try:
        _valid(data)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return is_utf8(data)


def is_utf8(data: bytes) -> bool:
    """Whether bytes are UTF-8, at which the decoders of JSON do not look in what they leave as it is."""
    try:
        return data.isascii() or data.decode() is not None
    except UnicodeDecodeError:
        return False


def _scalar(value: Any) -> bytes:
    match value:
        case None | bool() | str() | int():
            return _encode(value)
        case float():
            return json.dumps(value).replace("Infinity", "1e999").encode()
        case StoredText():
            try:
                return _encode(value.decode())
            except UnicodeDecodeError:
                return _encode({BASE64: b64encode(value).decode()})
        case bytes() | bytearray() | memoryview():
            return _encode({BASE64: b64encode(value).decode()})
    return _encode(str(value))


# --- a line to a row ---------------------------------------------------------------------------------------


def split(data: bytes) -> dict[str, msgspec.Raw]:
    """The parts of an object, undecoded.

    Raises:
        ValueError: it is none.
    """
    try:
        return _rows.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        pass  # half characters and many levels are JSON too, and for the database to judge
    try:
        json.loads(data, parse_constant=_refuse)
    except RecursionError:
        data.decode()
    return {json.loads(key): msgspec.Raw(value) for key, value in _parts(data)}


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _parts(data: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    depth, key, start = 0, b"", 0
    for match in TOKEN.finditer(data):
        token = match[0]
        if depth == 1 and token == b":":
            key, start = data[start : match.start()].strip(), match.end()
        elif depth == 1 and token in (b",", b"}"):
            if key:
                found.append((key, data[start : match.start()].strip()))
            key, start = b"", match.end()
        if token in (b"{", b"["):
            depth += 1
            start = match.end() if depth == 1 else start
        elif token in (b"}", b"]"):
            depth -= 1
    if depth or not data.lstrip().startswith(b"{"):
        raise ValueError("it is no object")
    return found


def header_of(line: Line, where: str) -> Header | Trailer | End | None:
    """The header, trailer or end that a line is, None where it is a session.

    Raises:
        BadExport: it is one of a newer release.
    """
    if line.data.startswith(SESSION):
        return None  # as nearly all are, of which no more has to be known here
    first = (line.parts or {}).get(OWN)
    if line.parts is None or first is None or bytes(first)[:1] == b"{":
        return None
    data = b"{" + b",".join(_encode(name) + b":" + bytes(value) for name, value in line.parts.items()) + b"}"
    try:
        if int(bytes(first)) > FORMAT:
            raise BadExport(file=where, problem="a newer storage-admin wrote it; upgrade yours")
        if "headers" in line.parts:
            return msgspec.json.decode(data, type=End)
        if "sessions" in line.parts:
            return msgspec.json.decode(data, type=Trailer)
        return msgspec.json.decode(data, type=Header)
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadExport(file=where, problem=f"its header cannot be read ({error})") from None


def first_line(error: BaseException) -> str:
    """What an error says, in short."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
