"""Rows of a label file as text, each with its line number: CSV and Parquet behind one reader."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlqa.errors import ManifestError


@dataclass(frozen=True)
class Table:
    """A label file read into memory.

    Attributes:
        file: where it came from.
        columns: names as they stand, without surrounding blanks.
        rows: (line number, one text a column); empty where there is no value.
        unit: what a row number counts: "line" of a CSV, "row" of a Parquet file.
    """

    file: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    unit: str

    def error(self, line: int, message: str) -> ManifestError:
        """An error that names file and line."""
        return ManifestError(
            f"{self.file}:{line}: {message}" if self.unit == "line" else f"{self.file}, row {line}: {message}"
        )


def read_table(file: Path) -> Table:
    """Read a CSV (UTF-8, commas) or Parquet file.

    Raises:
        ManifestError: missing, a folder, empty, another kind of file, or damaged; one line with the line number.
    """
    if file.is_dir():
        raise ManifestError(f"{file}: this is a folder; name the label file in it and give the folder as images")
    if not file.is_file():
        raise ManifestError(f"{file}: no such label file")
    try:
        with file.open("rb") as stream:
            start = stream.read(4)
            if start == b"PAR1" or file.suffix.lower() in (".parquet", ".pq"):
                return _read_parquet(file)
            raw = start + stream.read()
    except OSError as error:
        raise ManifestError(f"{file}: cannot be read ({error.strerror})") from None
    return _read_csv(file, raw)


def _read_csv(file: Path, raw: bytes) -> Table:
    if raw.startswith(b"PK\x03\x04"):
        raise ManifestError(f"{file}: this is an Excel workbook or zip archive; save the sheet as CSV")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ManifestError(f"{file}: the text is UTF-16; save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"{file}:{line}: byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    records = _records(file, text)
    line, header = next(records, (0, []))
    if not line:
        raise ManifestError(f"{file}: the file is empty; expected the columns path (or image) and mos")
    if len(header) == 1:
        for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in header[0]:
                raise ManifestError(f"{file}:{line}: fields are separated by {name}; save the file with commas")
    rows = []
    for line, record in records:
        if len(record) != len(header):
            hint = "; put fields that contain commas in quotes" if len(record) > len(header) else ""
            found = f"expected {len(header)} fields as in the header, found {len(record)}{hint}"
            raise ManifestError(f"{file}:{line}: {found}")
        rows.append((line, tuple(field.strip() for field in record)))
    return Table(file, tuple(name.strip() for name in header), tuple(rows), "line")


def _records(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Records that are not blank, each with the line it starts on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        for record in reader:
            if any(field.strip() for field in record):
                yield start, record
            start = reader.line_num + 1
    except csv.Error as error:
        raise ManifestError(f"{file}:{start}: not valid CSV ({error})") from None


def _read_parquet(file: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file)
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ManifestError(f"{file}: not a readable Parquet file ({reason})") from None
    cells = ([_text(value) for value in column] for column in columns.values())
    rows = tuple(enumerate(zip(*cells, strict=True), start=1))
    return Table(file, tuple(columns), rows, "row")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "|".join(_text(item) for item in value)
    return repr(value) if isinstance(value, float) else str(value).strip()
