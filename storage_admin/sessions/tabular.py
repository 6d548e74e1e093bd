"""CSV and Parquet: a table in a file, for those who look at sessions with other tools. JSON is a text there.

In CSV an empty cell is NULL. A text that is empty, or begins with a backslash, has a backslash more in front, and bytes
are in base64 behind a backslash and an equals sign.
"""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from typing_extensions import Self

from storage_admin.errors import BadExport, ExtraMissing
from storage_admin.schema import ColumnType
from storage_admin.sessions.formats import BASE64, CELLS, OWN, Header, Line, Trailer
from storage_admin.sessions.parsing import Blob, Parser, Unfit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from storage_admin.sessions.archive import Archive, Manifest
    from storage_admin.sessions.formats import Block
    from storage_admin.sessions.tables import SessionColumn

ESCAPE = "\\"
BYTES = "\\="
LONGEST = 1 << 30  # characters of a cell
GROUP = 16 << 20  # bytes of lines in a row group of Parquet
FETCHED = 500  # rows of Parquet at a time
WHOLE = (ColumnType.EPOCH, ColumnType.INTEGER)
INTEGERS = range(-(2**63), 2**63)

_encode = msgspec.json.Encoder().encode


# --- writing -----------------------------------------------------------------------------------------------


class CSVWriter:
    """A `Writer` of CSV with the names of the columns in the first line."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to be closed."""

    def begin(self, header: Header, columns: Sequence[SessionColumn]) -> None:
        """As `Writer`, and so all else."""
        self._parse = Parser(columns, strict=False)
        self._are_json = [column.is_json for column in columns]
        self._put([list(header.columns)])

    def write(self, block: Block) -> list[tuple[bytes, str]]:
        """Cell by cell."""
        rows: list[list[str]] = []
        refused: list[tuple[bytes, str]] = []
        for data in block.lines:
            try:
                values = self._parse(Line(0, data)).values
            except Unfit as error:
                refused.append((data, str(error)))
            else:
                rows.append([_cell(*pair) for pair in zip(values, self._are_json, strict=True)])
        self._put(rows)
        return refused

    def end(self, sessions: int) -> None:
        """CSV has no place for it; the manifest has."""

    def _put(self, rows: Iterable[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._archive.write(text.getvalue().encode())


def _cell(value: Any, is_json: bool) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case bytes():
            if not is_json or isinstance(value, Blob):
                return BYTES + b64encode(value).decode()
            value = value.decode()
        case int():
            return str(value)
    return ESCAPE + value if not value or value.startswith(ESCAPE) else str.__str__(value)


class ParquetWriter:
    """A `Writer` of Parquet, with the header among the metadata."""

    def __init__(self, archive: Archive) -> None:
        self._pyarrow = pyarrow()
        self._file = self._pyarrow.PythonFile(_Sink(archive), "w")
        self._writer: Any = None
        self._rows: list[Sequence[Any]] = []
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def begin(self, header: Header, columns: Sequence[SessionColumn]) -> None:
        """As `Writer`, and so all else."""
        self._parse = Parser(columns, strict=False)
        self._columns = columns
        kinds = [self._pyarrow.int64() if column.type in WHOLE else self._pyarrow.large_string() for column in columns]
        fields = list(zip([column.name for column in columns], kinds, strict=True))
        self._schema = self._pyarrow.schema(fields, metadata={OWN: _encode(header)})
        self._writer = self._pyarrow.parquet.ParquetWriter(self._file, self._schema, compression="zstd")

    def write(self, block: Block) -> list[tuple[bytes, str]]:
        """As rows of a group; those that have a value of a type that its column has not are given back."""
        refused: list[tuple[bytes, str]] = []
        for data in block.lines:
            try:
                values = self._parse(Line(0, data)).values
                self._rows.append([_of_type(*pair) for pair in zip(values, self._columns, strict=True)])
            except Unfit as error:
                refused.append((data, str(error)))
        self._size += len(block.data)
        if self._size >= GROUP:
            self._flush()
        return refused

    def end(self, sessions: int) -> None:
        """Parquet counts by itself."""
        del sessions
        self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [self._pyarrow.array(c, f.type) for c, f in zip(columns, self._schema, strict=True)]
            self._writer.write_table(self._pyarrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows, self._size = [], 0


def _of_type(value: Any, column: SessionColumn) -> Any:
    if column.type in WHOLE:
        if value is not None and (type(value) is not int or value not in INTEGERS):
            raise Unfit(f"{column.name}: it is no integer of 64 bits, and Parquet has one type for a column")
        return value
    if isinstance(value, bytes):
        if isinstance(value, Blob) or not column.is_json:
            raise Unfit(f"{column.name}: it is bytes, and Parquet has one type for a column")
        return value.decode()
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Sink:
    """An archive as a file that PyArrow writes."""

    closed = False

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._place = 0

    def write(self, data: Any) -> int:
        self._archive.write(bytes(data))
        self._place += len(data)
        return len(data)

    def tell(self) -> int:
        return self._place

    def flush(self) -> None:
        """The archive sees to that."""

    def close(self) -> None:
        """The archive sees to that."""


def pyarrow() -> Any:
    """The package for Parquet.

    Raises:
        ExtraMissing
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise ExtraMissing(what="A .parquet file", package="pyarrow", extra="parquet") from None
    return pa


# --- reading -----------------------------------------------------------------------------------------------


def csv_lines(file: BinaryIO, manifest: Manifest | None, where: str) -> Iterator[Line | Header | Trailer]:
    """The lines of a CSV file. Without a manifest it is one by somebody else, to whom a backslash is a backslash."""
    csv.field_size_limit(LONGEST)
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    rows = csv.reader(text)
    try:
        names = next(rows, [])
        if not names or len(set(names)) < len(names):
            raise BadExport(file=where, problem="its first line does not name the columns, each once")
        if manifest is not None:
            yield manifest.tables[0].header
        for cells in rows:
            yield _csv_line(rows.line_num, names, cells, ours=manifest is not None)
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadExport(file=where, problem=f"it cannot be read to its end ({error})") from None
    finally:
        with suppress(ValueError):  # who gave up half way has closed it
            text.detach()  # the file is somebody else's to close
    if manifest is not None:
        yield Trailer(sessions=manifest.sessions)


def _csv_line(number: int, names: list[str], cells: list[str], *, ours: bool) -> Line:
    if len(cells) != len(names):
        problem = f"it has {len(cells)} cells, and the first line has {len(names)}"
        return Line(number, _encode(cells) + b"\n", problem)
    read = _read if ours else _read_as_it_is
    return _line(number, dict(zip(names, map(read, cells), strict=True)))


def _read(cell: str) -> Any:
    if cell.startswith(BYTES):
        return {BASE64: cell[len(BYTES) :]}
    return cell.removeprefix(ESCAPE) if cell else None


def _read_as_it_is(cell: str) -> Any:
    return cell or None


def parquet_lines(file: BinaryIO, where: str) -> Iterator[Line | Header | Trailer]:
    """The lines of a Parquet file."""
    package = pyarrow()
    try:
        source = package.parquet.ParquetFile(file)
        told = (source.schema_arrow.metadata or {}).get(OWN.encode())
        if told is not None:
            yield msgspec.json.decode(told, type=Header)
        number = 0
        for batch in source.iter_batches(batch_size=FETCHED):
            for row in batch.to_pylist():
                number += 1
                yield _line(number, {name: _plain(value) for name, value in row.items()})
    except (package.ArrowException, msgspec.MsgspecError, OSError) as error:
        raise BadExport(file=where, problem=f"it is damaged, or no Parquet ({str(error).splitlines()[0]})") from None
    if told is not None:
        yield Trailer(sessions=number)


def _plain(value: Any) -> Any:
    """A value of a file by somebody else, as a cell: what is nested is JSON."""
    if isinstance(value, (list, dict)):
        return _encode(value).decode()
    if isinstance(value, bytes):
        return {BASE64: b64encode(value).decode()}
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)


def _line(number: int, values: dict[str, Any]) -> Line:
    return Line(number, _encode(values | {OWN: CELLS}) + b"\n")
