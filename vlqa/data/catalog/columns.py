"""Columns of the sets' own label files, and their rows in the columns that vlqa reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlqa.data.table import Table
from vlqa.errors import ManifestError, did_you_mean

SPLITS = {"training": "train", "validation": "val"}
"""How the sets name their parts, and how vlqa does; "test" is the same everywhere."""


def column(table: Table, *names: str) -> list[str]:
    """The cells of the first column that has one of these names, in any case.

    Raises:
        ManifestError: there is none; the message lists the columns there are.
    """
    found = [name.casefold() for name in table.columns]
    index = next((found.index(name.casefold()) for name in names if name.casefold() in found), None)
    if index is None:
        listed = ", ".join(map(repr, table.columns)) or "none"
        wanted = " or ".join(map(repr, names))
        raise ManifestError(
            f"{table.file}: the column {wanted} is missing; there are {listed}{did_you_mean(names[0], table.columns)}; "
            "download the file again, or rename the column"
        )
    return [cells[index] for _, cells in table.rows]


def has_column(table: Table, name: str) -> bool:
    """Whether a column has this name, in any case."""
    return name.casefold() in [each.casefold() for each in table.columns]


def numbers(table: Table, *names: str) -> list[float]:
    """The cells of a column as numbers.

    Raises:
        ManifestError: the column is missing, or a cell is no number; with its line.
    """
    values = []
    for (line, _), cell in zip(table.rows, column(table, *names), strict=True):
        try:
            values.append(float(cell))
        except ValueError:
            found = f"{names[0]} must be a number, found {cell!r}"
            raise table.error(line, f"{found}; mend the cell or download the file again") from None
    return values


def relabelled(table: Table, **columns: Sequence[str] | Sequence[float] | None) -> Table:
    """The same rows with other columns, those of a label file that `Manifest.read` takes; None leaves one out."""
    texts = {
        name: [cell if isinstance(cell, str) else repr(cell) for cell in cells]
        for name, cells in columns.items()
        if cells is not None
    }
    lines = (line for line, _ in table.rows)
    rows = tuple(zip(lines, zip(*texts.values(), strict=True), strict=True))
    return Table(table.file, tuple(texts), rows, table.unit)


def from_columns(file: Path, **columns: Sequence[str]) -> Table:
    """A table of equally long columns that do not come from rows of text.

    Raises:
        ManifestError: they are not equally long.
    """
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{count} of {name}" for name, count in lengths.items())
        raise ManifestError(f"{file}: expected as many entries of each, found {found}; download the set again")
    return Table(file, tuple(columns), tuple(enumerate(zip(*columns.values(), strict=True), start=1)), "row")


def only(table: Table, keep: Sequence[bool]) -> Table:
    """The rows of a table at which `keep` is true, under their old numbers.

    Raises:
        ManifestError: there is none.
    """
    rows = tuple(row for row, kept in zip(table.rows, keep, strict=True) if kept)
    if not rows:
        raise ManifestError(f"{table.file}: no row is a rated picture; download the file again")
    return Table(table.file, table.columns, rows, table.unit)


def read_fields(file: Path, columns: Sequence[str], separator: str | None = None) -> Table:
    """A text file without a header, one row a line.

    Args:
        file: the text file.
        columns: what its fields are called.
        separator: between fields; blanks where None.

    Raises:
        ManifestError: the file cannot be read, is empty, or a line has another number of fields.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ManifestError(f"{file}: cannot be read ({error.strerror})") from None
    rows = [(number, line.split(separator)) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    table = Table(file, tuple(columns), tuple((n, tuple(cell.strip() for cell in cells)) for n, cells in rows), "line")
    for number, cells in table.rows:
        if len(cells) != len(columns):
            expected = " and ".join(columns)
            raise table.error(number, f"expected {expected}, found {len(cells)} fields; download the file again")
    if not rows:
        raise ManifestError(f"{file}: the file is empty; download it again")
    return table
