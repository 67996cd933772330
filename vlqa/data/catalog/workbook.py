"""Label files that are Excel workbooks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlqa.data.table import Table
from vlqa.errors import ManifestError, MissingExtraError


def read_workbook(file: Path, wanted: Sequence[str], sheet: str | None = None) -> Table:
    """The table that stands in a workbook, wherever its header is.

    Args:
        file: an .xlsx file.
        wanted: columns it has to have; the first row with all these names, in any case, is the header.
        sheet: looked at before the others.

    Raises:
        ManifestError: not a readable workbook, or no sheet has these columns.
        MissingExtraError: openpyxl is not installed.
    """
    sheets = _sheets(file)
    names = sorted(sheets, key=lambda name: name != sheet)  # the others in their order
    for rows in (sheets[name] for name in names):
        for number, header in enumerate(rows):
            found = [cell.casefold() for cell in header]
            if all(name.casefold() in found for name in wanted):
                needed = [found.index(name.casefold()) for name in wanted]
                return _table(file, header, needed, rows[number + 1 :], number + 2)
    first = next((row for rows in sheets.values() for row in rows if any(row)), ())
    listed = ", ".join(repr(cell) for cell in first if cell) or "nothing"
    raise ManifestError(
        f"{file}: no sheet has the columns {', '.join(map(repr, wanted))}; it starts with {listed}; download it again"
    )


def _table(
    file: Path, header: tuple[str, ...], needed: list[int], rows: list[tuple[str, ...]], first_row: int
) -> Table:
    width = len(header)
    padded = ((row + ("",) * width)[:width] for row in rows)
    numbered = tuple((number, cells) for number, cells in enumerate(padded, first_row) if any(cells[i] for i in needed))
    return Table(file, header, numbered, "row")


def _sheets(file: Path) -> dict[str, list[tuple[str, ...]]]:
    try:
        import openpyxl
    except ImportError:
        raise MissingExtraError("openpyxl", "datasets") from None
    try:
        with warnings.catch_warnings(), file.open("rb") as stream:
            warnings.simplefilter("ignore")  # of styles and extensions that openpyxl does not keep
            book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
            sheets = {}
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # some programs write wrong ones
                sheets[sheet.title] = [tuple(map(_text, row)) for row in sheet.iter_rows(values_only=True)]
            return sheets
    except Exception as error:  # a damaged zip, XML or cell raises nearly anything in openpyxl
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ManifestError(f"{file}: not a readable Excel workbook ({reason}); download it again") from None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)  # the picture 1600 must not become 1600.0
    return str(value).strip()
